"""The time for which appends run before other trio tasks do."""

import time
from collections.abc import Callable
from typing import Final

import trio

_SLICE_SECONDS: Final = 0.0005  # far longer than a pass of the event loop costs, and short beside the network


class TimeSlice:
    """The time that the callers of a function have together in one pass of the event loop.

    A checkpoint costs more than a short function itself. So it is made only when the time is used up: then
    each caller waits for the next pass, in which one of them starts a new slice. All callers together run
    for one slice in a pass, and each of the others for one call: however many there are, and although none of
    them has another checkpoint, other trio tasks run.

    Args:
        seconds: length of a slice (s).
        now: a monotonic clock (s).
    """

    __slots__ = ("_ends", "_is_renewed", "_now", "_seconds")

    def __init__(self, seconds: float = _SLICE_SECONDS, now: Callable[[], float] = time.perf_counter) -> None:
        self._seconds = seconds
        self._now = now
        self._ends = float("-inf")
        self._is_renewed = False  # by a caller that waits for the next pass

    async def pause(self) -> None:
        """Let other trio tasks run if the slice is used up; otherwise only raise if cancelled."""
        if self._now() < self._ends:
            await trio.lowlevel.checkpoint_if_cancelled()
        elif self._is_renewed:
            await trio.lowlevel.checkpoint()
        else:
            self._is_renewed = True
            try:
                await trio.lowlevel.checkpoint()
            finally:
                self._is_renewed = False
                self._ends = self._now() + self._seconds
