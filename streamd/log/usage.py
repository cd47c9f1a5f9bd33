"""The usage of a log in a storage: events and bytes by topic, and what of them exceeds the bounds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from ..events import Event
from .retention import Retention, TopicBounds
from .settings import LogSettings

WHOLE: Final = ""
"""The name that stands for the whole log among topics, which are never empty."""


@attrs.define
class TopicUsage:
    """The kept events of one topic.

    Args:
        bounds: of the topic.
        events: their number.
        bytes: their size.
        oldest_ms: steady time of the oldest (ms).
    """

    bounds: TopicBounds
    events: int = 0
    bytes: int = 0
    oldest_ms: int = 0


@attrs.frozen
class StoredCounts:
    """The events that are stored.

    Args:
        topics: name, number and bytes of events, and steady time of the oldest (ms; 0 if unknown), by topic.
        events: number of events.
        bytes: their size.
    """

    topics: Sequence[tuple[str, int, int, int]]
    events: int
    bytes: int


@attrs.frozen
class Excess:
    """The part of one topic, or of the whole log, that exceeds the bounds.

    Args:
        topic: the topic, or :data:`WHOLE`.
        events: number of its oldest events to drop.
        bytes: size of its oldest events to drop.
        until_ms: drop the events up to this steady time (ms).
    """

    topic: str
    events: int
    bytes: int
    until_ms: int

    @property
    def is_number(self) -> bool:
        """True if only the number of events is exceeded."""
        return self.bytes <= 0 and self.until_ms < 0

    @property
    def is_empty(self) -> bool:
        """True if nothing is exceeded."""
        return self.is_number and self.events <= 0


@attrs.frozen
class Dropped:
    """The events that one step has dropped.

    Args:
        events: number of events.
        bytes: their size.
        topics: the number and size of events under each topic.
        oldest_ms: steady time of the oldest that each of these topics still has (ms; 0 if unknown).
        newest: number of the newest event dropped of each of these topics.
    """

    events: int
    bytes: int
    topics: Mapping[str, tuple[int, int]]
    oldest_ms: Mapping[str, int]
    newest: Mapping[str, int]


class Usage:
    """Events and bytes, of the whole log and by topic, as of the last announced transaction."""

    def __init__(self, settings: LogSettings) -> None:
        self.events = 0
        self.bytes = 0
        self.topics: dict[str, TopicUsage] = {}
        self._over: dict[str, None] = {}  # the topics with too many events or bytes
        self.apply_settings(settings)

    def apply_settings(self, settings: LogSettings) -> None:
        """Compare with other bounds from now on."""
        self._settings = settings
        self._retention = Retention(settings)
        self._over.clear()
        for name, usage in self.topics.items():
            usage.bounds = self._retention.bounds(name)
            self._note(name, usage)

    def load(self, counts: StoredCounts) -> None:
        """Begin with what is stored."""
        self.events, self.bytes = counts.events, counts.bytes
        self.topics.clear()
        self._over.clear()
        for name, count, size, oldest_ms in counts.topics:
            usage = self.topics[name] = TopicUsage(self._retention.bounds(name), count, size, oldest_ms)
            self._note(name, usage)

    def add(self, event: Event, at_ms: int) -> None:
        """Count an event that was appended at a steady time (ms)."""
        self.events += 1
        self.bytes += event.size
        for name in event.topics:
            usage = self.topics.get(name)
            if usage is None:
                usage = self.topics[name] = TopicUsage(self._retention.bounds(name), oldest_ms=at_ms)
            usage.events += 1
            usage.bytes += event.size
            if usage.events > usage.bounds.max_events or usage.bytes > usage.bounds.max_bytes:
                self._over[name] = None

    def remove(self, dropped: Dropped) -> None:
        """Count events that were dropped."""
        self.events -= dropped.events
        self.bytes -= dropped.bytes
        for name, (events, size) in dropped.topics.items():
            if (usage := self.topics.get(name)) is None:
                continue
            usage.events -= events
            usage.bytes -= size
            if name not in dropped.oldest_ms:
                del self.topics[name]
                self._over.pop(name, None)
            else:
                usage.oldest_ms = dropped.oldest_ms[name]
                self._note(name, usage)

    def correct(self, counts: StoredCounts) -> None:
        """Replace what is known of the whole log, and of some topics."""
        self.events, self.bytes = counts.events, counts.bytes
        for name, events, size, oldest_ms in counts.topics:
            if events <= 0:
                self.topics.pop(name, None)
                self._over.pop(name, None)
                continue
            usage = self.topics.get(name)
            if usage is None:
                usage = self.topics[name] = TopicUsage(self._retention.bounds(name))
            usage.events, usage.bytes, usage.oldest_ms = events, size, oldest_ms
            self._note(name, usage)

    @property
    def exceeds(self) -> bool:
        """True while there are too many events or bytes; ages are looked at by :meth:`find_old`."""
        return bool(self._over) or self._whole_exceeds()

    def excess(self) -> Iterator[Excess]:
        """Yield what exceeds the numbers of events and bytes, first of topics, as of the moment of each."""
        for name in list(self._over):
            if name not in self._over:  # dropped meanwhile with an event of another topic
                continue
            usage = self.topics[name]
            bounds = usage.bounds
            yield Excess(name, usage.events - bounds.max_events, usage.bytes - bounds.max_bytes, -1)
        settings = self._settings
        if self._whole_exceeds():
            yield Excess(WHOLE, self.events - settings.max_events, self.bytes - settings.max_bytes, -1)

    def find_old(self, names: Iterable[str], now_ms: int) -> Iterator[Excess]:
        """Yield what is too old under some topics, at a steady time (ms)."""
        for name in names:
            if (usage := self.topics.get(name)) is not None:
                until_ms = now_ms - round(usage.bounds.max_age_seconds * 1000)
                if usage.oldest_ms < until_ms:
                    yield Excess(name, 0, 0, until_ms)

    def _whole_exceeds(self) -> bool:
        return self.events > self._settings.max_events or self.bytes > self._settings.max_bytes

    def _note(self, name: str, usage: TopicUsage) -> None:
        if usage.events > usage.bounds.max_events or usage.bytes > usage.bounds.max_bytes:
            self._over[name] = None
        else:
            self._over.pop(name, None)
