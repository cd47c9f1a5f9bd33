"""Topics, and the one matcher that subscriptions and grants share.

A topic is any printable text; its segments are separated by ``/`` and ``:``. An exact selector is
compared, never parsed, so a topic may well contain a ``*``. In a pattern a segment ``*`` stands for
one segment that is not empty, a last segment ``**`` for the rest (at least one character), and
everything else, the separators included, for itself. The pattern ``*`` alone selects every topic.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import attrs

from ..errors import InvalidField

_SEPARATOR: Final = re.compile(r"([/:])")
EVERYTHING: Final = "*"


def validate_topic(text: object, max_bytes: int, *, field: str = "topic") -> str:
    """Check one topic: printable, not empty, at most ``max_bytes`` of UTF-8.

    Raises:
        InvalidField: names ``field`` and says what is wrong.
    """
    if not isinstance(text, str):
        raise InvalidField(f"{field} must be text, got {type(text).__name__}", field=field)
    if not text:
        raise InvalidField(f"{field} must not be empty", field=field)
    if not text.isprintable():
        raise InvalidField(
            f"{field} must be printable text without control characters or line breaks", field=field
        )
    if len(text) > max_bytes or len(text.encode()) > max_bytes:
        raise InvalidField(f"{field} is longer than {max_bytes} bytes", field=field)
    return text


@attrs.frozen
class Pattern:
    """A selector with wildcards. Equal texts are equal patterns.

    Raises:
        InvalidField: ``**`` stands anywhere but in the last segment.
    """

    text: str
    _regex: re.Pattern[str] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_regex", _compile(self.text))

    def matches(self, topic: str) -> bool:
        """Whether the whole topic fits."""
        return self._regex.fullmatch(topic) is not None


def _compile(text: str) -> re.Pattern[str]:
    if text == EVERYTHING:
        return re.compile(r".+", re.DOTALL)
    parts = _SEPARATOR.split(text)  # segments at even places, separators between them
    if "**" in parts[:-1]:
        raise InvalidField(f"'**' may only be the last segment of a pattern: {text!r}", field="pattern")
    wildcards = {"*": r"[^/:]+", "**": r".+"}
    return re.compile("".join(wildcards.get(part, re.escape(part)) for part in parts), re.DOTALL)


_NONE: Final[frozenset[Any]] = frozenset()  # one for all: most subscriptions have no pattern


def _frozen_topics(topics: Iterable[str]) -> frozenset[str]:
    return frozenset(topics) or _NONE


def _frozen_patterns(patterns: Iterable[Pattern]) -> frozenset[Pattern]:
    return frozenset(patterns) or _NONE


@attrs.frozen
class Selectors:
    """What one subscription asks for: any of these topics, or any topic one of these patterns matches."""

    topics: frozenset[str] = attrs.field(default=frozenset(), converter=_frozen_topics)
    patterns: frozenset[Pattern] = attrs.field(default=frozenset(), converter=_frozen_patterns)

    @classmethod
    def parse(
        cls,
        topics: Iterable[str] = (),
        patterns: Iterable[str] = (),
        *,
        max_selectors: int,
        max_topic_bytes: int,
        max_pattern_bytes: int,
    ) -> "Selectors":
        """Check what a client asks for; lengths in bytes of UTF-8.

        Raises:
            InvalidField: a topic or pattern cannot be one, or there are more than ``max_selectors``.
        """
        topics, patterns = list(topics), list(patterns)
        if len(topics) + len(patterns) > max_selectors:
            raise InvalidField(
                f"a subscription may name at most {max_selectors} topics and patterns,"
                f" got {len(topics) + len(patterns)}",
                field="topic" if topics else "pattern",
            )
        return cls(
            [validate_topic(text, max_topic_bytes) for text in topics],
            [Pattern(validate_topic(text, max_pattern_bytes, field="pattern")) for text in patterns],
        )

    def __bool__(self) -> bool:
        return bool(self.topics or self.patterns)

    def matches(self, topics: Iterable[str]) -> bool:
        """Whether an event under these topics is asked for."""
        return any(
            topic in self.topics or any(pattern.matches(topic) for pattern in self.patterns)
            for topic in topics
        )

    def union(self, other: "Selectors") -> "Selectors":
        """Everything either of the two asks for."""
        return Selectors(self.topics | other.topics, self.patterns | other.patterns)

    def without(self, other: "Selectors") -> "Selectors":
        """This less the topics and patterns the other names: by name, not by what they match."""
        return Selectors(self.topics - other.topics, self.patterns - other.patterns)


ALL: Final = Selectors(patterns=frozenset({Pattern(EVERYTHING)}))
"""Selects every event."""
