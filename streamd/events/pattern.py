"""Patterns: selectors with wildcards.

In a pattern a segment ``*`` matches one segment that is not empty, and a last segment ``**`` the rest of the
topic (at least one character). Everything else in it, the separators included, matches itself. The pattern
``*`` alone matches every topic.

A pattern is no regular expression, because compiling one takes milliseconds, and clients choose it. A ``*``
takes a whole segment, up to the next separator, so there is one way only to match a topic. Finding it takes
time in proportion to the topic's length.
"""

import re
from typing import Final

import attrs

from ..characters import quoted
from ..errors import InvalidField

EVERYTHING: Final = "*"
# Searched in C: a pattern may have hundreds of segments. The star comes first, which is found fastest.
_STARS: Final = re.compile(r"\*(?<![^/:]\*)(?![^/:])")  # segments `*`
_LAST_REST: Final = re.compile(r"\*\*(?<![^/:]\*\*)\Z")  # a segment `**`
_MISPLACED_REST: Final = re.compile(r"\*\*(?<![^/:]\*\*)[/:]")
_OTHER: Final = {"/": ":", ":": "/"}
_BREAK: Final = "\0"  # occurs in no topic
_ALL: Final = -1  # segments


def split_segments(text: str, maximum: int = _ALL) -> list[str]:
    """Split a topic or pattern into segments, each with the separator before it.

    Args:
        text: the topic or pattern.
        maximum: number of segments; a further item has the rest.
    """
    return text.replace("/", _BREAK + "/").replace(":", _BREAK + ":").split(_BREAK, maximum)


@attrs.frozen
class Pattern:
    """A selector with wildcards. Equal texts are equal patterns.

    Raises:
        InvalidField: ``**`` is a segment, but not the last one.
    """

    text: str
    _first: str = attrs.field(init=False, eq=False, repr=False)  # what is before the first `*`, or all
    # What follows each `*`: a separator, and all up to the next `*` or to the end.
    _literals: tuple[str, ...] = attrs.field(init=False, eq=False, repr=False)
    _ends_with: str = attrs.field(init=False, eq=False, repr=False)  # `*`, `**`, or nothing

    def __attrs_post_init__(self) -> None:
        text = "**" if self.text == EVERYTHING else self.text
        end = ""
        if "**" in text:
            if _MISPLACED_REST.search(text):
                raise InvalidField(
                    f"'**' may only be the last segment of a pattern: {quoted(text)}", field="pattern"
                )
            if _LAST_REST.search(text):
                text, end = text[:-2], "**"
        first, *literals = _STARS.split(text)
        if literals and not literals[-1]:
            literals, end = literals[:-1], "*"
        object.__setattr__(self, "_first", first)
        object.__setattr__(self, "_literals", tuple(literals))
        object.__setattr__(self, "_ends_with", end)

    def matches(self, topic: str) -> bool:
        """Return True if the pattern matches the whole topic."""
        if not topic.startswith(self._first):
            return False
        position = len(self._first)
        for literal in self._literals:
            separator = literal[0]
            other = _OTHER[separator]
            end = topic.find(separator, position)  # of the segment that the `*` takes
            if end <= position or not topic.startswith(literal, end) or topic.find(other, position, end) >= 0:
                return False
            position = end + len(literal)
        if not self._ends_with:
            return position == len(topic)
        if position == len(topic):
            return False
        return self._ends_with == "**" or (topic.find("/", position) < 0 and topic.find(":", position) < 0)
