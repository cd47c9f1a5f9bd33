"""Log lines that clients cause: bounded per second, so that a flood of requests is no flood of lines."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, Final, NoReturn
from weakref import WeakSet

import trio

_WINDOW_SECONDS: Final = 1.0


class LimitedLog:
    """A logger that writes a bounded number of lines of each event per second.

    The number of suppressed lines is written by :func:`report_suppressed_lines`.

    Args:
        logger: a structlog logger, which writes the lines.
        clock: a monotonic clock (s).

    Attributes:
        max_lines_per_second: maximum number of lines of one event per second (count), for all instances; set
            by :func:`~streamd.logs.configure_logging`.
    """

    max_lines_per_second: ClassVar[int] = 100
    _all: ClassVar["WeakSet[LimitedLog]"] = WeakSet()

    def __init__(self, logger: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._window_ends = 0.0
        self._lines: Counter[str] = Counter()
        self._suppressed: Counter[tuple[str, str]] = Counter()  # by level and event
        self._all.add(self)

    def debug(self, event: str, **fields: Any) -> None:
        """Write a line at level debug, unless the bound is reached."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Write a line at level info, unless the bound is reached."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Write a line at level warning, unless the bound is reached."""
        self._write("warning", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        now = self._clock()
        if now >= self._window_ends:
            self._window_ends = now + _WINDOW_SECONDS
            self._lines.clear()
        if self._lines[event] >= self.max_lines_per_second:
            self._suppressed[level, event] += 1
        else:
            self._lines[event] += 1
            getattr(self._logger, level)(event, **fields)

    def report(self) -> None:
        """Write the number of lines suppressed since the last report: a line for each event, at its level."""
        suppressed, self._suppressed = self._suppressed, Counter()
        for (level, event), count in suppressed.items():
            getattr(self._logger, level)("lines_suppressed", suppressed=event, count=count)

    @classmethod
    def report_all(cls) -> None:
        """Call :meth:`report` of every instance."""
        for limited in list(cls._all):
            limited.report()


async def report_suppressed_lines() -> NoReturn:
    """Report the suppressed lines of all limited logs every second, until cancelled."""
    while True:
        await trio.sleep(_WINDOW_SECONDS)
        LimitedLog.report_all()
