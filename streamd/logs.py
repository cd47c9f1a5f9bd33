"""The log on standard error, through structlog and the standard library's logging."""

import logging
import sys

import attrs
import structlog

from .config import one_of, setting


@attrs.frozen(kw_only=True)
class LoggingSettings:
    """The log on standard error."""

    level: str = setting(
        "info",
        "Minimum severity of a log line.",
        one_of("debug", "info", "warning", "error"),
    )
    format: str = setting(
        "console", "Format: console for people, json for machines.", one_of("console", "json")
    )


def configure_logging(settings: LoggingSettings) -> None:
    """Send the log of streamd and of its libraries to standard error, for a console or as JSON lines."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
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
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # without variables, which may be secret
            )
        ]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
