"""The supervisor of several server processes that accept from the same listening sockets.

The supervisor owns the sockets and the processes inherit them, so that a connection in the kernel's queue is
accepted by whichever process is left; to close one of several SO_REUSEPORT sockets would reset its queue.

==========  ==============================================  ======================================
a process   when                                            then
==========  ==============================================  ======================================
starting    it accepts connections                          serving
starting    it ends, at the first start of its number       the supervisor stops with its status
starting    it ends, at a later start                       waiting
serving     it ends                                         waiting
waiting     the backoff is over                             starting
any         the supervisor stops                            SIGTERM in its turn, at last SIGKILL
==========  ==============================================  ======================================

The first process starts alone, so that a mistake which concerns all of them is reported once.
"""

import signal
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import attrs
import structlog
import trio

from ..outbound import Backoff
from .inheritance import FIRST

_log = structlog.get_logger(__name__)

BACKOFF: Final = Backoff(initial_seconds=1.0, max_seconds=30.0)
"""The waits before restarts, in seconds: 1, 2, 4 and so on, with jitter."""

RESET_SECONDS: Final = 60.0
"""A process that ran for this long (s) is restarted after the first wait again."""


_SIGNAL_NAMES: Final = {number.value: number.name for number in signal.Signals}  # most real-time ones lack


class ChildProcess(Protocol):
    """A server process, see :class:`.inheritance.SpawnedProcess`."""

    @property
    def pid(self) -> int: ...

    async def wait_ready(self) -> bool:
        """Wait until the process accepts connections; return False if it ends before that."""

    async def wait(self) -> int:
        """Wait for the end of the process; return its exit status, or minus the number of its signal."""

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; one to a process that has ended has no effect."""

    def close(self) -> None:
        """Close the channel to the process; it shuts down if it still runs."""


@attrs.define(eq=False)
class _Member:
    """One of the processes that the supervisor keeps running, and its successors."""

    number: int
    child: ChildProcess | None = None  # from its start to its end
    is_ready: bool = False  # the child accepts connections
    reload_requested: bool = False  # SIGHUP would end a child that is not ready
    settled: trio.Event = attrs.field(factory=trio.Event)  # the first start has succeeded or failed


class Supervisor:
    """Starts, restarts and drains server processes.

    Args:
        start: starts the process of a number; raises OSError.
        count: number of processes.
        stop_seconds: time from SIGTERM to SIGKILL for each process (s).
        on_ready: called once, when all processes accept connections.
        close_listeners: called before the last process is drained: no other accepts the connections of its
            queue any more, and new clients are refused at once.
        backoff: the waits before restarts.
    """

    def __init__(
        self,
        start: Callable[[int], Awaitable[ChildProcess]],
        count: int,
        *,
        stop_seconds: float,
        on_ready: Callable[[], None],
        close_listeners: Callable[[], None],
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._start = start
        self._members = [_Member(number) for number in range(FIRST, FIRST + count)]
        self._stop_seconds = stop_seconds
        self._on_ready = on_ready
        self._close_listeners = close_listeners
        self._backoff = backoff
        self._stopping = trio.Event()
        self._status = 0

    async def run(self) -> int:
        """Run the processes until :meth:`stop`, or until a first start fails; return the exit status.

        Cancelling leaves the processes running; they shut down when their channels are closed.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._start_all, nursery)
            await self._stopping.wait()
            await self._drain()
        return self._status

    def stop(self) -> None:
        """Drain one process after another, while the others still serve."""
        self._stopping.set()

    def reload(self) -> None:
        """Pass SIGHUP on to every process; to one that is starting as soon as it is ready."""
        for member in self._members:
            if member.child is not None and member.is_ready:
                member.child.send_signal(signal.SIGHUP)
            else:
                member.reload_requested = True

    def kill(self) -> None:
        """Kill every process at once."""
        for member in self._members:
            if member.child is not None:
                member.child.send_signal(signal.SIGKILL)

    async def _start_all(self, nursery: trio.Nursery) -> None:
        first, *others = self._members
        nursery.start_soon(self._keep, first)
        await first.settled.wait()
        for member in others:
            nursery.start_soon(self._keep, member)
        for member in others:
            await member.settled.wait()
        if not self._stopping.is_set():
            self._on_ready()

    async def _keep(self, member: _Member) -> None:
        """Run a process, and restart it whenever it ends, until the supervisor stops."""
        retries = 0
        while not self._stopping.is_set():
            started_at = trio.current_time()
            status = await self._run_child(member)
            if self._stopping.is_set():
                break
            if not member.settled.is_set():
                self._fail(member.number, status)
                break
            if trio.current_time() - started_at >= RESET_SECONDS:
                retries = 0
            delay_seconds = self._backoff.delay(retries)
            retries += 1
            _log.warning(
                "server_process_restarting", process=member.number, delay_seconds=round(delay_seconds, 3)
            )
            with trio.move_on_after(delay_seconds):
                await self._stopping.wait()
        member.settled.set()

    async def _run_child(self, member: _Member) -> int:
        """Run a process from its start to its end; return the status of :meth:`ChildProcess.wait`."""
        member.reload_requested = False
        try:
            child = member.child = await self._start(member.number)
        except OSError as error:
            _log.error("server_process_not_started", process=member.number, error=str(error))
            return 1
        try:
            _log.info("server_process_started", process=member.number, pid=child.pid)
            if self._stopping.is_set():  # it was not there yet to be drained
                child.send_signal(signal.SIGKILL)
            if await child.wait_ready():
                member.is_ready = True
                member.settled.set()
                _log.info("server_process_ready", process=member.number, pid=child.pid)
                if member.reload_requested:
                    child.send_signal(signal.SIGHUP)
            status = await child.wait()
        finally:
            member.child, member.is_ready = None, False
            child.close()
        self._log_end(member.number, child.pid, status)
        return status

    def _log_end(self, number: int, pid: int, status: int) -> None:
        end = {"status": status} if status >= 0 else {"signal": _SIGNAL_NAMES.get(-status, -status)}
        is_expected = self._stopping.is_set() and status == 0
        log = _log.info if is_expected else _log.warning
        log("server_process_ended", process=number, pid=pid, **end)

    def _fail(self, number: int, status: int) -> None:
        """Stop with the status of a process that has ended before it accepted connections."""
        _log.error("server_process_start_failed", process=number)
        self._status = 128 - status if status < 0 else status or 1
        self._stopping.set()

    async def _drain(self) -> None:
        """End one process after another."""
        while running := [member for member in self._members if member.child is not None]:
            if len(running) == 1:
                self._close_listeners()
            await self._end_child(running[0])

    async def _end_child(self, member: _Member) -> None:
        child = member.child
        assert child is not None
        child.send_signal(signal.SIGTERM)
        with trio.move_on_after(self._stop_seconds) as waiting:
            await child.wait()
        if waiting.cancelled_caught:
            _log.warning("server_process_killed", process=member.number, pid=child.pid)
            child.send_signal(signal.SIGKILL)
            await child.wait()
        member.child = None  # already here, because `_keep` may not have seen the end yet
