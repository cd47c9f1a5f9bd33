"""The log on standard error: one line an event, through structlog and the standard library's logging.

============  ===================================================================================
``levels``    levels by area, such as ``connections=debug,*=info``; the areas
``settings``  the section ``[logging]``
``configure`` sends all lines to standard error, for a console or as JSON
``limited``   the bound on lines of one kind per second, and the count of those it suppresses
============  ===================================================================================

An area is a package of streamd; its name is the beginning of its loggers' names. May import
``streamd.config``, structlog and trio.
"""

from .configure import FrequentLine, configure_logging
from .limited import report_suppressed_lines
from .settings import LoggingSettings

__all__ = ["FrequentLine", "LoggingSettings", "configure_logging", "report_suppressed_lines"]
