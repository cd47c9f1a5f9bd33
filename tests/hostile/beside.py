"""The normal clients beside an attack: a subscriber, a publisher, and a probe on new connections.

They write and read bare bytes, because a whole HTTP client would take more of the machine than the server
does.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import attrs
import trio

from tests.hostile.target import Target, head, post

RATE_PER_SECOND: Final = 5
TOPIC: Final = "normal"
GRACE_SECONDS: Final = 5.0  # for events that are late at the end of a phase
_NUMBER: Final = re.compile(rb"^data: ?(\d+)\n", re.MULTILINE)
_TAIL_BYTES: Final = 100  # more than a line with a number
_ANSWER_SECONDS: Final = 10.0
_ERRORS: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError, trio.TooSlowError)


@attrs.define
class Times:
    """Durations (s), and how many ended without one."""

    values: list[float] = attrs.field(factory=list)
    failed: int = 0

    def quantile(self, share: float) -> float:
        """Return the smallest value that ``share`` of the values do not exceed."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class NormalClients:
    """The clients, and what they see in each phase.

    Attributes:
        latency: from the request to publish an event to its receipt, of the events of this phase. Those that
            have not come at its end count with the time so far, and as failed.
        health: from the connect to the answer of ``/health/live``.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._sent: dict[int, float] = {}
        self._arrived = trio.Event()
        self._numbers: Iterator[int] = iter(range(1_000_000))
        self.latency = Times()
        self.health = Times()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Publish, subscribe and probe until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._subscribe)
            nursery.start_soon(self._publish)
            nursery.start_soon(self._probe)
            task_status.started()

    async def end_phase(self) -> tuple[Times, Times]:
        """Wait a while for late events, and return latency and health of the phase; then the next begins."""
        with trio.move_on_after(GRACE_SECONDS):
            ended = max(self._sent, default=-1)
            while any(number <= ended for number in self._sent):
                self._arrived = trio.Event()
                await self._arrived.wait()
            return self._take()
        late = self._take()
        now = trio.current_time()
        for began in self._sent.values():
            late[0].values.append(now - began)
            late[0].failed += 1
        self._sent.clear()
        return late

    def _take(self) -> tuple[Times, Times]:
        found = (self.latency, self.health)
        self.latency, self.health = Times(), Times()
        return found

    async def _subscribe(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        is_first = True
        while True:
            with suppress(*_ERRORS):
                stream = await self._target.connect()
                async with stream:
                    await stream.send_all(head("GET", f"/events?topic={TOPIC}", "Accept: text/event-stream"))
                    rest = b""
                    while data := bytes(await stream.receive_some(65_536)):
                        now = trio.current_time()
                        rest = (rest + data)[-len(data) - _TAIL_BYTES :]
                        if is_first and b"event: connected" in rest:
                            is_first = False
                            task_status.started()
                        for number in map(int, _NUMBER.findall(rest)):
                            if (began := self._sent.pop(number, None)) is not None:
                                self.latency.values.append(now - began)
                                self._arrived.set()
            await trio.sleep(0.2)  # it comes back, as every client does

    async def _publish(self) -> None:
        while True:
            with suppress(*_ERRORS):
                async with await self._target.connect() as stream:
                    for number in self._numbers:
                        began = self._sent[number] = trio.current_time()
                        await stream.send_all(post("/events", b'{"topic":"normal","data":%d}' % number))
                        with trio.fail_after(_ANSWER_SECONDS):
                            if not await stream.receive_some(65_536):
                                break
                        await trio.sleep_until(began + 1 / RATE_PER_SECOND)
            await trio.sleep(0.2)

    async def _probe(self) -> None:
        while True:
            began = trio.current_time()
            try:
                with trio.fail_after(_ANSWER_SECONDS):
                    stream = await self._target.connect()
                    try:
                        await stream.send_all(head("GET", "/health/live", "Connection: close"))
                        is_answered = b" 200 " in await stream.receive_some(65_536)
                    finally:
                        await trio.aclose_forcefully(stream)
            except _ERRORS:
                is_answered = False
            self.health.values.append(trio.current_time() - began)
            self.health.failed += not is_answered
            await trio.sleep(1 / RATE_PER_SECOND)
