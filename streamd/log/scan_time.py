"""The time for which a log scans events for one page in one step of the event loop."""

import time
from collections.abc import Callable
from typing import Final

# Thousands of events for one pattern, fewer for patterns that are hard to match. One pass of the loop reads
# up to eight pages (``tuning.hub.replay_reads``): 24 ms.
_SECONDS: Final = 0.003
_EVENTS_AT_ONCE: Final = 16  # between looks at the clock


class ScanTime:
    """Bounds the processor time of the scan for a page: clients choose the patterns that it tries.

    A page ends early when the time is used up, and has considered some events by then.

    Args:
        cpu_time: the processor time of this thread (s).
    """

    __slots__ = ("_cpu_time", "_deadline")

    def __init__(self, cpu_time: Callable[[], float] = time.thread_time) -> None:
        self._cpu_time = cpu_time
        self._deadline = float("-inf")

    def begin(self) -> None:
        """Start the scan for a page."""
        self._deadline = self._cpu_time() + _SECONDS

    def is_over(self, scanned: int) -> bool:
        """Return True if the scan should end after the event of this number."""
        return scanned % _EVENTS_AT_ONCE == 0 and self._cpu_time() >= self._deadline
