"""Configuration of structlog and the standard library's logging."""

import io
import logging
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import structlog

from ..characters import escape_invalid
from .levels import EVERYWHERE, LIBRARIES, PACKAGES, debugged_areas, parse_levels
from .limited import line_limit
from .settings import LoggingSettings

_ROOT: Final = __name__.partition(".")[0]
_LEVELS: Final = {
    **{name.lower(): level for name, level in logging.getLevelNamesMapping().items()},
    "exception": logging.ERROR,
}
"""Levels by the methods of a logger."""
_NO_VARIABLES: Final[Mapping[str, str]] = {}


class EarlyLogger(structlog.stdlib.BoundLogger):
    """A logger that drops suppressed lines before any processor runs, as most requests write one.

    It overrides the one method through which all lines of structlog's ``BoundLogger`` go.
    """

    def _proxy_to_logger(self, method_name: str, event: str | None = None, *args: str, **fields: Any) -> Any:
        level = _LEVELS[method_name]
        if self._logger.isEnabledFor(level) and line_limit.admits(self._logger.name, level, str(event)):
            return super()._proxy_to_logger(method_name, event, *args, **fields)
        return None

    def suppresses(self, level: int, event: str) -> bool:
        """Return True if a line is below its level or above the bound, which counts it as suppressed."""
        logger = self._logger
        return not logger.isEnabledFor(level) or line_limit.suppresses(logger.name, level, event)


class LineFormatter(structlog.stdlib.ProcessorFormatter):
    """The formatter of all lines, which takes those of structlog as they are.

    Its base class copies a record for the processors of a line, and formats the result again: a third of the
    time of a line.

    Args:
        shared: the processors that lines of structlog have passed, for those of other loggers.
        renderer: makes a text of a line's fields.
    """

    def __init__(
        self, shared: list[structlog.typing.Processor], renderer: list[structlog.typing.Processor]
    ) -> None:
        self._renderer = renderer
        processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer]
        super().__init__(foreign_pre_chain=shared, processors=processors)

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a line."""
        if not isinstance(record.msg, dict) or record.exc_info:
            return super().format(record)
        line: Any = record.msg.copy()
        for process in self._renderer:
            line = process(None, record.levelname.lower(), line)
        return str(line)


class FrequentLine:
    """A line that most requests write, and whose fields are made only if it is not suppressed.

    Once the bound of a second is reached, a line costs as much as a look at the clock. For the thread of the
    event loop alone.

    Args:
        log: a logger of structlog.
        event: of the line.
    """

    __slots__ = ("_counts", "_event", "_log", "_logger", "_until")

    def __init__(self, log: Any, event: str) -> None:
        self._log = log
        self._event = event
        self._logger = ""  # its name
        self._until = 0.0  # the end of the second whose bound was reached last
        self._counts: dict[int, int] = {}  # of lines suppressed by it, by level, that were not reported
        line_limit.flushes.append(self._flush)

    def is_suppressed(self, level: int) -> bool:
        """Return True if the line is suppressed. Do not log it then: it would be counted twice.

        Args:
            level: of the line, as in the standard library's logging.
        """
        if level in self._counts and line_limit.clock() < self._until:
            self._counts[level] += 1
            return True
        bound = self._log.bind()
        if not (isinstance(bound, EarlyLogger) and bound.suppresses(level, self._event)):
            return False
        if bound.isEnabledFor(level):
            self._logger = bound.name
            self._until = line_limit.window_ends
            self._counts.setdefault(level, 0)
        return True

    def _flush(self) -> None:
        for level, count in self._counts.items():
            if count:
                line_limit.count_suppressed(self._logger, level, self._event, count)
                self._counts[level] = 0


def configure_logging(settings: LoggingSettings, environ: Mapping[str, str] = _NO_VARIABLES) -> None:
    """Send the log of streamd and of its libraries to standard error, for a console or as JSON lines.

    It may be called again while the program runs: the levels, the format and the bound are replaced.

    Args:
        settings: the section ``[logging]``.
        environ: the environment; ``DEBUG=sse:*`` sets connections and transports to ``debug``.
    """
    _set_levels(settings, environ)
    line_limit.max_lines_per_second = settings.max_lines_per_second
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.format == "json"
        else [
            escape_values,
            structlog.dev.ConsoleRenderer(
                sort_keys=False, colors=sys.stderr.isatty(), exception_formatter=_format_traceback
            ),
        ]
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=EarlyLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(line_limit.filter)
    handler.setFormatter(LineFormatter(shared, renderer))
    logging.basicConfig(handlers=[handler], force=True)


def escape_values(_logger: object, _method: str, fields: structlog.typing.EventDict) -> Mapping[str, Any]:
    """Escape the texts of a log line, which may be a client's, for the terminal that shows it."""
    return {
        name: escape_invalid(value) if isinstance(value, str) else value for name, value in fields.items()
    }


def _format_traceback(out: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    """Write a traceback without variables, which may be secret."""
    traceback = io.StringIO()
    structlog.dev.plain_traceback(traceback, exc_info)
    out.write(escape_invalid(traceback.getvalue(), keep="\n\t"))


def _set_levels(settings: LoggingSettings, environ: Mapping[str, str]) -> None:
    """Set the level of each area's logger; those without a level of their own take that of ``*``."""
    levels = parse_levels(settings.level)
    levels |= dict.fromkeys(debugged_areas(environ), "debug")
    numbers = logging.getLevelNamesMapping()
    everywhere = numbers[levels[EVERYWHERE].upper()]
    libraries = levels.get(LIBRARIES)
    logging.getLogger().setLevel(
        max(everywhere, logging.WARNING) if libraries is None else numbers[libraries.upper()]
    )
    logging.getLogger(_ROOT).setLevel(everywhere)
    for area in PACKAGES:
        level = numbers[levels[area].upper()] if area in levels else logging.NOTSET
        logging.getLogger(f"{_ROOT}.{area}").setLevel(level)
