"""The selector index: finds the subscribers that an event's topics concern.

Exact topics are looked up. The patterns of all subscribers are in one trie, whose answers for the last topics
are cached. Clients choose the patterns, and so how long the trie takes for a topic, and how often it changes:

- The search of a new topic is bounded in one step of the event loop: :meth:`SelectorIndex.explore` goes on
  with it in several, and :meth:`SelectorIndex.concerns` says yes when its answer would take too long.
- A new pattern leaves the cache as it is. An answer notes how many patterns had been added before it, and is
  completed with those added since when it is used again.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from ..events import Pattern, PatternTrie, Selectors

S = TypeVar("S")

_STEP: Final = 64  # patterns tried without a pause: some 20 µs
_NEWEST_MAX: Final = 256  # added patterns with which answers are completed; older answers are searched again
_CACHED_MATCHES: Final = 100_000  # patterns in all answers: 800 kB


class SelectorIndex(Generic[S]):
    """Subscribers by exact topic and by pattern, with a cache of the patterns that match a topic.

    Args:
        cache_topics: maximum number of topics in that cache.
    """

    def __init__(self, cache_topics: int) -> None:
        self._cache_topics = cache_topics
        self._by_topic: dict[str, dict[S, None]] = {}
        self._by_pattern: dict[Pattern, dict[S, None]] = {}
        self._trie = PatternTrie()
        self._newest: list[Pattern] = []  # the last patterns added
        self._added = 0  # patterns, in all
        # By topic: how many patterns had been added, and those that matched; some may be removed since.
        # OrderedDict, because the first item of a dict is searched behind the places of all deleted ones.
        self._answers: OrderedDict[str, tuple[int, tuple[Pattern, ...]]] = OrderedDict()
        self._cached = 0  # patterns in all answers

    def add(self, selectors: Selectors, subscriber: S) -> None:
        """Enter a subscriber under each of its selectors."""
        for topic in selectors.topics:
            self._by_topic.setdefault(topic, {})[subscriber] = None
        for pattern in selectors.patterns:
            if pattern not in self._by_pattern:
                self._by_pattern[pattern] = {}
                self._trie.add(pattern)
                self._added += 1
                self._newest.append(pattern)
                if len(self._newest) == 2 * _NEWEST_MAX:
                    del self._newest[:_NEWEST_MAX]
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
                self._trie.remove(pattern)

    def concerns(self, topics: Iterable[str]) -> bool:
        """Return True if an event under ``topics`` has subscribers, or if finding out would take long."""
        for topic in topics:
            if topic in self._by_topic or (self._by_pattern and self._concerns_pattern(topic)):
                return True
        return False

    def _concerns_pattern(self, topic: str) -> bool:
        patterns = self._look_up(topic)
        if patterns is None:
            for _ in self._search(topic):
                return True
            patterns = self._look_up(topic) or ()
        return any(map(self._by_pattern.__contains__, patterns))

    def explore(self, topics: Iterable[str]) -> Iterable[None]:
        """Prepare :meth:`find` in short steps: iterate over it, and pause in between as you like."""
        return self._explore(topics) if self._by_pattern else ()

    def _explore(self, topics: Iterable[str]) -> Iterator[None]:
        for topic in topics:
            if self._look_up(topic) is None:
                yield from self._search(topic)

    def find(self, topics: Iterable[str]) -> Sequence[S]:
        """Return the subscribers of an event under ``topics``, each once; a copy, so that it may change."""
        groups = []
        for topic in topics:
            if topic in self._by_topic:
                groups.append(self._by_topic[topic])
            if self._by_pattern:
                for pattern in self._patterns(topic):
                    group = self._by_pattern.get(pattern)
                    if group is not None:
                        groups.append(group)
        if len(groups) == 1:
            return list(groups[0])
        return list({subscriber: None for group in groups for subscriber in group})

    def _patterns(self, topic: str) -> tuple[Pattern, ...]:
        """Return the patterns that match a topic, and perhaps some that were removed."""
        patterns = self._look_up(topic)
        while patterns is None:
            for _ in self._search(topic):
                pass
            patterns = self._look_up(topic)
        return patterns

    # --- the cache ----------------------------------------------------------------------------

    def _look_up(self, topic: str) -> tuple[Pattern, ...] | None:
        """Return the cached answer for a topic, completed; None without one, or for one that is too old."""
        answer = self._answers.get(topic)
        if answer is None:
            return None
        added, patterns = answer
        if added == self._added:
            return patterns
        missed = self._added - added
        if missed > _NEWEST_MAX:
            return None
        kept = dict.fromkeys([pattern for pattern in patterns if pattern in self._by_pattern])
        for pattern in self._newest[-missed:]:
            if pattern in self._by_pattern and pattern.matches(topic):
                kept[pattern] = None
        return self._remember(topic, self._added, tuple(kept))

    def _search(self, topic: str) -> Iterator[None]:
        """Search the trie for the patterns that match a topic, with a yield after each step; cache them."""
        added = self._added
        found: dict[Pattern, None] = {}
        for number, pattern in enumerate(self._trie.search(topic), start=1):
            if pattern is not None:
                found[pattern] = None
            if number % _STEP == 0:
                yield
        self._remember(topic, added, tuple(found))

    def _remember(self, topic: str, added: int, patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
        """Cache an answer, and give up the oldest of others if there are too many."""
        before = self._answers.pop(topic, None)
        if before is not None:
            self._cached -= len(before[1])
        while self._answers and (
            len(self._answers) >= self._cache_topics or self._cached + len(patterns) > _CACHED_MATCHES
        ):
            _, (_, given_up) = self._answers.popitem(last=False)
            self._cached -= len(given_up)
        self._answers[topic] = added, patterns
        self._cached += len(patterns)
        return patterns
