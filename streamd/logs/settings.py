"""The section ``[logging]``."""

from typing import Final

import attrs

from ..config import Check, one_of, positive, setting, tuning
from .levels import AREAS, LEVELS, is_levels

_LEVELS: Final = Check(
    f"a level ({', '.join(LEVELS)}), or AREA=LEVEL with commas in between, where AREA is one of "
    + ", ".join(AREAS),
    is_levels,
)


@attrs.frozen(kw_only=True)
class LoggingSettings:
    """The log on standard error."""

    level: str = setting(
        "info",
        "Minimum severity of a log line, for all areas or by area, such as "
        '"connections=debug,*=info"; the area * is all others.',
        _LEVELS,
        reload=True,
    )
    format: str = setting(
        "console", "Format: console for people, json for machines.", one_of("console", "json"), reload=True
    )
    max_lines_per_second: int = tuning(
        100,
        "Maximum number of lines of one kind per second (count). "
        "Further ones are suppressed, and counted in a line of their own.",
        positive,
        reload=True,
    )
