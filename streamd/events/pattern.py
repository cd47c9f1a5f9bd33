"""Patterns: selectors with wildcards.

In a pattern a segment ``*`` matches one segment that is not empty, and a last segment ``**`` the rest of the
topic (at least one character). Everything else in it, the separators included, matches itself. The pattern
``*`` alone matches every topic.

A pattern is no regular expression, because compiling one takes milliseconds, and clients choose it. A ``*``
takes a whole segment, so there is one way only to match a topic: a topic in which these segments are replaced
by ``*`` must be equal to the pattern. That takes time in proportion to the topic's length.
"""

from typing import Final

import attrs

from ..characters import quoted
from ..errors import InvalidField

EVERYTHING: Final = "*"
_REST: Final = ("**", "/**", ":**")
_STARS: Final = ("*", "/*", ":*")
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
    _first: str = attrs.field(init=False, eq=False, repr=False)  # what is before the first wildcard
    _stars: tuple[int, ...] = attrs.field(init=False, eq=False, repr=False)  # the segments `*`
    _segments: int = attrs.field(init=False, eq=False, repr=False)  # without `**`
    _takes_rest: bool = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        text = self.text
        segments = split_segments("**" if text == EVERYTHING else text)
        if any(rest in segments[:-1] for rest in _REST):
            raise InvalidField(
                f"'**' may only be the last segment of a pattern: {quoted(text)}", field="pattern"
            )
        takes_rest = segments[-1] in _REST
        if takes_rest:
            last = segments.pop()[:-2]
        stars = tuple([index for index, segment in enumerate(segments) if segment in _STARS])
        first = "".join(segments[: stars[0]]) + segments[stars[0]][:-1] if stars else "".join(segments)
        object.__setattr__(self, "_first", first + last if takes_rest and not stars else first)
        object.__setattr__(self, "_stars", stars)
        object.__setattr__(self, "_segments", len(segments))
        object.__setattr__(self, "_takes_rest", takes_rest)

    def matches(self, topic: str) -> bool:
        """Return True if the pattern matches the whole topic."""
        if not topic.startswith(self._first):
            return False
        if not self._stars:
            return len(topic) > len(self._first) if self._takes_rest else len(topic) == len(self._first)
        count = self._segments
        segments = split_segments(topic, count)
        if len(segments) != count + self._takes_rest:
            return False
        for index in self._stars:
            segment = segments[index]
            if index and len(segment) > 1:
                segments[index] = segment[0] + "*"
            elif index or not segment:
                return False
            else:
                segments[0] = "*"
        if self._takes_rest:
            if len(segments[count]) == 1:
                return False
            segments[count] = segments[count][0] + "**"
        return "".join(segments) == self.text
