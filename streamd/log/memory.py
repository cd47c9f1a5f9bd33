"""The memory log: events in this process, bounded by number, bytes and age.

The bounds apply to each topic and to the whole log. An event with several topics is dropped when the
first of them is full. Nothing survives the process: a client that resumes from an id of an earlier one gets
a gap.
"""

import heapq
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NoReturn, overload

import msgspec
import trio

from ..events import EARLIEST, Draft, Event, EventId, IdSequence, Selectors
from ..events.topics import ALL
from ..time_slice import TimeSlice
from .boundaries import Boundaries, Boundary
from .clock import wall_clock_ms
from .keys import KnownKey, fingerprints
from .port import Condition, Page, Receipt, Refusal, Skip, skip_none
from .retention import Retention, TopicBounds
from .scan_time import ScanTime
from .settings import LogSettings
from .tail import TailReaders
from .truncation import TruncationRecords

# Topics for which the log remembers how far it dropped events: some 20 MB. Beyond it the oldest are folded
# into one record, which may report a gap where there was none.
_TRUNCATION_RECORDS_MAX: Final = 100_000
_TOPICS_PER_EVENT: Final = 4  # on average of max_events: each takes 250 bytes beside its text, an event 450
_SWEEP_SECONDS: Final = 1.0  # how late an event expires in a log that is neither read nor written
_TRIMMED_AT_ONCE: Final = 1000  # topics without a checkpoint


class _Entry(msgspec.Struct, eq=False, gc=False):
    """One event in the windows of its topics."""

    id: EventId
    event: Event | None  # None: it was dropped, and the entry is to be removed
    end: EventId  # the last id of its append
    at: float  # time of the append (s, monotonic): the time in the id is the wall clock's, which may be set
    max_age: float  # the shortest of its topics (s)


class _Window:
    """Entries in log order, of one topic, of one age or of all; new ones come at the end, any may be dropped.

    Dropped entries at the front are skipped at once. Those in between are removed when they are the
    majority, so that the list never has more than twice the live entries.
    """

    __slots__ = ("_start", "bytes", "entries", "live")

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self._start = 0
        self.live = 0
        self.bytes = 0

    def newest_id(self) -> EventId:
        """Return the id of the newest entry, dropped or not; there must be one."""
        return self.entries[-1].id

    def find(self, event_id: EventId) -> _Entry | None:
        """Return the live entry with an id."""
        index = bisect_left(self.entries, event_id, self._start, key=_entry_id)
        found = self.entries[index] if index < len(self.entries) else None
        return found if found is not None and found.id == event_id and found.event is not None else None

    def oldest(self) -> _Entry:
        """Return the first live entry; there must be one."""
        return self.entries[self._start]

    def count_dropped(self, size: int) -> None:
        """Count one entry as dropped, of an event of ``size`` bytes, and trim the list if it is time."""
        live = self.live = self.live - 1
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

    def after(self, cursor: EventId) -> Iterator[_Entry]:
        """Iterate over the entries after ``cursor``, dropped ones included."""
        entries = self.entries
        first = bisect_right(entries, cursor, self._start, key=_entry_id)
        return (entries[index] for index in range(first, len(entries)))


class _Topic(_Window):
    """The entries of one topic, and its bounds.

    Args:
        bounds: of the topic.
        of_age: the entries of all topics with the same maximum age.
    """

    __slots__ = ("bounds", "of_age")

    def __init__(self, bounds: TopicBounds, of_age: _Window) -> None:
        super().__init__()
        self.bounds = bounds
        self.of_age = of_age

    @property
    def is_full(self) -> bool:
        """True while there is more than the bounds allow."""
        return self.live > self.bounds.max_events or self.bytes > self.bounds.max_bytes


def _entry_id(entry: _Entry) -> EventId:
    return entry.id


def _max_age_of(topic: _Topic) -> float:
    return topic.bounds.max_age_seconds


class MemoryLog:
    """A log in memory; see :class:`streamd.log.port.Log`.

    Args:
        settings: the bounds of each topic and of the whole log.
        now_ms: the wall clock, in milliseconds since 1970, for ids.
        now: a monotonic clock (s), for the age of events.
        cpu_time: the processor time of this thread (s), which bounds the scan for a page.
    """

    durability = "An acknowledged event is in this process's memory; it does not survive a restart."

    def __init__(
        self,
        settings: LogSettings,
        now_ms: Callable[[], int] = wall_clock_ms,
        now: Callable[[], float] = trio.current_time,
        cpu_time: Callable[[], float] = time.thread_time,
    ) -> None:
        self._settings = settings
        self._retention = Retention(settings)
        self._now = now
        self._ids = IdSequence(now_ms)
        self._boundaries = Boundaries([Boundary(self._ids.last, EARLIEST)])
        self.appended = 0
        self._all = _Window()
        self._named = 0  # topics of all events, counted for each event
        self._topics: dict[str, _Topic] = {}
        self._ages: dict[float, _Window] = {}  # the same entries by their maximum age: each expires in order
        # OrderedDict, because the first item of a dict is searched behind the places of all deleted ones.
        self._keys: OrderedDict[tuple[str, str], tuple[KnownKey, float]] = OrderedDict()  # oldest first
        self._truncated = TruncationRecords(_TRUNCATION_RECORDS_MAX)
        self._scan_time = ScanTime(cpu_time)
        self._tail_readers = TailReaders()
        self._slice = TimeSlice()
        self._has_new_bounds = False

    async def open(self) -> None:
        await trio.lowlevel.checkpoint()

    def apply_settings(self, settings: LogSettings) -> None:
        """Keep events by other bounds; what exceeds them is dropped with the topic's next event, or soon."""
        self._settings = settings
        self._retention = Retention(settings)
        self._ages = {}
        for name, topic in self._topics.items():
            topic.bounds = self._retention.bounds(name)
            topic.of_age = self._of_age(topic.bounds.max_age_seconds)
        for entry in self._all.after(EARLIEST):
            if entry.event is not None:
                entry.max_age = min(self._topics[name].bounds.max_age_seconds for name in entry.event.topics)
                window = self._of_age(entry.max_age)
                window.entries.append(entry)
                window.live += 1
                window.bytes += entry.event.size
        self._has_new_bounds = True

    @property
    def start(self) -> EventId:
        return self._boundaries.start

    @property
    def head(self) -> EventId:
        return self._ids.last

    def statistics(self) -> dict[str, int]:
        return {"events": self._all.live, "bytes": self._all.bytes, "topics": len(self._topics)}

    def lost_until(self, cursor: EventId) -> EventId | None:
        return self._boundaries.lost_until(cursor, self.head)

    @overload
    async def append(self, drafts: Sequence[Draft], *, publisher: str = "") -> list[Receipt]: ...

    @overload
    async def append(
        self, drafts: Sequence[Draft], conditions: Sequence[Condition], *, publisher: str = ""
    ) -> list[Receipt] | Refusal: ...

    async def append(
        self, drafts: Sequence[Draft], conditions: Sequence[Condition] = (), *, publisher: str = ""
    ) -> list[Receipt] | Refusal:
        await self._slice.pause()
        now = self._now()
        keyed = [draft for draft in drafts if draft.idempotency_key is not None]
        known = self._find_known(keyed, publisher, now) if keyed else {}
        for condition in conditions:
            if (present := self._newest_of(condition.topic)) != condition.id:
                return Refusal(condition, present)
        receipts = []
        fresh = []
        for draft in drafts:
            key = draft.idempotency_key
            before = None if key is None else known[key]
            if isinstance(before, KnownKey):
                receipts.append(Receipt(before.id, duplicate=True))
                continue
            event_id = self._ids.next()
            if key is not None and before is not None:
                known[key] = made = KnownKey(event_id, before)
                self._keys[publisher, key] = made, now
            fresh.append(Event.from_draft(draft, event_id))
            receipts.append(Receipt(event_id))
        if known:
            self._forget_keys(now)
        if fresh:
            end = fresh[-1].id
            for event in fresh:
                self._keep(event, end, now)
            self.appended += len(fresh)
            self._tail_readers.announce(fresh)
        return receipts

    def _find_known(self, drafts: Sequence[Draft], publisher: str, now: float) -> dict[str, KnownKey | bytes]:
        """Return the drafts' keys: those that are known, and the fingerprints of the others."""
        self._forget_keys(now)
        found: dict[str, KnownKey | bytes] = {}
        for key, content in fingerprints(drafts).items():
            found[key] = content
            if (entry := self._keys.get((publisher, key))) is not None:
                entry[0].check(key, content)
                found[key] = entry[0]
        return found

    def _newest_of(self, topic: str) -> EventId:
        window = self._topics.get(topic)
        return self._truncated.get(topic) if window is None else window.newest_id()

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        await trio.lowlevel.checkpoint()
        return await self._read(selectors, after, max_events, max_bytes)

    async def tail(self, after: EventId, *, max_events: int, max_bytes: int, skip: Skip = skip_none) -> Page:
        await trio.lowlevel.checkpoint()
        if self.head == after:
            after = await self._tail_readers.wait(after, skip)
        return await self._read(ALL, after, max_events, max_bytes)

    async def end_of_append(self, event_id: EventId) -> EventId | None:
        await trio.lowlevel.checkpoint()
        entry = self._all.find(event_id)
        return None if entry is None else entry.end

    async def run(self) -> NoReturn:
        while True:
            self._expire(self._now())
            self._forget_keys(self._now())
            if self._has_new_bounds:
                await self._trim_all()
            await trio.sleep(_SWEEP_SECONDS)

    # --- reading ------------------------------------------------------------------------------

    async def _read(self, selectors: Selectors, after: EventId, max_events: int, max_bytes: int) -> Page:
        self._expire(self._now())
        lost = self.lost_until(after)
        if after > self.head:
            after = self.start
        gap = await self._find_gap(selectors, after, lost)
        # The answer is right in this step only, so there is no checkpoint from here on.
        events: list[Event] = []
        size = 0
        cursor, more = self.head, False
        self._scan_time.begin()
        for scanned, entry in enumerate(self._candidates(selectors, after), start=1):
            event = entry.event
            seen = bool(events) and events[-1] is event  # it has two of the selected topics
            if event is not None and not seen and (selectors is ALL or selectors.matches(event.topics)):
                events.append(event)
                size += event.size
            if len(events) >= max_events or size >= max_bytes or self._scan_time.is_over(scanned):
                cursor, more = entry.id, entry.id < self.head
                break
        return Page(events, cursor, more, gap)

    def _candidates(self, selectors: Selectors, after: EventId) -> Iterable[_Entry]:
        if selectors.patterns:
            return self._all.after(after)
        windows = [self._topics[t].after(after) for t in selectors.topics if t in self._topics]
        return windows[0] if len(windows) == 1 else heapq.merge(*windows, key=_entry_id)

    async def _find_gap(self, selectors: Selectors, after: EventId, lost: EventId | None) -> EventId | None:
        """Return the newest matching id after a position that was dropped, or until which events are lost."""
        if after == EARLIEST:
            return lost
        dropped = await self._truncated.find(selectors, after)
        return max(lost or EARLIEST, dropped) if dropped > after else lost

    # --- keeping and dropping -----------------------------------------------------------------

    def _keep(self, event: Event, end: EventId, now: float) -> None:
        names, size = event.topics, event.size
        topic = self._topics.get(names[0]) or self._begin_topic(names[0])
        topics: Sequence[_Topic] = (topic,)
        if len(names) > 1:
            topics = [self._topics.get(name) or self._begin_topic(name) for name in names]
            topic = min(topics, key=_max_age_of)
        kept = self._all
        entry = _Entry(event.id, event, end, now, topic.bounds.max_age_seconds)
        for window in (kept, topic.of_age, *topics):
            window.entries.append(entry)
            window.live += 1
            window.bytes += size
        for topic in topics:
            if topic.live > topic.bounds.max_events or topic.bytes > topic.bounds.max_bytes:
                self._trim(topic)
        self._named += len(names)
        self._trim_whole()

    def _begin_topic(self, name: str) -> _Topic:
        bounds = self._retention.bounds(name)
        topic = self._topics[name] = _Topic(bounds, self._of_age(bounds.max_age_seconds))
        return topic

    def _of_age(self, max_age: float) -> _Window:
        """Return the entries with a maximum age (s)."""
        window = self._ages.get(max_age)
        if window is None:
            window = self._ages[max_age] = _Window()
        return window

    def _trim(self, topic: _Topic) -> None:
        while topic.is_full and topic.live:
            self._drop(topic.oldest())

    def _trim_whole(self) -> None:
        settings, kept = self._settings, self._all
        named_max = _TOPICS_PER_EVENT * settings.max_events
        while kept.live > settings.max_events or kept.bytes > settings.max_bytes or self._named > named_max:
            self._drop(kept.oldest())

    async def _trim_all(self) -> None:
        """Drop everything beyond the bounds, after they were changed."""
        self._has_new_bounds = False
        self._trim_whole()
        for index, topic in enumerate(list(self._topics.values()), start=1):
            self._trim(topic)
            if index % _TRIMMED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()

    def _expire(self, now: float) -> None:
        for max_age, window in self._ages.items():
            while window.live and window.oldest().at < now - max_age:
                self._drop(window.oldest())

    def _forget_keys(self, now: float) -> None:
        if not self._keys:
            return
        limit = now - self._settings.idempotency_seconds
        while self._keys:
            key, (_, at) = next(iter(self._keys.items()))
            if at >= limit and len(self._keys) <= self._settings.max_idempotency_keys:
                return
            del self._keys[key]

    def _drop(self, entry: _Entry) -> None:
        event = entry.event
        assert event is not None
        entry.event = None
        event_id, size = event.id, event.size
        self._all.count_dropped(size)
        self._ages[entry.max_age].count_dropped(size)
        self._named -= len(event.topics)
        for topic in event.topics:
            window = self._topics[topic]
            window.count_dropped(size)
            if not window.live:
                del self._topics[topic]
            self._truncated.record(topic, event_id)
