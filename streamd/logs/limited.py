"""The bound on log lines per second, so that a flood of requests or errors is no flood of lines.

Clients can cause nearly every line, directly or by their tasks, so that all lines are bounded, those of
libraries too. A *kind* of line is its logger and its event; for a library, the function that writes it,
because its text may contain a client's.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NoReturn

import structlog
import trio

_WINDOW_SECONDS: Final = 1.0
_REPORT: Final = "lines_suppressed"


class LineLimit:
    """A bound on the lines of each kind per second, of structlog and of the handler of other loggers.

    All threads may write lines. The number of suppressed lines is written by :meth:`report`.

    Args:
        clock: a monotonic clock (s).

    Attributes:
        max_lines_per_second: maximum number of lines of one kind per second (count).
        clock: as given.
        window_ends: the end of the second in which lines are counted, by this clock (s).
        flushes: called before a report, to count further lines as suppressed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_lines_per_second = 100
        self.clock = clock
        self._lock = threading.RLock()  # a finalizer may write a line while its thread counts another
        self.window_ends = 0.0
        self._lines: Counter[tuple[str, str]] = Counter()  # by logger and event
        self._suppressed: Counter[tuple[str, int, str]] = Counter()  # by logger, level and event
        self.flushes: list[Callable[[], None]] = []

    def admits(self, logger: str, level: int, event: str) -> bool:
        """Count a line, and return True unless the bound is reached."""
        if event == _REPORT:
            return True
        with self._lock:
            if self.suppresses(logger, level, event):
                return False
            self._lines[logger, event] += 1
            return True

    def suppresses(self, logger: str, level: int, event: str) -> bool:
        """Count a line as suppressed and return True if the bound is reached; count nothing otherwise."""
        with self._lock:
            now = self.clock()
            if now >= self.window_ends:
                self.window_ends = now + _WINDOW_SECONDS
                self._lines.clear()
            if self._lines.get((logger, event), 0) < self.max_lines_per_second:
                return False
            self._suppressed[logger, level, event] += 1
            return True

    def count_suppressed(self, logger: str, level: int, event: str, count: int) -> None:
        """Count lines as suppressed that :meth:`suppresses` was not asked about."""
        with self._lock:
            self._suppressed[logger, level, event] += count

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop a library's line above the bound: a filter of a handler; lines of structlog pass."""
        if isinstance(record.msg, dict):
            return True
        return self.admits(record.name, record.levelno, f"{record.module}.{record.funcName}")

    def report(self) -> None:
        """Write the number of lines suppressed since the last report: a line for each kind, at its level."""
        for flush in self.flushes:
            flush()
        with self._lock:
            suppressed, self._suppressed = self._suppressed, Counter()
        for (logger, level, event), count in suppressed.items():
            structlog.get_logger(logger).log(level, _REPORT, suppressed=event, count=count)


line_limit: Final = LineLimit()
"""The bound on the log of this process, installed by :func:`~streamd.logs.configure_logging`."""


async def report_suppressed_lines() -> NoReturn:
    """Report the suppressed lines every second, until cancelled, and then those of the last second."""
    try:
        while True:
            await trio.sleep(_WINDOW_SECONDS)
            line_limit.report()
    finally:
        line_limit.report()
