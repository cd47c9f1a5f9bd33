"""The log in Redis. See the package for its theory of operation."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, overload

import msgspec
import structlog
import trio
from coredis.exceptions import RedisError

from ...errors import Unavailable
from ...events import EARLIEST, Draft, Event, EventId, Selectors
from ...events.topics import ALL
from ...redis.address import RedisAddress
from ...redis.link import REPLY_SECONDS, Disconnected, RedisLink
from ...unreadable import UnreadableRecords
from ..keys import conflict, fingerprints
from ..port import Condition, Page, Receipt, Refusal, Skip, skip_none
from ..recent import RecentEvents
from ..scan_time import ScanTime
from ..settings import LogSettings
from . import scripts
from .access import RedisAccess
from .appending import ScriptQueue, unavailable
from .arguments import append_arguments
from .codec import decode_event, entry_events, from_redis, to_redis
from .dropped import DroppedEvents, parse_boundaries
from .janitor import Janitor
from .joining import join, keep_links, reach_server
from .paging import PageBounds, select_events
from .tailing import TailReader

DEFAULT_PREFIX: Final = "{streamd}"

_TOPICS_MAX: Final = 200  # that one script merges; for more, all events are scanned
_PAGE_EVENTS: Final = 128
_SCANNED_EVENTS: Final = 256  # for one page of patterns
_SCANNED_BYTES: Final = 1 << 18
_OPEN_SECONDS: Final = 10.0
_OWN_TAIL_SECONDS: Final = 1.0  # an append waits so long for this node's tail
_FOLLOW_AGAIN_SECONDS: Final = 0.05
_READ_AGAIN_SECONDS: Final = 1.0  # after a failed read of the fan-out

_log = structlog.get_logger(__name__)


def _ignore_note(_event: Event, _note: str) -> None:
    pass


class RedisLog:
    """A log that several nodes share; see :class:`streamd.log.port.Log`.

    :meth:`serve` must run for as long as the log is used.

    Args:
        address: of the server.
        settings: the bounds of each topic and of the whole log.
        prefix: of all keys; its part in braces is the hash tag.
        now_ms: the wall clock for ids (ms since 1970); None for the server's, as all nodes should have it.
        age_ms: the clock for ages (ms); None for the server's.
        reply_seconds: time after which a connection whose server does not reply is taken for lost (s).

    Attributes:
        access: for stores that share the connections and the keys.
        on_note: called with each event to which such a store on any node has given a note, and with the
            note, before anybody is handed the event; more than once if the fan-out is late.
    """

    durability = (
        "An acknowledged event is in Redis: it survives the end of all nodes, and what Redis itself survives"
        " depends on its appendonly, appendfsync and min-replicas-to-write."
    )

    def __init__(
        self,
        address: RedisAddress,
        settings: LogSettings,
        *,
        prefix: str = DEFAULT_PREFIX,
        now_ms: Callable[[], int] | None = None,
        age_ms: Callable[[], int] | None = None,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        self.address: Final = address
        self.prefix: Final = prefix
        self._settings = settings
        self._now_ms = now_ms
        self._age_ms = age_ms
        self.unreadable = UnreadableRecords()
        self.start = EARLIEST
        self.head = EARLIEST
        self.appended = 0
        self.on_note: Callable[[Event, str], None] = _ignore_note
        self._node = uuid.uuid4().hex
        self._server = b""  # that was joined last
        self._server_of: dict[RedisLink, bytes] = {}
        self._acknowledged = EARLIEST  # the newest id that this node has answered with
        self._boundaries = parse_boundaries([])
        self._dropped = DroppedEvents()
        self._scan_time = ScanTime()
        self._recent = RecentEvents(EARLIEST)
        self._tail_readers = trio.lowlevel.ParkingLot()
        self._publish_link = RedisLink(address, "streamd-publish", self._join, reply_seconds=reply_seconds)
        self._read_link = RedisLink(address, "streamd-read", self._join, reply_seconds=reply_seconds)
        self._tail_link = RedisLink(address, "streamd-tail", self._join, reply_seconds=reply_seconds)
        self.store_link: Final = RedisLink(address, "streamd-store", reply_seconds=reply_seconds)
        self._links: Final = (self._publish_link, self._read_link, self._tail_link, self.store_link)
        self._changes = ScriptQueue(self._publish_link, prefix, self._join)
        self.access = RedisAccess(prefix, self._read_link, self._changes, self._now, self._age)
        self._janitor = Janitor(self._read_link, prefix, settings, self._age)

    # --- the connections ------------------------------------------------------------------------

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Keep the connections, send appends, and follow the tail, until cancelled.

        Raises:
            ConfigError: the server cannot be used.
            Unavailable: it cannot be reached.
        """
        kept = trio.CancelScope(shield=True)  # the connections end last: appends in flight are finished
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_links, self._links, kept)
            try:
                with trio.move_on_after(_OPEN_SECONDS) as scope:
                    await reach_server(self._links, "log.url")
                if scope.cancelled_caught:
                    raise Unavailable(f"log.url names {self.address}, which is not reachable")
                async with trio.open_nursery() as working:
                    working.start_soon(self._follow)
                    working.start_soon(self._changes.run)
                    task_status.started()
            finally:
                kept.cancel()
        raise AssertionError("the log serves until it is cancelled")

    async def open(self) -> None:
        await trio.lowlevel.checkpoint()
        assert self._server, "serve() runs before open()"

    async def _join(self, link: RedisLink) -> None:
        """Tell the server what this node has seen, and wait until it knows the same of the other nodes."""
        seen = max(self.head, self._acknowledged)
        joined = await join(link, self.prefix, self._node, self._server, seen, self._now())
        self._boundaries, self._dropped = joined.boundaries, joined.dropped
        if not self._server:
            self.start = self.head = joined.head
            self._recent = RecentEvents(self.start)
        elif (lost := self.lost_until(self.head)) is not None:
            self.head = lost  # nothing follows before the start of the boundary
        if self._server not in (b"", joined.server) and self._boundaries.newest.lost is not None:
            self._changes.count_loss()
        self._server = self._server_of[link] = joined.server
        for other in self._links:
            if other.connected.is_set() and self._server_of.get(other, joined.server) != joined.server:
                other.close()
        self._tail_readers.unpark_all()

    def _now(self) -> str:
        return "" if self._now_ms is None else str(self._now_ms())

    def _age(self) -> str:
        return "" if self._age_ms is None else str(self._age_ms())

    @property
    def is_connected(self) -> bool:
        """True while events can be appended, read and followed."""
        return all(link.connected.is_set() for link in self._links)

    async def try_out(self) -> None:
        """Write something, which fails while appends do.

        Raises:
            Disconnected, RedisError: see :meth:`.RedisLink.call`.
        """
        await self._read_link.call(b"SET", f"{self.prefix}:probe", b"1", b"PX", 60_000)

    # --- appending --------------------------------------------------------------------------------

    @overload
    async def append(self, drafts: Sequence[Draft], *, publisher: str = "") -> list[Receipt]: ...

    @overload
    async def append(
        self, drafts: Sequence[Draft], conditions: Sequence[Condition], *, publisher: str = ""
    ) -> list[Receipt] | Refusal: ...

    async def append(
        self, drafts: Sequence[Draft], conditions: Sequence[Condition] = (), *, publisher: str = ""
    ) -> list[Receipt] | Refusal:
        keys = fingerprints(drafts)
        arguments = append_arguments(
            drafts, keys, conditions, publisher, self._settings.idempotency_seconds, self._now(), self._age()
        )
        reply = await self.access.change(scripts.APPEND, *arguments)
        if reply[0] == b"conflict":
            raise conflict(drafts[reply[1]].idempotency_key or "")
        if reply[0] == b"refused":
            return Refusal(conditions[reply[1]], from_redis(reply[2]))
        receipts = [
            Receipt(from_redis(text.removeprefix(b"=")), duplicate=text.startswith(b"="))
            for text in reply[1:]
        ]
        if receipts:
            await self.wait_for_tail(max(receipt.id for receipt in receipts))
        return receipts

    async def wait_for_tail(self, position: EventId) -> None:
        """Wait, for a second at most, until this node's tail has come to a position that it answers with."""
        self._acknowledged = max(self._acknowledged, position)
        with trio.move_on_after(_OWN_TAIL_SECONDS, shield=True):  # it is appended: no time to be cancelled
            while self.head < position:
                await self._tail_readers.park()

    async def end_of_append(self, event_id: EventId) -> EventId | None:
        reply = await self.access.ask(scripts.END_OF_APPEND, to_redis(event_id))
        return from_redis(reply) if reply else None

    # --- the tail ---------------------------------------------------------------------------------

    async def _follow(self) -> NoReturn:
        """Read new events as they come, and after a lost connection those that were missed."""
        link = self._tail_link
        tail = TailReader(link, self.prefix)
        while True:
            connected = link.connected
            await connected.wait()
            try:
                has_all = False  # of what was appended while there was no connection
                while connected.is_set() and link.connected is connected:
                    reading = await tail.read(self.head, waits=has_all)
                    if reading.is_empty and not has_all:
                        has_all = True
                        self._reach(self._boundaries.start)
                    self._skip_to(reading.moved)
                    for entry_id, fields in reading.entries:
                        self._announce(entry_events(entry_id, fields))
                        await trio.lowlevel.checkpoint()
                        if link.connected is not connected:  # the next server may not have what follows
                            break
            except (Disconnected, RedisError) as error:
                _log.info("tail_interrupted", error=repr(error))
                if not isinstance(error, Disconnected):
                    link.close()
                await trio.sleep(_FOLLOW_AGAIN_SECONDS)

    def _skip_to(self, moved: EventId) -> None:
        """Leave it to the reading of pages to find events that were moved before this node had read them."""
        if moved > self.head:
            self._recent = RecentEvents(moved)
            self._reach(moved)

    def _reach(self, position: EventId) -> None:
        """Move the head to a position up to which this node has taken all events."""
        if position > self.head:
            self.head = position
            self._tail_readers.unpark_all()

    def _announce(self, stored: Any) -> None:
        for event_id, head, body in stored:
            if event_id <= self.head:
                continue
            decoded = self._decode(event_id, head, body)
            self.head = event_id
            if decoded is not None:
                event, note = decoded
                self._recent.append(event)
                self._janitor.add(event)
                self.appended += 1
                if note:
                    self.on_note(event, note)
        self._tail_readers.unpark_all()

    def _decode(self, event_id: EventId, head: bytes, body: bytes) -> tuple[Event, str] | None:
        try:
            return decode_event(event_id, head, body)
        except (msgspec.MsgspecError, ValueError) as error:
            self.unreadable.report("event", event_id, error)
            return None

    async def tail(self, after: EventId, *, max_events: int, max_bytes: int, skip: Skip = skip_none) -> Page:
        await trio.lowlevel.checkpoint()
        while self.head == after:
            await self._tail_readers.park()
        if (lost := self._boundaries.loss_between(after, self.head)) is not None:
            return Page([], lost, lost < self.head, lost)  # what is in memory before it may be lost
        while (events := self._recent.after(after, max_events, max_bytes)) is None:
            try:
                return await self._read_page(ALL, after, max_events, max_bytes, self.on_note)
            except Unavailable as error:  # the fan-out waits for the server
                _log.warning("tail_not_read", detail=error.detail)
                await trio.sleep(_READ_AGAIN_SECONDS)
        cursor = events[-1].id if events else self.head  # without events: damaged ones, or a boundary
        return Page(events, cursor, cursor < self.head, None)

    # --- reading ----------------------------------------------------------------------------------

    def statistics(self) -> dict[str, int]:
        return dict(self._janitor.statistics)

    def lost_until(self, cursor: EventId) -> EventId | None:
        return self._boundaries.lost_until(cursor, max(self.head, cursor))

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        return await self._read_page(selectors, after, max_events, max_bytes)

    async def _read_page(
        self,
        selectors: Selectors,
        after: EventId,
        max_events: int,
        max_bytes: int,
        on_note: Callable[[Event, str], None] = _ignore_note,
    ) -> Page:
        lost = self.lost_until(after)
        if after > self.head and lost is None:
            lost = await self._wait_or_lose(after)
        head = self.head
        begin = after if after <= head else lost or self.start
        if begin >= head:  # beyond: the tail has not come to the start of the boundary yet
            await trio.lowlevel.checkpoint()
            return Page([], begin, more=False, gap=lost)
        exact = not selectors.patterns and len(selectors.topics) <= _TOPICS_MAX
        bounds = (
            min(max_events, _PAGE_EVENTS) if exact else _SCANNED_EVENTS,
            max_bytes if exact else max(max_bytes, _SCANNED_BYTES),
        )
        while True:
            known = self._dropped
            dropped = EARLIEST if after == EARLIEST else await known.newest(selectors, begin)
            reply = await self.access.ask(
                scripts.READ if exact else scripts.SCAN,
                to_redis(begin), to_redis(head), *bounds, known.count,
                *(sorted(selectors.topics) if exact else ()),
            )  # fmt: skip
            dropped = max(dropped, await known.update(reply[1], selectors))
            if len(reply) > 2 or not reply[0] or after != EARLIEST:
                break
            begin = from_redis(reply[0])  # all that was considered is dropped: no page to report a gap after
        events, last = select_events(
            reply, selectors, PageBounds(max_events, max_bytes, self._scan_time), self._decode, on_note
        )
        cursor = last or (from_redis(reply[0]) if reply[0] else head)
        if after == EARLIEST:
            return Page(events, cursor, cursor < head, lost)
        if self._dropped is not known:  # the server is another one
            dropped = max(dropped, await self._dropped.newest(selectors, begin))
        passed = self._boundaries.passed(begin, cursor)
        if passed is not None:  # the head may be an event that was lost: nothing is between it and the start
            cursor = max(cursor, passed) if cursor == head else cursor
        gap = max(lost or EARLIEST, dropped, passed or EARLIEST)
        return Page(events, cursor, cursor < head, gap if gap > after or lost else None)

    async def _wait_or_lose(self, cursor: EventId) -> EventId | None:
        """Wait until the tail has come to a cursor; return the start if no node has such an event."""
        reply = await self.call(b"HGET", f"{self.prefix}:meta", b"head")
        if reply is None or from_redis(reply) < cursor:
            return self.start
        while self.head < cursor and (lost := self._boundaries.lost_until(cursor, cursor)) is None:
            await self._tail_readers.park()
        return lost if self.head < cursor else None

    async def call(self, command: bytes, *arguments: Any) -> Any:
        """Run a command that only reads.

        Raises:
            Unavailable: the server cannot be reached, or refused it.
        """
        try:
            return await self._read_link.call(command, *arguments)
        except (Disconnected, RedisError) as error:
            raise unavailable() from error

    # --- dropping ---------------------------------------------------------------------------------

    def apply_settings(self, settings: LogSettings) -> None:
        self._settings = settings
        self._janitor.apply_settings(settings)

    async def run(self) -> NoReturn:
        await self._janitor.run()

    async def trim(self) -> None:
        """Drop everything beyond the bounds, as the janitor of the log.

        Raises:
            Unavailable: the server cannot be reached.
        """
        try:
            await self._janitor.trim()
        except (Disconnected, RedisError) as error:
            raise unavailable() from error
