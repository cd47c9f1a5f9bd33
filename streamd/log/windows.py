"""The entries of a memory log: all of them, those of one age, and those of one topic, each in log order."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Final

import msgspec

from ..events import Event, EventId
from .retention import TopicBounds

_SPARE: Final = 128  # when a window is full, this part of its entries is dropped, and as many at most
_EXPIRED_AT_ONCE: Final = 1000  # events without a checkpoint


class LogEntry(msgspec.Struct, eq=False, gc=False):
    """One event in the windows of its topics."""

    id: EventId
    event: Event | None  # None: it was dropped, and the entry is to be removed
    end: EventId  # the last id of its append
    at: float  # time of the append (s, monotonic): the time in the id is the wall clock's, which may be set
    max_age: float  # the shortest of its topics (s)


class LogWindow:
    """Entries in log order, of one topic, of one age or of all; new ones come at the end, any may be dropped.

    Dropped entries at the front are skipped at once. Those in between are removed when they are the
    majority, so that the list never has more than twice the live entries.
    """

    __slots__ = ("_start", "bytes", "entries", "live")

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self._start = 0
        self.live = 0
        self.bytes = 0

    def newest_id(self) -> EventId:
        """Return the id of the newest entry, dropped or not; there must be one."""
        return self.entries[-1].id

    def find(self, event_id: EventId) -> LogEntry | None:
        """Return the live entry with an id."""
        index = bisect_left(self.entries, event_id, self._start, key=entry_id)
        found = self.entries[index] if index < len(self.entries) else None
        return found if found is not None and found.id == event_id and found.event is not None else None

    def oldest(self) -> LogEntry:
        """Return the first live entry; there must be one."""
        return self.entries[self._start]

    def oldest_first(self) -> Iterator[LogEntry]:
        """Iterate over the live entries."""
        return (entry for entry in islice(self.entries, self._start, None) if entry.event is not None)

    def excess(self, max_events: int, max_bytes: int) -> list[LogEntry]:
        """Return the oldest entries, without which the bounds are kept; of thousands, some more of them.

        Dropping a hundred at once costs a fifth of dropping one with each event that takes its place.
        """
        live, size = self.live, self.bytes
        spare = min(live // _SPARE, _SPARE)
        found: list[LogEntry] = []
        for entry in self.oldest_first():
            if live <= max_events and size <= max_bytes:
                if not spare:
                    break
                spare -= 1
            found.append(entry)
            live -= 1
            size -= entry.event.size if entry.event else 0
        return found

    def oldest_few(self) -> list[LogEntry]:
        """Return the oldest entries, as many as are dropped at once from a window that is full."""
        return list(islice(self.oldest_first(), max(1, min(self.live // _SPARE, _SPARE))))

    def older(self, limit: float) -> list[LogEntry]:
        """Return the oldest entries that were appended before a time, a thousand at most."""
        return list(takewhile(lambda entry: entry.at < limit, islice(self.oldest_first(), _EXPIRED_AT_ONCE)))

    def count_dropped(self, count: int, size: int) -> None:
        """Count entries as dropped, of events of ``size`` bytes together; trim the list if it is time."""
        live = self.live = self.live - count
        self.bytes -= size
        entries, start = self.entries, self._start
        end = len(entries)
        while start < end and entries[start].event is None:
            start += 1
        if end > 2 * live + 64:  # 64: copying small windows again and again would cost more
            if end - start == live:
                del entries[:start]
            else:
                self.entries = [entry for entry in entries[start:] if entry.event is not None]
            start = 0
        self._start = start

    def after(self, cursor: EventId) -> Iterator[LogEntry]:
        """Iterate over the entries after ``cursor``, dropped ones included."""
        entries = self.entries
        first = bisect_right(entries, cursor, self._start, key=entry_id)
        return (entries[index] for index in range(first, len(entries)))


class TopicWindow(LogWindow):
    """The entries of one topic, and its bounds.

    Args:
        bounds: of the topic.
        of_age: the entries of all topics with the same maximum age.
    """

    __slots__ = ("bounds", "of_age")

    def __init__(self, bounds: TopicBounds, of_age: LogWindow) -> None:
        super().__init__()
        self.bounds = bounds
        self.of_age = of_age

    @property
    def is_full(self) -> bool:
        """True while there is more than the bounds allow."""
        return self.live > self.bounds.max_events or self.bytes > self.bounds.max_bytes


def entry_id(entry: LogEntry) -> EventId:
    """Return the id of an entry."""
    return entry.id
