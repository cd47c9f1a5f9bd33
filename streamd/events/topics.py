"""Topics and selectors: the matcher of subscriptions and grants.

A topic is any identifier (:mod:`streamd.characters`); ``/`` and ``:`` separate its segments. Topics are equal
if their code points are: neither case nor outer spaces nor Unicode's normal forms are folded. An exact
selector is compared, never parsed, so a topic may contain a ``*``. :mod:`.pattern` has the others.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import attrs

from ..characters import check_text, find_invalid
from ..errors import InvalidField
from .pattern import EVERYTHING, Pattern
from .pattern_trie import PatternTrie

_UTF8_BYTES_MAX: Final = 4  # of one character
_SHARED_SELECTORS: Final = 256  # some 100 kB


def validate_topic(text: object, max_bytes: int, *, field: str = "topic") -> str:
    """Check that a topic is an identifier, and has at most ``max_bytes`` in UTF-8; return it unchanged.

    Raises:
        InvalidField: it is invalid; the error names ``field``.
    """
    if isinstance(text, str) and 0 < len(text) <= max_bytes // _UTF8_BYTES_MAX and find_invalid(text) is None:
        return text  # as nearly all are
    if not isinstance(text, str):
        raise InvalidField(f"{field} must be text, got {type(text).__name__}", field=field)
    if not text:
        raise InvalidField(f"{field} must not be empty", field=field)
    check_text(text, field)
    if len(text) > max_bytes or len(text.encode()) > max_bytes:
        raise InvalidField(f"{field} is longer than {max_bytes} bytes", field=field)
    return text


_NONE: Final[frozenset[Any]] = frozenset()  # shared: most subscriptions have no pattern


def _frozen_topics(topics: Iterable[str]) -> frozenset[str]:
    return frozenset(topics) or _NONE


def _frozen_patterns(patterns: Iterable[Pattern]) -> frozenset[Pattern]:
    return frozenset(patterns) or _NONE


@attrs.frozen
class Selectors:
    """The topics and patterns of one subscription; an event is selected if one of them matches."""

    topics: frozenset[str] = attrs.field(default=frozenset(), converter=_frozen_topics)
    patterns: frozenset[Pattern] = attrs.field(default=frozenset(), converter=_frozen_patterns)
    _trie: PatternTrie | None = attrs.field(default=None, init=False, eq=False, repr=False)  # once needed

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
        """Check the topics and patterns of a client; lengths are bytes of UTF-8.

        Raises:
            InvalidField: a topic or pattern is invalid, or there are more than ``max_selectors``.
        """
        topics, patterns = list(topics), list(patterns)
        if len(topics) + len(patterns) > max_selectors:
            raise InvalidField(
                f"a subscription may name at most {max_selectors} topics and patterns,"
                f" got {len(topics) + len(patterns)}",
                field="topic" if topics else "pattern",
            )
        checked_topics = [validate_topic(text, max_topic_bytes) for text in topics]
        checked_patterns = [validate_topic(text, max_pattern_bytes, field="pattern") for text in patterns]
        if len(checked_topics) + len(checked_patterns) == 1:
            return _select_topic(*checked_topics) if checked_topics else _select_pattern(*checked_patterns)
        return cls(checked_topics, [Pattern(text) for text in checked_patterns])

    def __bool__(self) -> bool:
        return bool(self.topics or self.patterns)

    def matches(self, topics: Iterable[str]) -> bool:
        """Return True if an event under these topics is selected."""
        for topic in topics:  # any() with a generator would take three times as long
            if topic in self.topics:
                return True
            if self.patterns and (self._trie or self._make_trie()).matches(topic):
                return True
        return False

    def _make_trie(self) -> PatternTrie:
        """Build the trie of the patterns, which most live subscriptions never need."""
        trie = PatternTrie(self.patterns)
        object.__setattr__(self, "_trie", trie)
        return trie

    def union(self, other: "Selectors") -> "Selectors":
        """Return the topics and patterns of both."""
        return Selectors(self.topics | other.topics, self.patterns | other.patterns)

    def without(self, other: "Selectors") -> "Selectors":
        """Return these selectors without those that the other names; the topics they match do not count."""
        return Selectors(self.topics - other.topics, self.patterns - other.patterns)


@lru_cache(_SHARED_SELECTORS)
def _select_topic(topic: str) -> Selectors:
    """Return the same selectors to all clients of a topic, which may be thousands."""
    return Selectors([topic])


@lru_cache(_SHARED_SELECTORS)
def _select_pattern(text: str) -> Selectors:
    return Selectors(patterns=[Pattern(text)])


ALL: Final = Selectors(patterns=frozenset({Pattern(EVERYTHING)}))
"""Selects every event."""
