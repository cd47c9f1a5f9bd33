"""The selector index: finds the subscribers that an event's topics concern."""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from ..events import Pattern, Selectors

S = TypeVar("S")


class SelectorIndex(Generic[S]):
    """Subscribers by exact topic and by pattern, with a cache of the patterns that match a topic.

    Args:
        cache_topics: maximum number of topics in that cache.
    """

    def __init__(self, cache_topics: int) -> None:
        self._cache_topics = cache_topics
        self._by_topic: dict[str, dict[S, None]] = {}
        self._by_pattern: dict[Pattern, dict[S, None]] = {}
        self._matching: dict[str, tuple[Pattern, ...]] = {}

    def add(self, selectors: Selectors, subscriber: S) -> None:
        """Enter a subscriber under each of its selectors."""
        for topic in selectors.topics:
            self._by_topic.setdefault(topic, {})[subscriber] = None
        for pattern in selectors.patterns:
            if pattern not in self._by_pattern:
                self._by_pattern[pattern] = {}
                self._matching.clear()
            self._by_pattern[pattern][subscriber] = None

    def remove(self, selectors: Selectors, subscriber: S) -> None:
        """Remove a subscriber from these selectors; skip those it is not under."""
        for topic in selectors.topics:
            subscribers = self._by_topic.get(topic, {})
            subscribers.pop(subscriber, None)
            if not subscribers:
                self._by_topic.pop(topic, None)
        for pattern in selectors.patterns:
            subscribers = self._by_pattern.get(pattern, {})
            subscribers.pop(subscriber, None)
            if not subscribers and self._by_pattern.pop(pattern, None) is not None:
                self._matching.clear()

    def concerns(self, topics: Iterable[str]) -> bool:
        """Return True if an event under ``topics`` has subscribers."""
        for topic in topics:  # noqa: SIM110 - any() with a generator would take three times as long
            if topic in self._by_topic or (self._by_pattern and self._patterns(topic)):
                return True
        return False

    def find(self, topics: Iterable[str]) -> Sequence[S]:
        """Return the subscribers of an event under ``topics``, each once; a copy, so that it may change."""
        groups = []
        for topic in topics:
            if topic in self._by_topic:
                groups.append(self._by_topic[topic])
            if self._by_pattern:
                groups.extend(self._by_pattern[pattern] for pattern in self._patterns(topic))
        if len(groups) == 1:
            return list(groups[0])
        return list({subscriber: None for group in groups for subscriber in group})

    def _patterns(self, topic: str) -> tuple[Pattern, ...]:
        """Return the patterns that match a topic, from the cache if they are there."""
        patterns = self._matching.get(topic)
        if patterns is None:
            if len(self._matching) >= self._cache_topics:
                del self._matching[next(iter(self._matching))]
            patterns = tuple(pattern for pattern in self._by_pattern if pattern.matches(topic))
            self._matching[topic] = patterns
        return patterns
