"""The memory log: events in this process, bounded by number, bytes and age.

The bounds apply to each topic and to the whole log. An event with several topics is dropped when the
first of them is full. Nothing survives the process: a client that resumes from an id of an earlier one gets
a gap.
"""

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Final, NoReturn, overload

import trio

from ..events import EARLIEST, Draft, Event, EventId, IdSequence, Selectors
from ..events.topics import ALL
from ..time_slice import TimeSlice
from .boundaries import Boundaries, Boundary
from .clock import wall_clock_ms
from .keys import KnownKey, fingerprints
from .port import Condition, Page, Receipt, Refusal, Skip, skip_none
from .retention import Retention
from .scan_time import ScanTime
from .settings import LogSettings
from .tail import TailReaders
from .truncation import TruncationRecords
from .windows import LogEntry, LogWindow, TopicWindow, entry_id

# Topics for which the log remembers how far it dropped events: some 20 MB. Beyond it the oldest are folded
# into one record, which may report a gap where there was none.
_TRUNCATION_RECORDS_MAX: Final = 100_000
_FURTHER_TOPICS: Final = 3  # per event, on average of max_events: each takes 250 bytes, an event 450
_SWEEP_SECONDS: Final = 1.0  # how late an event expires in a log that is neither read nor written
_TRIMMED_AT_ONCE: Final = 1000  # topics without a checkpoint


_key_of: Final = attrgetter("idempotency_key")


def _max_age_of(topic: TopicWindow) -> float:
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
        self._all = LogWindow()
        self._further = 0  # topics of all events but the first of each
        self._topics: dict[str, TopicWindow] = {}
        self._ages: dict[float, LogWindow] = {}  # the same by their maximum age: each expires in order
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
        has_keys = any(map(_key_of, drafts))
        known = self._find_known(drafts, publisher, now) if has_keys else {}
        for condition in conditions:
            if (present := self._newest_of(condition.topic)) != condition.id:
                return Refusal(condition, present)
        if has_keys:
            receipts, fresh = self._apply_keys(drafts, publisher, known, now)
            self._forget_keys(now)
        else:
            fresh = [Event.from_draft(draft, self._ids.next()) for draft in drafts]
            receipts = [Receipt(event.id) for event in fresh]
        if fresh:
            end = fresh[-1].id
            for event in fresh:
                self._keep(event, end, now)
            self.appended += len(fresh)
            self._tail_readers.announce(fresh)
        return receipts

    def _apply_keys(
        self, drafts: Sequence[Draft], publisher: str, known: dict[str, KnownKey | bytes], now: float
    ) -> tuple[list[Receipt], list[Event]]:
        """Return the receipts of drafts, some with keys, and events of those that are no duplicates."""
        receipts: list[Receipt] = []
        fresh: list[Event] = []
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
        return receipts, fresh

    def _find_known(self, drafts: Sequence[Draft], publisher: str, now: float) -> dict[str, KnownKey | bytes]:
        """Return the keys that drafts have: those that are known, and the fingerprints of the others."""
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
            while self._expire(self._now()):
                await trio.lowlevel.checkpoint()
            self._forget_keys(self._now())
            if self._has_new_bounds:
                await self._trim_all()
            await trio.sleep(_SWEEP_SECONDS)

    # --- reading ------------------------------------------------------------------------------

    async def _read(self, selectors: Selectors, after: EventId, max_events: int, max_bytes: int) -> Page:
        while self._expire(self._now()):
            await trio.lowlevel.checkpoint()
        lost = self.lost_until(after)
        if after > self.head:
            after = self.start
        gap = await self._find_gap(selectors, after, lost)
        # The answer is right in this step only, so there is no checkpoint from here on.
        events: list[Event] = []
        size = 0
        head = self.head
        self._scan_time.begin()
        for scanned, entry in enumerate(self._candidates(selectors, after), start=1):
            event = entry.event
            seen = bool(events) and events[-1] is event  # it has two of the selected topics
            if event is not None and not seen and (selectors is ALL or selectors.matches(event.topics)):
                if len(events) >= max_events or size >= max_bytes:
                    return Page(events, events[-1].id, True, gap)
                events.append(event)
                size += event.size
            if self._scan_time.is_over(scanned):
                return Page(events, entry.id, entry.id < head, gap)
        # Also of a full page, if no more events match: what was dropped behind it is no gap.
        return Page(events, head, False, gap)

    def _candidates(self, selectors: Selectors, after: EventId) -> Iterable[LogEntry]:
        if selectors.patterns:
            return self._all.after(after)
        windows = [self._topics[t].after(after) for t in selectors.topics if t in self._topics]
        return windows[0] if len(windows) == 1 else heapq.merge(*windows, key=entry_id)

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
        topics: Sequence[TopicWindow] = ()  # where there are several
        if len(names) > 1:
            topics = [self._topics.get(name) or self._begin_topic(name) for name in names]
            topic = min(topics, key=_max_age_of)
        kept = self._all
        bounds = topic.bounds
        entry = LogEntry(event.id, event, end, now, bounds.max_age_seconds)
        for window in (kept, topic.of_age, *topics) if topics else (kept, topic.of_age, topic):
            window.entries.append(entry)
            window.live += 1
            window.bytes += size
        if topic.live > bounds.max_events or topic.bytes > bounds.max_bytes:
            self._trim(topic)
        for topic in topics:
            self._trim(topic)
        settings = self._settings
        if topics:
            self._further += len(names) - 1
            if self._further > _FURTHER_TOPICS * settings.max_events:
                self._drop(kept.oldest_few())
        if kept.live > settings.max_events or kept.bytes > settings.max_bytes:
            self._trim_whole()

    def _begin_topic(self, name: str) -> TopicWindow:
        bounds = self._retention.bounds(name)
        topic = self._topics[name] = TopicWindow(bounds, self._of_age(bounds.max_age_seconds))
        return topic

    def _of_age(self, max_age: float) -> LogWindow:
        """Return the entries with a maximum age (s)."""
        window = self._ages.get(max_age)
        if window is None:
            window = self._ages[max_age] = LogWindow()
        return window

    def _trim(self, topic: TopicWindow) -> None:
        if topic.is_full:
            self._drop(topic.excess(topic.bounds.max_events, topic.bounds.max_bytes))

    def _trim_whole(self) -> None:
        settings, kept = self._settings, self._all
        if kept.live > settings.max_events or kept.bytes > settings.max_bytes:
            self._drop(kept.excess(settings.max_events, settings.max_bytes))

    async def _trim_all(self) -> None:
        """Drop everything beyond the bounds, after they were changed."""
        self._has_new_bounds = False
        self._trim_whole()
        for index, topic in enumerate(list(self._topics.values()), start=1):
            self._trim(topic)
            if index % _TRIMMED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()

    def _expire(self, now: float) -> bool:
        """Drop events that are too old, a thousand at most; return True if there are more."""
        has_more = False
        for max_age, window in self._ages.items():
            if window.live and window.oldest().at < now - max_age:
                self._drop(window.older(now - max_age))
                has_more = has_more or (window.live > 0 and window.oldest().at < now - max_age)
        return has_more

    def _forget_keys(self, now: float) -> None:
        if not self._keys:
            return
        limit = now - self._settings.idempotency_seconds
        while self._keys:
            key, (_, at) = next(iter(self._keys.items()))
            if at >= limit and len(self._keys) <= self._settings.max_idempotency_keys:
                return
            del self._keys[key]

    def _drop(self, entries: Iterable[LogEntry]) -> None:
        """Drop live entries, the oldest first."""
        all_entries, ages, topics = self._all, self._ages, self._topics
        totals: dict[LogWindow, list[int]] = {}  # number and bytes
        newest: dict[str, EventId] = {}
        for entry in entries:
            event, entry.event = entry.event, None
            assert event is not None
            size = event.size
            for window in (all_entries, ages[entry.max_age], *map(topics.__getitem__, event.topics)):
                total = totals.setdefault(window, [0, 0])
                total[0] += 1
                total[1] += size
            for topic in event.topics:
                newest[topic] = event.id
            self._further -= len(event.topics) - 1
        for window, (count, size) in totals.items():
            window.count_dropped(count, size)
        for topic, event_id in newest.items():
            if not topics[topic].live:
                del topics[topic]
            self._truncated.record(topic, event_id)
