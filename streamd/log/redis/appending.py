"""The way of changes to Redis: scripts in groups, one group in flight, sent again after a lost connection."""

import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

import structlog
import trio
from coredis.exceptions import NoScriptError, ReadOnlyError, RedisError

from ...errors import InsufficientStorage, OutcomeUnknown, StreamdError, Unavailable
from ...redis.link import Argument, Disconnected, RedisLink
from ...redis.script import Script

_GROUP_MAX: Final = 256  # scripts
_TRY_SECONDS: Final = 10.0  # far less than the two minutes for which the server remembers a result
_END_SECONDS: Final = 1.0  # that a server has to reply to an append that is cancelled

_log = structlog.get_logger(__name__)


class PendingScript:
    """One script that is queued or sent, and later its reply or error."""

    __slots__ = ("arguments", "done", "error", "number", "reply", "script", "sent")

    def __init__(self, script: Script, arguments: Sequence[Argument]) -> None:
        self.script = script
        self.arguments = arguments
        self.number = 0
        self.sent = False
        self.done = trio.Event()
        self.reply: Any = None
        self.error: StreamdError | None = None


class ScriptQueue:
    """Sends scripts that change something, in the order of the calls.

    Each is written with the functions of ``queue.lua``: it takes the node, its number and the number of the
    first one that may be sent again, and remembers its reply. So it changes nothing when it is sent again.

    Args:
        link: used for nothing else, so that its order is that of the calls.
        prefix: of the log's keys.
        join: joins the log again, after the server has become another.
    """

    def __init__(self, link: RedisLink, prefix: str, join: Callable[[RedisLink], Any]) -> None:
        self._link = link
        self._prefix = prefix
        self._join = join
        self._node = uuid.uuid4().hex
        self._numbers = 0
        self._losses = 0
        self._sending = trio.CancelScope()  # of the present group
        self._queue: deque[PendingScript] = deque()
        self._has_scripts = trio.Event()

    async def call(self, script: Script, arguments: Sequence[Argument]) -> Any:
        """Run a script, and return its reply.

        Cancelled before anything is sent, or not at all: later, it returns or raises within a second.

        Args:
            script: to run.
            arguments: those after the node and the numbers.

        Raises:
            Unavailable: nothing was changed.
            OutcomeUnknown: the connection was lost, and did not come back in time.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        pending = PendingScript(script, arguments)
        self._queue.append(pending)
        self._has_scripts.set()
        try:
            await pending.done.wait()
        except trio.Cancelled:
            if pending in self._queue:
                self._queue.remove(pending)
                raise
            with trio.move_on_after(_END_SECONDS, shield=True):
                await pending.done.wait()
            if not pending.done.is_set():
                raise _outcome_unknown() from None
        if pending.error is not None:
            raise pending.error
        return pending.reply

    def count_loss(self) -> None:
        """Send no script again that was sent so far: the server has lost events, and results with them."""
        self._losses += 1

    async def run(self) -> NoReturn:
        """Send until cancelled; scripts that are in flight then are finished, or fail within a second."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._limit_end)
            await self._send_groups()
        raise AssertionError("scripts are sent until cancelled")

    async def _limit_end(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._sending.deadline = trio.current_time() + _END_SECONDS

    async def _send_groups(self) -> None:
        try:
            while True:
                await self._has_scripts.wait()
                group = [self._queue.popleft() for _ in range(min(len(self._queue), _GROUP_MAX))]
                if not self._queue:
                    self._has_scripts = trio.Event()
                if not group:  # those that were queued have been cancelled
                    continue
                for pending in group:
                    self._numbers += 1
                    pending.number = self._numbers
                with trio.CancelScope(shield=True) as self._sending:
                    await self._send_group(group)
                if self._sending.cancelled_caught:
                    for pending in group:
                        pending.sent = True
                    self._give_up([pending for pending in group if not pending.done.is_set()])
        finally:
            for pending in self._queue:
                pending.error = Unavailable("the log is closed", retry_after_seconds=1)
                pending.done.set()
            self._queue.clear()

    async def _send_group(self, group: Sequence[PendingScript]) -> None:
        deadline = trio.current_time() + _TRY_SECONDS
        first = group[0].number
        losses = self._losses
        left = group
        while left:
            try:
                await self._try(left, first)
            except (Disconnected, RedisError) as error:  # joining failed; the connection is made again
                _log.info("change_delayed", error=repr(error))
            left = [pending for pending in left if not pending.done.is_set()]
            if left and not await self._is_connected(left, deadline):
                self._give_up(left)
                return
            if self._losses > losses:
                losses = self._losses
                self._give_up([pending for pending in left if pending.sent])
                left = [pending for pending in left if not pending.sent]

    async def _try(self, group: Sequence[PendingScript], first: int) -> None:
        """Send scripts, and take those replies that come; the others stay undone."""
        try:
            waits = [
                each.script.start(self._link, self._prefix, self._node, each.number, first, *each.arguments)
                for each in group
            ]
        except Disconnected:
            return
        unknown: set[Script] = set()
        must_join = False
        for pending, wait in zip(group, waits, strict=True):
            try:
                reply = await wait()
            except Disconnected:
                pending.sent = True
                continue
            except NoScriptError:
                unknown.add(pending.script)
                continue
            except RedisError as error:
                _log.error("change_failed", error=repr(error))
                pending.error = _outcome_unknown() if pending.sent else _to_unavailable(error)
                if isinstance(error, ReadOnlyError):
                    self._link.close()  # another server is the primary now
            else:
                if reply[0] == b"join":
                    must_join = True
                    continue
                pending.reply = reply
            pending.done.set()
        for script in unknown:
            await script.load(self._link)
        if must_join:
            await self._join(self._link)

    async def _is_connected(self, left: Sequence[PendingScript], deadline: float) -> bool:
        """Wait for a connection if one of the scripts may have run; return False if there is none."""
        if not any(pending.sent for pending in left):
            await trio.lowlevel.checkpoint()
            return self._link.connected.is_set()
        with trio.move_on_at(deadline):
            await self._link.connected.wait()
            return True
        return False

    def _give_up(self, left: Sequence[PendingScript]) -> None:
        for pending in left:
            pending.error = _outcome_unknown() if pending.sent else unavailable()
            pending.done.set()


def unavailable() -> Unavailable:
    """Build the error for a script that was not sent."""
    return Unavailable("the log's server is not reachable", retry_after_seconds=1)


def _outcome_unknown() -> OutcomeUnknown:
    return OutcomeUnknown("the connection to Redis was lost meanwhile: the change may have been made, or not")


def _to_unavailable(error: RedisError) -> Unavailable:
    if str(error).startswith("OOM") or "OOM" in str(error):
        return InsufficientStorage("the log's server has no memory left", retry_after_seconds=5)
    if isinstance(error, ReadOnlyError):
        return Unavailable("the log's server is no primary now", retry_after_seconds=1)
    return Unavailable("the log's server failed", retry_after_seconds=1)
