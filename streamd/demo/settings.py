"""Settings of the built-in sources."""

import string
from collections.abc import Iterator
from typing import Final

import attrs

from ..characters import find_invalid
from ..config import Check, Clash, positive, setting, tuning

_TOPIC: Final = Check(
    "not empty, and without bidi overrides", lambda text: bool(text) and not find_invalid(text)
)


@attrs.frozen(kw_only=True)
class DemoSettings:
    """The built-in sources: this machine's load, and files followed line by line."""

    enabled: bool = setting(False, "Publish this machine's CPU, memory, disk and network load.")
    topic: str = setting("host/metrics", "Topic of the load.", _TOPIC)
    interval_seconds: float = tuning(1.0, "Interval between two samples of the load (s).", positive)
    follow: list[str] = setting([], "Files to follow line by line.")
    follow_topic: str = setting(
        "files/{name}",
        "Topic of the lines of a followed file; {name} stands for the file's name.",
    )

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        if not _fills_only_name(self.follow_topic):
            yield Clash(("follow_topic",), "{name} is its only placeholder; write {{ and }} for braces")


def _fills_only_name(template: str) -> bool:
    """Return True if ``{name}`` is the only replacement field of a format string."""
    try:
        fields = [
            (name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(template)
        ]
    except ValueError:
        return False
    return all(field == ("name", "", None) for field in fields if field[0] is not None)
