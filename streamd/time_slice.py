"""The time for which appends, or parsers of client data, run before other trio tasks do.

One event loop serves everybody, so whatever a client can make long has a bound in time. There are a few such
bounds, for different kinds of work:

======================================  ===================  ================================================
notion                                  bounds               for work that
======================================  ===================  ================================================
:class:`TimeSlice`                      a pass of the loop,  consists of many short steps of many trio tasks:
                                        0.5 ms               appends, lines, frames, messages
:class:`.log.scan_time.ScanTime`        a page, 3 ms         has no checkpoint, and may end early with a part:
                                                             scanning events for patterns
:class:`.hub.turn.Turn`                 a turn of the        is done by one trio task, and takes at most half
                                        fan-out              of the time while others have something to do
:class:`.turns.Turns`                   a turn of a worker   takes long and can be divided (:class:`.steps`),
                                        thread, 10 ms        one client's after another's: JSON of megabytes
``server.loop_passes.LoopPassLimiter``  a pass, by number    cannot be divided: setups and teardowns of
                                                             connections
======================================  ===================  ================================================

A single call that cannot be interrupted, such as one of C, is bounded by the size of its input instead:
:mod:`.json.pieces`, and the limits of heads, frames and lines.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import trio

_SLICE_SECONDS: Final = 0.0005  # far longer than a pass of the event loop costs, and short beside the network


class TimeSlice(trio.abc.Instrument):
    """The time that the callers of a function have together in one pass of the event loop.

    A checkpoint costs more than a short function itself. So the first call of a trio task in a pass has none:
    other trio tasks ran just before. Its further calls have one when the slice is used up, which began with
    the first call of all: then each caller waits for the next pass. All callers together run for one slice in
    a pass, and each of the others for one call: however many there are, and although none of them has another
    checkpoint, other trio tasks run.

    It is an instrument of the event loop from its first call on, which tells it when a pass ends.

    Args:
        seconds: length of a slice (s).
        now: a monotonic clock (s).
    """

    __slots__ = ("_called", "_ends", "_is_hooked", "_now", "_seconds")

    def __init__(self, seconds: float = _SLICE_SECONDS, now: Callable[[], float] = time.perf_counter) -> None:
        self._seconds = seconds
        self._now = now
        self._ends = float("-inf")
        self._called: set[trio.lowlevel.Task] = set()  # in this pass
        self._is_hooked = False  # into the event loop

    def pause(self) -> Awaitable[None]:
        """Let other trio tasks run if the slice is used up; otherwise only raise if cancelled."""
        task = trio.lowlevel.current_task()
        if task not in self._called:
            self._enter(task)
        elif self._now() >= self._ends:
            return self._wait_for_next_pass(task)
        return trio.lowlevel.checkpoint_if_cancelled()  # noqa: ASYNC105 - awaited by the caller

    def _enter(self, task: trio.lowlevel.Task) -> None:
        """Note the first call of a trio task in a pass; the first of all begins the slice."""
        if not self._called:
            self._ends = self._now() + self._seconds
            if not self._is_hooked:
                self._is_hooked = True
                trio.lowlevel.add_instrument(self)
        self._called.add(task)

    async def _wait_for_next_pass(self, task: trio.lowlevel.Task) -> None:
        await trio.lowlevel.checkpoint()
        self._enter(task)

    def before_io_wait(self, timeout: float) -> None:
        """End the pass of the event loop.

        Args:
            timeout: the maximum time for which the event loop will wait (s).
        """
        self._called.clear()

    def after_run(self) -> None:
        """Forget the event loop, which has ended; another one may follow."""
        self._is_hooked = False
        self._called.clear()


_shared: Final[trio.lowlevel.RunVar[TimeSlice]] = trio.lowlevel.RunVar("request_slice")


def request_slice() -> TimeSlice:
    """Return the slice that all parsers of client data share in the present event loop.

    One step of them is short, such as a line, a frame or a message. So a client that sends many of them takes
    one slice of a pass, and so do a thousand clients together.
    """
    try:
        return _shared.get()
    except LookupError:
        found = TimeSlice()
        _shared.set(found)
        return found
