"""The clients of a service's streams: control of the program `reader.py`, and counting of its results."""

import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import attrs
import msgspec

from ..clients import Outcome
from ..peers import Running

_PROGRAM: Final = Path(__file__).with_name("reader.py")
_SPARE_SECONDS: Final = 10.0  # added to the program's own deadline
_END_SECONDS: Final = 15.0
_MAX_CLOCK_CHANGE_NS: Final = 1_000_000  # maximum adjustment of the wall clock during a run


@attrs.frozen
class Delivery:
    """An event that a client read."""

    read_ns: int  # just after the read that completed it, monotonic clock
    id: str  # empty for control frames
    type: str
    data: Any


@attrs.frozen(kw_only=True)
class Deliveries:
    """All events that the clients read."""

    clients: Sequence[Sequence[Delivery]]
    closed: int  # streams that the server ended
    cpu_seconds: float  # of the reader while it read
    wall_offset_ns: int  # from the monotonic clock to nanoseconds since 1970

    def after_publishing_ms(self, delivery: Delivery) -> float:
        """Return the delay from the time in an event's id, which has whole milliseconds, to its read (ms)."""
        published_ms = int(delivery.id.partition("-")[0])
        return (delivery.read_ns + self.wall_offset_ns) / 1e6 - published_ms


class Followers:
    """Clients that each follow one stream; leaving the block closes their connections.

    Args:
        server: to connect to.
        paths: of the requests, one for each client.
        deadline_seconds: timeout after which the events read so far are reported.
        last: text that only a client's last event contains; can be set later with :meth:`until`.

    Raises:
        RuntimeError: from all methods: the program failed, or did not answer in time.
    """

    def __init__(
        self, server: Running, paths: Sequence[str], deadline_seconds: float, *, last: str | None = None
    ) -> None:
        self._deadline = time.monotonic() + deadline_seconds + _SPARE_SECONDS
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._file = Path(self._folder.name) / "read"
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
        )
        self._received = b""
        self._tell(
            host=server.host,
            port=server.port,
            paths=list(paths),
            file=str(self._file),
            deadline_seconds=deadline_seconds,
            last=last,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process, self._messages, self._folder:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def connected(self) -> float:
        """Wait until all clients have the head of their answer; return the time that took (s)."""
        return float(self._expect("connected")["seconds"])

    def until(self, last: str) -> None:
        """Set the text that only the last event of each client contains."""
        self._tell(last=last)

    def done(self) -> Deliveries:
        """Wait until all clients have their last event, or the deadline has passed."""
        answer = self._expect("done")
        before, after = answer["wall_offsets_ns"]
        if abs(after - before) > _MAX_CLOCK_CHANGE_NS:
            raise RuntimeError("the wall clock was adjusted during the run")
        clients = msgspec.msgpack.decode(self._file.read_bytes(), type=list[list[tuple[int, str]]])
        return Deliveries(
            clients=[[read_event(*event) for event in events] for events in clients],
            closed=answer["closed"],
            cpu_seconds=answer["cpu_seconds"],
            wall_offset_ns=(before + after) // 2,
        )

    def _tell(self, **fields: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields).encode() + b"\n")
        self._process.stdin.flush()

    def _expect(self, event: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        while b"\n" not in self._received:
            ready, _, _ = select.select([self._process.stdout], [], [], self._deadline - time.monotonic())
            data = self._process.stdout.read1(65_536) if ready else b""  # type: ignore[attr-defined]
            if not data:
                raise RuntimeError(f"the reader did not print {event!r}: {self._errors()}")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if answer["event"] != event:
            raise RuntimeError(f"the reader printed {answer} instead of {event!r}")
        return answer

    def _errors(self) -> str:
        self._messages.seek(0)
        return self._messages.read().decode(errors="replace").strip()[-400:] or "no message"


def read_event(read_ns: int, text: str) -> Delivery:
    """Parse the lines of an event; data that is not JSON stays text."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        fields[name] = fields[name] + "\n" + value if name in fields else value
    data: Any = fields.get("data", "")
    try:
        data = msgspec.json.decode(data)
    except msgspec.DecodeError:
        pass
    return Delivery(read_ns, fields.get("id", ""), fields.get("event", "message"), data)


def count(
    seen: Sequence[Sequence[Delivery]],
    expected: Sequence[Sequence[Any]],
    key: Callable[[Delivery], Any],
    delay_ms: Callable[[Delivery], float],
    cpu_seconds: float = 0.0,
) -> Outcome:
    """Count the expected events that each client received, and their delays.

    Args:
        seen: the events of each client.
        expected: the keys of the expected events of each client, in order.
        key: of an event; None for one that is not counted.
        delay_ms: of an event; its first delivery counts.
        cpu_seconds: CPU time of the clients (s).

    Returns:
        The outcome with ``closed`` 0: the events of a stream that ends early are missing.

    Raises:
        RuntimeError: no event arrived.
    """
    delays_ns: list[int] = []
    times_ns: list[int] = []
    missing = repeated = disordered = 0
    for events, keys in zip(seen, expected, strict=True):
        positions = {each: position for position, each in enumerate(keys)}
        received: set[Any] = set()
        last = -1
        for event in events:
            if (found := key(event)) is None:
                continue
            if found not in positions:
                disordered += 1  # it was never published, and has no position
                continue
            position = positions[found]
            disordered += position < last or position > last + 1
            last = position
            repeated += found in received
            if found not in received:
                delays_ns.append(round(delay_ms(event) * 1e6))
                times_ns.append(event.read_ns)
            received.add(found)
        missing += len(positions.keys() - received)
    if not delays_ns:
        raise RuntimeError("no event arrived")
    delays_ns.sort()
    number = len(delays_ns)
    return Outcome(
        deliveries=number,
        missing=missing,
        repeated=repeated,
        disordered=disordered,
        closed=0,
        first_ns=min(times_ns),
        last_ns=max(times_ns),
        p50_ns=delays_ns[number // 2],
        p99_ns=delays_ns[number * 99 // 100],
        p999_ns=delays_ns[number * 999 // 1000],
        max_ns=delays_ns[-1],
        cpu_seconds=cpu_seconds,
    )


def quantiles(name: str, values_ms: Iterable[float]) -> Mapping[str, float]:
    """Return median and 99th percentile as figures, which only the JSON report contains."""
    ordered = sorted(values_ms)
    return {
        f"{name}_p50_ms": ordered[len(ordered) // 2],
        f"{name}_p99_ms": ordered[len(ordered) * 99 // 100],
    }
