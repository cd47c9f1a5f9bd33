"""The memory log: events in this process, bounded by number, bytes and age.

The bounds apply to each topic and to the whole log. An event with several topics is dropped when the
first of them is full. Nothing survives the process: a restart begins a new epoch, and a client that
resumes from an earlier id gets a gap.
"""

import heapq
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NoReturn

import attrs
import trio

from ..errors import IdempotencyConflict
from ..events import EARLIEST, Draft, Event, EventId, IdSequence, Selectors
from ..events.topics import ALL
from .port import Page, Receipt
from .settings import LogSettings

_SCAN_MAX: Final = 2048  # entries scanned for one page: about a millisecond without a checkpoint
# Topics for which the log remembers how far it dropped events: some 20 MB. Beyond it the oldest are folded
# into one record, which may report a gap where there was none.
_TRUNCATION_RECORDS_MAX: Final = 100_000
_SWEEP_SECONDS: Final = 1.0  # how late an event expires in a log that is neither read nor written


def wall_clock_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@attrs.define(eq=False)
class _Entry:
    """One event in the windows of its topics, and the keys to be deleted with it."""

    id: EventId
    event: Event | None  # None: it was dropped, and the entry is to be removed
    key: tuple[str, str] | None  # publisher and idempotency key
    at: float  # time of the append (s, monotonic): the time in the id is the wall clock's, which may be set


class _Window:
    """Entries in log order, of one topic or of all; new ones come at the end, and any may be dropped.

    Dropped entries at the front are skipped at once. Those in between are removed when they are the
    majority, so that the list never has more than twice the live entries.
    """

    __slots__ = ("_entries", "_start", "bytes", "live")

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._start = 0
        self.live = 0
        self.bytes = 0

    def append(self, entry: _Entry, size: int) -> None:
        self._entries.append(entry)
        self.live += 1
        self.bytes += size

    def oldest(self) -> _Entry:
        """Return the first live entry; there must be one."""
        return self._entries[self._start]

    def count_dropped(self, size: int) -> None:
        """Count one entry as dropped, of an event of ``size`` bytes, and trim the list if it is time."""
        self.live -= 1
        self.bytes -= size
        entries, start = self._entries, self._start
        while start < len(entries) and entries[start].event is None:
            start += 1
        self._start = start
        if len(entries) > 2 * self.live + 64:  # 64: copying small windows again and again would cost more
            self._entries = [entry for entry in entries[start:] if entry.event is not None]
            self._start = 0

    def after(self, cursor: EventId) -> Iterator[_Entry]:
        """Iterate over the entries after ``cursor``, dropped ones included."""
        entries = self._entries
        first = bisect_right(entries, cursor, self._start, key=_entry_id)
        return (entries[index] for index in range(first, len(entries)))


def _entry_id(entry: _Entry) -> EventId:
    return entry.id


class MemoryLog:
    """A log in memory; see :class:`streamd.log.port.Log`.

    Args:
        settings: the bounds of each topic and of the whole log.
        now_ms: the wall clock, in milliseconds since 1970, for ids.
        now: a monotonic clock (s), for the age of events.
    """

    durability = "An acknowledged event is in this process's memory; it does not survive a restart."

    def __init__(
        self,
        settings: LogSettings,
        now_ms: Callable[[], int] = wall_clock_ms,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self._settings = settings
        self._now = now
        self._max_age_seconds = min(settings.max_age_seconds, settings.topic_max_age_seconds)
        self._ids = IdSequence(now_ms)
        self.epoch: Final = self._ids.last
        self._all = _Window()
        self._topics: dict[str, _Window] = {}
        self._keys: dict[tuple[str, str], tuple[Draft, EventId]] = {}
        self._truncated: dict[str, EventId] = {}  # newest dropped id by topic, oldest record first
        self._forgotten = EARLIEST  # newest id among the truncation records that were dropped
        self._newest_dropped = EARLIEST
        self._tail_readers = trio.lowlevel.ParkingLot()

    def apply_settings(self, settings: LogSettings) -> None:
        """Keep events by other bounds; what they exceed is dropped with the next event or the next look."""
        self._settings = settings
        self._max_age_seconds = min(settings.max_age_seconds, settings.topic_max_age_seconds)

    @property
    def head(self) -> EventId:
        return self._ids.last

    async def append(self, drafts: Sequence[Draft], *, publisher: str = "") -> list[Receipt]:
        await trio.lowlevel.checkpoint()
        self._expire()
        known = self._find_known(drafts, publisher)
        now = self._now()
        receipts = []
        for draft in drafts:
            key = None if draft.idempotency_key is None else (publisher, draft.idempotency_key)
            if key is not None and key in known:
                receipts.append(Receipt(known[key], duplicate=True))
                continue
            event_id = self._ids.next()
            if key is not None:
                known[key] = event_id
                self._keys[key] = (draft, event_id)
            self._keep(Event.from_draft(draft, event_id), key, now)
            receipts.append(Receipt(event_id))
        self._tail_readers.unpark_all()
        return receipts

    def _find_known(self, drafts: Sequence[Draft], publisher: str) -> dict[tuple[str, str], EventId]:
        """Return the ids of the drafts with known keys; reject all drafts if one has other content."""
        known: dict[tuple[str, str], EventId] = {}
        here: dict[tuple[str, str], Draft] = {}
        for draft in drafts:
            if draft.idempotency_key is None:
                continue
            key = (publisher, draft.idempotency_key)
            if key in self._keys:
                before, known[key] = self._keys[key]
            else:
                before = here.setdefault(key, draft)
            if before != draft:
                raise IdempotencyConflict(
                    f"idempotency key {draft.idempotency_key!r} was used before with other content",
                    field="idempotency_key",
                )
        return known

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        await trio.lowlevel.checkpoint()
        return self._read(selectors, after, max_events, max_bytes)

    async def tail(self, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        await trio.lowlevel.checkpoint()
        while self.head == after:
            await self._tail_readers.park()
        return self._read(ALL, after, max_events, max_bytes)

    async def run(self) -> NoReturn:
        while True:
            self._expire()
            await trio.sleep(_SWEEP_SECONDS)

    # --- reading ------------------------------------------------------------------------------

    def _read(self, selectors: Selectors, after: EventId, max_events: int, max_bytes: int) -> Page:
        self._expire()
        gap = self._find_gap(selectors, after)
        if after > self.head:
            after = self.epoch  # another log's cursor: every event of this log is new to it
        events: list[Event] = []
        size = 0
        cursor, more = self.head, False
        for scanned, entry in enumerate(self._candidates(selectors, after), start=1):
            event = entry.event
            seen = bool(events) and events[-1] is event  # it has two of the selected topics
            if event is not None and not seen and (selectors is ALL or selectors.matches(event.topics)):
                events.append(event)
                size += event.size
            if len(events) >= max_events or size >= max_bytes or scanned >= _SCAN_MAX:
                cursor, more = entry.id, entry.id < self.head
                break
        return Page(events, cursor, more, gap)

    def _candidates(self, selectors: Selectors, after: EventId) -> Iterable[_Entry]:
        if selectors.patterns:
            return self._all.after(after)
        windows = [self._topics[t].after(after) for t in selectors.topics if t in self._topics]
        return windows[0] if len(windows) == 1 else heapq.merge(*windows, key=_entry_id)

    def _find_gap(self, selectors: Selectors, after: EventId) -> EventId | None:
        """Return the newest matching id that was dropped after the cursor, if any was."""
        if after == EARLIEST:
            return None
        if after > self.head:
            return self.epoch
        newest = self.epoch
        if after < self._newest_dropped:
            if selectors.patterns:  # walks through the record of every topic, so only if events were dropped
                records = (i for t, i in self._truncated.items() if i > after and selectors.matches((t,)))
                newest = max(newest, self._forgotten, *records)
            else:
                newest = max(newest, *(self._truncated.get(t, self._forgotten) for t in selectors.topics))
        return newest if newest > after else None

    # --- keeping and dropping -----------------------------------------------------------------

    def _keep(self, event: Event, key: tuple[str, str] | None, now: float) -> None:
        settings = self._settings
        entry = _Entry(event.id, event, key, now)
        self._all.append(entry, event.size)
        for topic in event.topics:
            self._topics.setdefault(topic, _Window()).append(entry, event.size)
        for topic in event.topics:
            while (window := self._topics.get(topic)) and (
                window.live > settings.topic_max_events or window.bytes > settings.topic_max_bytes
            ):
                self._drop(window.oldest())
        while self._all.live > settings.max_events or self._all.bytes > settings.max_bytes:
            self._drop(self._all.oldest())

    def _expire(self) -> None:
        if not self._all.live:
            return
        limit = self._now() - self._max_age_seconds
        while self._all.live and self._all.oldest().at < limit:
            self._drop(self._all.oldest())

    def _drop(self, entry: _Entry) -> None:
        event = entry.event
        assert event is not None
        entry.event = None
        self._all.count_dropped(event.size)
        self._newest_dropped = max(self._newest_dropped, event.id)
        if entry.key is not None:
            del self._keys[entry.key]
        for topic in event.topics:
            window = self._topics[topic]
            window.count_dropped(event.size)
            if not window.live:
                del self._topics[topic]
            self._record_truncation(topic, event.id)

    def _record_truncation(self, topic: str, event_id: EventId) -> None:
        newest = max(event_id, self._truncated.pop(topic, EARLIEST))
        self._truncated[topic] = newest
        if len(self._truncated) > _TRUNCATION_RECORDS_MAX:
            oldest = next(iter(self._truncated))
            self._forgotten = max(self._forgotten, self._truncated.pop(oldest))
