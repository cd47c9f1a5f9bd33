"""The log in SQLite. See the package for its theory of operation."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Final, NoReturn, overload

import apsw
import msgspec
import structlog
import trio

from ...clock import SteadyClock
from ...database import Database
from ...errors import Unavailable
from ...events import EARLIEST, Draft, Event, EventId, IdSequence, Selectors
from ...events.stored import decode_event, decode_events
from ...events.topics import ALL
from ...unreadable import DAMAGE
from ..boundaries import Boundaries, Boundary
from ..clock import wall_clock_ms
from ..port import Condition, Page, Receipt, Refusal, Skip, skip_none
from ..recent import RecentEvents
from ..scan_time import ScanTime
from ..settings import LogSettings
from ..tail import TailReaders
from ..usage import Dropped, Excess, Usage
from . import writer
from .dropped import DroppedRecords
from .pace import PagePace
from .reader import TOPICS_MAX, PageQuery, RawPage
from .schema import COMPONENT, MIGRATIONS, to_event_id, to_number
from .writer import Appended, Prepared

# So much is scanned for one page of patterns. More would be decoded in vain where all of it matches.
_SCANNED_EVENTS: Final = 256
_SCANNED_BYTES: Final = 1 << 18
_PAGE_EVENTS: Final = 128  # of exact topics, decoded in some 0.2 ms
_SWEEP_SECONDS: Final = 1.0  # how late an old event is dropped
_TRIM_SECONDS: Final = 0.1  # how late a surplus event is dropped, so that many appends share a transaction
_SWEEPS_PER_FORGETTING: Final = 10
_READ_AGAIN_SECONDS: Final = 1.0  # after a failed read of the fan-out
_TOPICS_AT_ONCE: Final = 2000  # whose ages are looked at without a checkpoint
_DROPPED_AT_ONCE: Final = 512  # events in one transaction, and twice as many as were appended meanwhile
_EXCESSES_AT_ONCE: Final = 64  # in one transaction: each has a cost of its own
_FORGOTTEN_AT_ONCE: Final = 4096  # rows

_log = structlog.get_logger(__name__)


class SQLiteLog:
    """A log in a SQLite database; see :class:`streamd.log.port.Log`.

    Args:
        database: the database; its owner opens it after this constructor has named the migrations, and then
            calls :meth:`open`.
        settings: the bounds of each topic and of the whole log.
        now_ms: the wall clock, in milliseconds since 1970, for ids. Any thread may call it.

    Attributes:
        database: the database.
    """

    durability = (
        "An acknowledged event is on disk; it survives the end of the process, and that of the machine with"
        " store.synchronous = full."
    )

    def __init__(
        self, database: Database, settings: LogSettings, now_ms: Callable[[], int] = wall_clock_ms
    ) -> None:
        self.database: Final = database
        self._settings = settings
        self._now_ms = now_ms
        self._clock: Final[SteadyClock] = database.clock
        self._ids = IdSequence(now_ms, EARLIEST)
        self._boundaries = Boundaries([Boundary(EARLIEST, EARLIEST)])
        self.head = EARLIEST
        self.appended = 0
        self._recent = RecentEvents(EARLIEST)
        self._usage = Usage(settings)
        self._dropped = DroppedRecords(database)
        self._scan_time = ScanTime()
        self._pace = PagePace()
        self._tail_readers = TailReaders()
        self._exceeded = trio.Event()
        self._far_exceeded = trio.Event()  # there is no time to wait for more of them
        self._appended_since_drop = 0
        database.require(COMPONENT, MIGRATIONS)

    async def open(self) -> None:
        found = await self.database.write(partial(writer.start, now_ms=self._now_ms))
        self._boundaries = Boundaries(found.boundaries)
        self.head = self.start
        self._ids = IdSequence(self._now_ms, self.start)
        self._recent = RecentEvents(self.start)
        self._usage.load(found.counts)

    def apply_settings(self, settings: LogSettings) -> None:
        self._settings = settings
        self._usage.apply_settings(settings)
        self._exceeded.set()

    @property
    def start(self) -> EventId:
        return self._boundaries.start

    def lost_until(self, cursor: EventId) -> EventId | None:
        return self._boundaries.lost_until(cursor, self.head)

    def statistics(self) -> dict[str, int]:
        return {"events": self._usage.events, "bytes": self._usage.bytes, "topics": len(self._usage.topics)}

    # --- appending ----------------------------------------------------------------------------

    @overload
    async def append(self, drafts: Sequence[Draft], *, publisher: str = "") -> list[Receipt]: ...

    @overload
    async def append(
        self, drafts: Sequence[Draft], conditions: Sequence[Condition], *, publisher: str = ""
    ) -> list[Receipt] | Refusal: ...

    async def append(
        self, drafts: Sequence[Draft], conditions: Sequence[Condition] = (), *, publisher: str = ""
    ) -> list[Receipt] | Refusal:
        prepared = Prepared.of(drafts, publisher)
        append = partial(self.append_in, prepared=prepared, conditions=conditions)
        result = await self.database.write(append, committed=self.announce)
        return result if isinstance(result, Refusal) else result.receipts

    def append_in(
        self, db: apsw.Connection, prepared: Prepared, conditions: Sequence[Condition] = ()
    ) -> Appended | Refusal:
        """Append within a transaction of the database's writer, whose caller passes the result on to
        :meth:`announce` after the commit.

        Raises:
            IdempotencyConflict: a key is known with other content.
        """
        at_ms = self._steady_ms()
        return writer.append(
            db,
            prepared,
            self._ids,
            at_ms,
            keys_since_ms=at_ms - round(self._settings.idempotency_seconds * 1000),
            conditions=conditions,
        )

    def announce(self, appended: Appended | Refusal) -> None:
        """Hand on the events of a committed transaction; called in the order of the commits."""
        if isinstance(appended, Refusal) or not appended.fresh:
            return
        events = [Event.from_draft(draft, event_id) for draft, event_id in appended.fresh]
        for event in events:
            self._usage.add(event, appended.at_ms)
        self.head = events[-1].id
        self.appended += len(events)
        if self._tail_readers.announce(events):
            self._recent.skip_to(self.head)
        else:
            for event in events:
                self._recent.append(event)
        if self._usage.exceeds:
            self._appended_since_drop += len(appended.fresh)
            self._exceeded.set()
            if self._appended_since_drop >= _DROPPED_AT_ONCE:
                self._far_exceeded.set()

    async def end_of_append(self, event_id: EventId) -> EventId | None:
        return await self.database.read_beside(partial(writer.end_of_append, event_id=event_id))

    def _steady_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1000)

    # --- reading ------------------------------------------------------------------------------

    async def tail(self, after: EventId, *, max_events: int, max_bytes: int, skip: Skip = skip_none) -> Page:
        await trio.lowlevel.checkpoint()
        if self.head == after:
            after = await self._tail_readers.wait(after, skip)
        while (events := self._recent.after(after, max_events, max_bytes)) is None:
            try:
                return await self.read(ALL, after, max_events=max_events, max_bytes=max_bytes)
            except Unavailable as error:  # the fan-out waits for the disk
                _log.warning("tail_not_read", detail=error.detail)
                await trio.sleep(_READ_AGAIN_SECONDS)
        return Page(events, events[-1].id, events[-1].id < self.head)

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        head, lost = self.head, self.lost_until(after)
        begin = self.start if after > head else after
        if begin == head:
            await trio.lowlevel.checkpoint()
            return Page([], head, more=False, gap=lost)
        exact = (
            sorted(selectors.topics) if not selectors.patterns and len(selectors.topics) <= TOPICS_MAX else []
        )
        query = PageQuery(
            exact,
            to_number(begin),
            to_number(head),
            min(self._pace.max_events, min(max_events, _PAGE_EVENTS) if exact else _SCANNED_EVENTS),
            max_bytes if exact else max(max_bytes, _SCANNED_BYTES),
        )
        if exact:
            raw = await self.database.read_beside(query.read)
            dropped = to_event_id(raw.dropped)
        else:
            async with self._dropped.lock:
                dropped = EARLIEST if begin == EARLIEST else await self._dropped.find(selectors, begin)
                raw = await self.database.read_beside(query.read)
        self._pace.note(query.max_events, raw.seconds)
        events = await self._decode(query, raw)
        cursor = to_event_id(raw.cursor) if raw.cursor else head
        if not exact:
            events, cursor = self._select(events, cursor, selectors, max_events, max_bytes)
        gap = max(lost or EARLIEST, dropped)
        return Page(events, cursor, cursor < head, gap if gap > after or lost else None)

    def _select(
        self, events: Sequence[Event], cursor: EventId, selectors: Selectors, max_events: int, max_bytes: int
    ) -> tuple[list[Event], EventId]:
        """Select the matching events of a scanned page, and return them with the cursor after them.

        The page ends early when its time is used up.
        """
        selected: list[Event] = []
        size = 0
        self._scan_time.begin()
        for scanned, event in enumerate(events, start=1):
            if selectors is ALL or selectors.matches(event.topics):
                if len(selected) >= max_events or size >= max_bytes:
                    return selected, selected[-1].id
                selected.append(event)
                size += event.size
            if self._scan_time.is_over(scanned):
                return selected, event.id
        return selected, cursor

    async def _decode(self, query: PageQuery, raw: RawPage) -> list[Event]:
        """Decode a page; a damaged event is reported, and left out."""
        try:
            return decode_events(raw.json)
        except msgspec.MsgspecError:
            pass
        rows = await self.database.read_beside(query.read_rows)
        events = []
        for number, body in rows:
            if raw.cursor and number > raw.cursor:
                break
            try:
                events.append(decode_event(body))
            except DAMAGE as error:
                self.database.unreadable.report("event", to_event_id(number), error)
        return events

    # --- dropping -----------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        sweeps = 0
        next_sweep = trio.current_time() + _SWEEP_SECONDS
        while True:
            with trio.move_on_at(next_sweep):
                await self._exceeded.wait()
                with trio.move_on_after(_TRIM_SECONDS):
                    await self._far_exceeded.wait()
            try:
                if not await self._drop_some_surplus():  # counting again takes long
                    await trio.sleep_until(next_sweep)
                if trio.current_time() >= next_sweep:
                    next_sweep = trio.current_time() + _SWEEP_SECONDS
                    await self._drop_old()
                    sweeps += 1
                    if sweeps % _SWEEPS_PER_FORGETTING == 0:
                        await self.forget_keys()
                    await self.database.reclaim()
            except Unavailable as error:  # tried again: the bounds are kept as soon as the disk takes writes
                _log.warning("log_not_trimmed", detail=error.detail)
                await trio.sleep(_SWEEP_SECONDS)
            except Exception:  # noqa: BLE001 - a damaged row must not stop the server that could still serve
                _log.exception("log_not_trimmed")
                await trio.sleep(_SWEEP_SECONDS)

    async def trim(self) -> None:
        """Drop everything beyond the bounds, in steps.

        Raises:
            Unavailable: the database cannot be written to.
        """
        await self._drop_old()
        while self._usage.exceeds and await self._drop_some_surplus():
            pass

    async def _drop_old(self) -> None:
        names = list(self._usage.topics)
        for first in range(0, len(names), _TOPICS_AT_ONCE):
            await trio.lowlevel.checkpoint()
            for old in list(self._usage.find_old(names[first : first + _TOPICS_AT_ONCE], self._steady_ms())):
                while await self._drop([old], self._drop_at_once()) is not None:
                    pass

    async def _drop_some_surplus(self) -> bool:
        """Drop one step of what exceeds the bounds; the next step need not wait if that is not all.

        Returns:
            False if there is a surplus that cannot be dropped, because rows are missing or damaged.
        """
        self._exceeded, self._far_exceeded = trio.Event(), trio.Event()
        if not (excesses := list(islice(self._usage.excess(), _EXCESSES_AT_ONCE))):
            return True
        max_events = self._drop_at_once()
        events = await self._drop(excesses, max_events)
        if events is None:  # the counts are wrong
            await self.database.write(writer.count, committed=self._usage.load)
            return not self._usage.exceeds
        if self._usage.exceeds:
            self._exceeded.set()
            if events >= max_events or len(excesses) == _EXCESSES_AT_ONCE:
                self._far_exceeded.set()
        return True

    def _drop_at_once(self) -> int:
        """Return how many events the next step drops, so that steps are short but keep up."""
        events = _DROPPED_AT_ONCE + 2 * self._appended_since_drop
        self._appended_since_drop = 0
        return events

    async def _drop(self, excesses: Sequence[Excess], max_events: int) -> int | None:
        """Drop some excesses in one transaction, and return the number of events; None if nothing changed."""
        drop = partial(writer.drop_each, excesses=excesses, max_events=max_events)
        async with self._dropped.lock:
            dropped = await self.database.write(drop, committed=self._count_dropped)
        if not any(each.topics or each.events for each in dropped):
            return None
        return sum(each.events for each in dropped)

    def _count_dropped(self, dropped: Sequence[Dropped]) -> None:
        for each in dropped:
            self._usage.remove(each)
            self._dropped.add(each)

    async def forget_keys(self) -> None:
        """Forget the idempotency keys that are too old or too many, in steps.

        Raises:
            Unavailable: the database cannot be written to.
        """
        forget = partial(
            writer.forget,
            keys_since_ms=self._steady_ms() - round(self._settings.idempotency_seconds * 1000),
            max_keys=self._settings.max_idempotency_keys,
            max_rows=_FORGOTTEN_AT_ONCE,
        )
        deleted = 1
        while deleted:
            async with self._dropped.lock:
                deleted = await self.database.write(forget)
