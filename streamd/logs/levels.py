"""Levels of log lines by area: ``connections=debug,*=info``."""

from collections.abc import Mapping
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")
EVERYWHERE: Final = "*"
"""The area of all lines of streamd whose own area is not named."""
LIBRARIES: Final = "libraries"
"""The area of all lines that do not come from streamd, such as Hypercorn's."""
PACKAGES: Final = (
    "auth",
    "bridge",
    "cli",
    "clock",
    "computing",
    "connections",
    "database",
    "demo",
    "extension",
    "http",
    "limits",
    "log",
    "logs",
    "proxies",
    "redis",
    "server",
    "services",
    "tasks",
    "text",
    "transports",
    "unreadable",
)
"""The packages of streamd that write log lines; each is an area."""
AREAS: Final = (EVERYWHERE, *PACKAGES, LIBRARIES)
_STREAMS: Final = ("connections", "transports")
_DEFAULT: Final = "info"


def parse_levels(text: str) -> dict[str, str]:
    """Parse levels by area.

    Args:
        text: ``AREA=LEVEL`` with commas in between, the area ``*`` for all others. A level alone is that
            of ``*``.

    Returns:
        The level of each area that the text names, and that of ``*``.

    Raises:
        ValueError: an area or a level is unknown, or an area is named twice.
    """
    levels: dict[str, str] = {}
    for part in text.split(","):
        area, equals, level = (piece.strip() for piece in part.rpartition("="))
        area = area if equals else EVERYWHERE
        if level not in LEVELS:
            raise ValueError(f"there is no level {level!r}; there are {', '.join(LEVELS)}")
        if area not in AREAS:
            raise ValueError(f"there is no area {area!r}; there are {', '.join(AREAS)}")
        if area in levels:
            raise ValueError(f"the area {area!r} is named twice")
        levels[area] = level
    return {EVERYWHERE: _DEFAULT, **levels}


def is_levels(text: str) -> bool:
    """Return True if the text is valid, see :func:`parse_levels`."""
    try:
        parse_levels(text)
    except ValueError:
        return False
    return True


def debugged_areas(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the areas that the variable ``DEBUG`` sets to ``debug``.

    ``DEBUG=sse:*`` and ``DEBUG=*`` mean connections and transports. As in the npm package ``debug``, there
    may be several patterns, with commas or spaces in between; those for other programs have no effect.
    """
    patterns = environ.get("DEBUG", "").replace(",", " ").split()
    return _STREAMS if any(pattern.split(":")[0] in ("sse", "*") for pattern in patterns) else ()
