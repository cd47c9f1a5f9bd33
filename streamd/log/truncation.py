"""Truncation records: how far a log has dropped the events of each topic.

The record of a topic is its newest dropped event. Logs keep a bounded number of records; the others are
folded into one, which may report a gap where there was none.

A topic is looked up. For patterns there is a trie of the topics (:mod:`.topic_trie`). Only replays by pattern
need it, so they bring it up to date, and dropping events stays cheap. This and searching pause when their
time slice is used up.
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import Final

from ..events import EARLIEST, EventId, Selectors
from ..events.pattern import EVERYTHING
from ..time_slice import TimeSlice
from .topic_trie import TopicTrie

_TOPIC_CHARS: Final = 128  # of a topic on average, when the number of records is at its maximum
_STEP: Final = 32  # steps between looks at the clock: some 20 µs
_ROUNDS_MAX: Final = 3  # in which a search looks at what changed during the round before


class TruncationRecords:
    """The newest dropped event of each topic.

    Args:
        max_records: maximum number of topics; beyond it, the records that changed least recently are folded.
            They are, too, while the topics have more than 128 characters each on average of the maximum.
        time_slice: of all searches together.

    Attributes:
        newest: the newest dropped event of all topics.
        folded: the newest event among the folded records.
    """

    def __init__(self, max_records: int, time_slice: TimeSlice | None = None) -> None:
        self.newest = EARLIEST
        self.folded = EARLIEST
        self._max_records = max_records
        self._slice = time_slice or TimeSlice()
        self._records: OrderedDict[str, EventId] = OrderedDict()  # least recently changed first
        self._chars = 0
        self._changes = 0
        self._trie = TopicTrie(self._records)
        self._outdated: dict[str, None] = {}  # topics that changed since they were put into the trie

    def __len__(self) -> int:
        return len(self._records)

    def get(self, topic: str, default: EventId = EARLIEST) -> EventId:
        """Return the record of a topic."""
        return self._records.get(topic, default)

    def record(self, topic: str, event_id: EventId) -> None:
        """Note that an event of a topic was dropped."""
        records = self._records
        if topic not in records:
            self._chars += len(topic)
        if event_id > records.get(topic, EARLIEST):
            records[topic] = event_id
            self.newest = max(self.newest, event_id)
        records.move_to_end(topic)
        self._changes += 1
        self._outdated[topic] = None
        while len(records) > self._max_records or self._chars > _TOPIC_CHARS * self._max_records:
            self._fold(next(iter(records)))

    def fold_until(self, event_id: EventId) -> None:
        """Fold the records up to an event."""
        if event_id > self.folded:
            self.folded = event_id
            self.newest = max(self.newest, event_id)
            for topic in [topic for topic, newest in self._records.items() if newest <= event_id]:
                self._fold(topic)

    def _fold(self, topic: str) -> None:
        self.folded = max(self.folded, self._records.pop(topic))
        self._chars -= len(topic)
        self._changes += 1
        if topic in self._trie:
            self._outdated[topic] = None
        else:
            self._outdated.pop(topic, None)

    async def find(self, selectors: Selectors, after: EventId) -> EventId:
        """Return the newest dropped event of the selected topics if it is after a position, or an earlier id.

        It returns in the step in which the answer is right. With patterns it may pause before.
        """
        if self.newest <= after:
            return self.newest
        if not selectors.patterns:
            return self._newest_of(selectors.topics)
        if any(pattern.text in (EVERYTHING, "**") for pattern in selectors.patterns):
            return self.newest
        await self._bring_up_to_date()
        changes = self._changes
        best = max(after, self.folded)
        for number, newer in enumerate(self._trie.search(selectors, best), start=1):
            best = newer or best
            if number % _STEP == 0:
                await self._slice.pause()
        rounds = 0
        while changes < self._changes:
            changed, changes, rounds = self._changes - changes, self._changes, rounds + 1
            for number, topic in enumerate(list(islice(reversed(self._records), changed)), start=1):
                newest = self._records.get(topic, EARLIEST)
                if newest > best and selectors.matches((topic,)):
                    best = newest
                if number % _STEP == 0 and rounds < _ROUNDS_MAX:
                    await self._slice.pause()
        return max(best, self.folded, self._newest_of(selectors.topics))

    def _newest_of(self, topics: Iterable[str]) -> EventId:
        return max([self._records.get(topic, self.folded) for topic in topics], default=EARLIEST)

    async def _bring_up_to_date(self) -> None:
        """Put the topics that changed into the trie."""
        number = 0
        while self._outdated:
            topic, _ = self._outdated.popitem()
            if topic in self._records:
                self._trie.put(topic)
            else:
                self._trie.remove(topic)
            number += 1
            if number % _STEP == 0:
                await self._slice.pause()
