"""Settings of the built-in sources."""

import string
from collections.abc import Iterator

import attrs

from ..config import Clash, positive, setting


@attrs.frozen(kw_only=True)
class DemoSettings:
    """The built-in sources: this machine's figures, and files followed line by line."""

    enabled: bool = setting(False, "Publish this machine's CPU, memory, disk and network figures.")
    topic: str = setting("host/metrics", "Topic of the figures.")
    interval_seconds: float = setting(1.0, "Time between two figures (s).", positive)
    follow: list[str] = setting([], "Files to follow line by line.")
    follow_topic: str = setting(
        "files/{name}",
        "Topic of a followed file's lines; {name} is the file's name.",
    )

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        if not _fills_only_name(self.follow_topic):
            yield Clash(
                ("follow_topic",), "{name} is the only thing it can fill in; write {{ and }} for braces"
            )


def _fills_only_name(template: str) -> bool:
    try:
        fields = [
            (name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(template)
        ]
    except ValueError:
        return False
    return all(field == ("name", "", None) for field in fields if field[0] is not None)
