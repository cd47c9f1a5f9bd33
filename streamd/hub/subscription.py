"""A subscription: the events that match some selectors, from a cursor on, each once and in log order.

At first it reads pages of the log (replay). When its cursor has come close to the head, it joins the live
set: the fan-out offers it each new event, which goes straight to the wire or into the send queue. A slow
consumer, whose queue is full, leaves the live set and reads pages at its own speed until it can join
again. It loses nothing and costs the others nothing. :class:`Overflow` has the other policies.

Theory of operation. A subscription is in one of four states::

                       join                 send queue full, or the hub fell behind the log
     CATCHING UP ----------------> LIVE --------------------------------------------> LAGGING
        |   ^                       ^                                                  |   ^
        '---'                       '---------------------- join ----------------------'---'
     read a page                                                                   read a page

     CLOSED: from every state, by close(); final.

``live`` is true in LIVE only. CATCHING UP and LAGGING differ in their cause and behave alike, so they
are one column here:

=====================  =====================================  ======================================
event                  CATCHING UP, LAGGING                   LIVE
=====================  =====================================  ======================================
``offer``              ignored: the log keeps the events      written to the wire, or queued
``offer``, queue full  (cannot happen)                        -> LAGGING; ``disconnect``: also calls
                                                              ``on_disconnect``
``fall_behind``        (cannot happen)                        -> LAGGING; a heartbeat wakes ``receive``
``receive``            the queued frames; if there are none,  the queued frames; if there are none,
                       join -> LIVE, or else a page           wait for some
``change``             the next page has the new selectors    the next ``offer`` has them
``close``              -> CLOSED                              leaves the live set -> CLOSED
=====================  =====================================  ======================================

Coupling rules:

1. Everything up to ``cursor`` was written, queued, returned by ``receive``, reported as a gap, or did
   not match. While live, the same is true up to the hub's position, which the cursor takes over when the
   subscription leaves the live set.
2. Comparing the cursor with the ring and joining happen without a checkpoint: no event falls between.
3. The fan-out writes to the wire only while the send queue is empty: both ways keep one order.
4. Queued frames are older than the next page, and are taken before it is read.
5. The reader writes the frames that ``receive`` returned without a checkpoint in between. While that
   write lasts, the wire takes no direct one.
6. A page is handed out in slices, so that encoding and writing one delays other trio tasks little. The
   rest of it belongs to the cursor behind the last slice and to its selectors: if either changes, it is
   dropped, and read again.
7. Reading a page, and taking a slice of one, needs a turn of the :class:`.replay.ReplayBudget`.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol, Self

import attrs
import trio

from ..events import Batch, Event, EventId, Frame, Selectors
from ..events.batch import Rights
from ..events.control import gap, heartbeat
from ..log.port import Page
from .delivery import DeliveryRecord
from .live_set import LiveSet
from .replay import ReplayBudget
from .send_queue import LatestSendQueue, SendQueue, conflation_key
from .wire import Wire

SLICE_EVENTS: Final = 64
"""Maximum number of events of a page that are handed out, encoded and written at once, in some 0.2 ms."""

ReadPage = Callable[[Selectors, EventId], Awaitable[Page]]
"""Reads the next page of the log for some selectors, after a cursor."""


def do_nothing() -> None:
    """Stand in for a callback that is not needed."""


class LimitedSubscriber(Protocol):
    """A subscriber whose rights are limited."""

    @property
    def rights(self) -> Rights:
        """The present rights of the subscriber, which change with its selectors."""


class Overflow(StrEnum):
    """The policy for a slow consumer: the effect of a full send queue."""

    CATCH_UP = "catch-up"  # read from the log at its own speed until level: loses nothing
    LATEST = "latest"  # keep only the newest event of each topic and type; past that, catch up
    DISCONNECT = "disconnect"  # end the connection; the client resumes from its last id


@attrs.frozen
class _Rest:
    """The rest of a page, for the subscription that stands at its cursor.

    Args:
        cursor: the last event of the slice before it.
        selectors: those that the page was read for.
        page: what is left of it.
        size: of the data that was left after its first slice, counted in the budget (characters).
    """

    cursor: EventId
    selectors: Selectors
    page: Page
    size: int


class Subscription:
    """The events that match some selectors, from a cursor on, each once and in log order.

    Active for as long as the ``with`` block lasts. One trio task reads it by :meth:`receive`.

    Attributes:
        selectors: the topics and patterns subscribed to.
        cursor: the last id considered; see the coupling rules.
        live: True while the fan-out offers it events.
        merged: number of events that a newer one replaced, under the policy ``latest``.
    """

    __slots__ = (
        "_budget",
        "_closed",
        "_live_set",
        "_merged_in_pages",
        "_on_disconnect",
        "_overflow",
        "_queue",
        "_read_page",
        "_reader",
        "_rest",
        "_sent",
        "_was_live",
        "_wire",
        "cursor",
        "live",
        "selectors",
    )

    def __init__(
        self,
        live_set: LiveSet,
        read_page: ReadPage,
        budget: ReplayBudget,
        selectors: Selectors,
        cursor: EventId,
        queue: SendQueue,
        overflow: Overflow,
        on_disconnect: Callable[[], None],
        reader: LimitedSubscriber | None = None,
    ) -> None:
        self.selectors = selectors
        self.cursor = cursor
        self.live = False
        self._live_set = live_set
        self._read_page = read_page
        self._budget = budget
        self._was_live = False  # and has left the live set since
        self._rest: _Rest | None = None
        self._wire: Wire | None = None
        self._sent: DeliveryRecord | None = None
        self._queue = queue
        self._overflow = overflow
        self._on_disconnect = on_disconnect
        self._reader = reader
        self._merged_in_pages = 0
        self._closed = False

    def __enter__(self) -> Self:
        self._live_set.add(self, self._queue)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def merged(self) -> int:
        in_queue = self._queue.merged if isinstance(self._queue, LatestSendQueue) else 0
        return self._merged_in_pages + in_queue

    def level_cursor(self) -> EventId | None:
        """Return the position that this subscriber has fully read up to; None if it is not level."""
        if not self.live or self._queue.waiting:
            return None
        return max(self.cursor, self._live_set.position)

    def wants(self, event: Event) -> bool:
        """Return True for an event that is selected and that the subscriber may read."""
        return self.selectors.matches(event.topics) and (
            self._reader is None or self._reader.rights.may_read(event)
        )

    # --- the fan-out's side -------------------------------------------------------------------

    def write_through(self, wire: Wire | None, sent: DeliveryRecord | None = None) -> None:
        """Let the fan-out write straight to a wire while the send queue is empty.

        Args:
            wire: of the subscriber, once every earlier frame is written or queued on it; None to stop.
            sent: the record in which such writes are entered; None keeps the present one.
        """
        self._wire = wire
        if sent is not None:
            self._sent = sent
        elif wire is not None and self._sent is None:
            self._sent = DeliveryRecord(0.0)

    def offer(self, batch: Batch) -> bool:
        """Take events from the fan-out, in log order; never block, never raise.

        Events at or before the cursor are dropped: they were considered by another way.

        Returns:
            True when they went out on the wire. Otherwise they are in the send queue, or in the log.
        """
        if not self.live:
            return False
        if batch.first_id <= self.cursor:
            events = [event for event in batch.events if event.id > self.cursor]
            if not events:
                return False
            batch = Batch(events)
        if self._reader is not None:
            share = batch.share_of(self._reader.rights)
            if share is not None:
                if not share.count:
                    return False
                batch = share
        wire, sent = self._wire, self._sent
        if wire is not None and sent is not None and not self._queue.waiting:
            written = wire.write_nowait(batch)
            if written:
                # DeliveryRecord.add without the call: this is the innermost loop.
                self.cursor = sent.cursor = batch.last_id
                sent.at = self._live_set.now
                sent.bytes += written
                if batch.type == sent.type:
                    sent.run += batch.count
                else:
                    sent.change_type(batch)
                return True
        if self.live:  # otherwise the write found the client gone, which closed this subscription
            self._enqueue(batch)
        return False

    def _enqueue(self, batch: Batch) -> None:
        """Put events into the send queue, as many as there is room for."""
        for event in batch.events:
            if not self._queue.put_nowait(event):
                self._lag()
                break
            self.cursor = event.id

    def _lag(self) -> None:
        """Leave the live set because the send queue is full."""
        self._was_live = True
        self.cursor = max(self.cursor, self._live_set.position)
        self._live_set.leave(self, self._overflow)
        if self._overflow is Overflow.DISCONNECT:
            self._on_disconnect()

    def fall_behind(self) -> None:
        """Leave the live set because the hub fell behind the log, and read on from there."""
        self._was_live = True
        self.cursor = max(self.cursor, self._live_set.position)
        self._live_set.leave(self, Overflow.CATCH_UP)
        self._queue.put_nowait(heartbeat(datetime.now(UTC)))  # wakes a reader that waits in receive()

    # --- the reader's side --------------------------------------------------------------------

    async def receive(self) -> list[Frame]:
        """Wait for the next frames, at least one; return none once the subscription or its queue is closed.

        Cancelling it loses no frame.
        """
        if frames := await self.receive_ready():
            return frames
        del frames  # the next may come in hours
        return [] if self._closed else await self._queue.get()

    async def receive_ready(self) -> list[Frame]:
        """Return the frames that are there, from the queue or the log; none when level with the hub.

        Cancelling it loses no frame.
        """
        while not self._closed:
            frames = self._queue.drain()
            if not frames and not self.live and not self._live_set.join(self, self._queue):
                # A join for which the queue had no room left events in it: they come before the page.
                frames = self._queue.drain() or await self._next_page()
            elif not frames and not self._queue.waiting:
                return []
            if frames:
                return frames
        return []

    async def _next_page(self) -> list[Frame]:
        """Return the next slice of a page of the log, with a gap frame in front if events were dropped."""
        waited = await self._budget.acquire(is_lagging=self._was_live)
        try:
            if self._rest is not None and not waited:
                await trio.lowlevel.checkpoint()
            if (
                self._rest is None
                or self._rest.cursor != self.cursor
                or self._rest.selectors is not self.selectors
            ):
                self._drop_rest()
                selectors, size = self.selectors, 0
                page = await self._read_page(selectors, self.cursor)
            else:
                selectors, page, size = self._rest.selectors, self._rest.page, self._rest.size
        finally:
            self._budget.release()
        if self._closed:
            return []
        frames: list[Frame] = []
        if page.gap is not None:
            frames.append(gap(self.cursor, page.gap))
        if len(page.events) > SLICE_EVENTS:
            events, left = page.events[:SLICE_EVENTS], page.events[SLICE_EVENTS:]
            self.cursor = events[-1].id
            if not size:
                size = sum([len(event.data) for event in left])  # Event.size would take ten times as long
                self._budget.kept_bytes += size
            self._rest = _Rest(self.cursor, selectors, attrs.evolve(page, events=left, gap=None), size)
        else:
            events = page.events
            self.cursor = page.cursor
            self._drop_rest()
        if self._reader is not None:
            events = list(filter(self._reader.rights.may_read, events))
        if self._overflow is Overflow.LATEST:
            newest: dict[object, Frame] = {}
            for event in events:
                newest.pop(conflation_key(event), None)
                newest[conflation_key(event)] = event
            self._merged_in_pages += len(events) - len(newest)
            frames.extend(newest.values())
        else:
            frames.extend(events)
        return frames

    def _drop_rest(self) -> None:
        if self._rest is not None:
            self._budget.kept_bytes -= self._rest.size
            self._rest = None

    def change(self, selectors: Selectors) -> EventId:
        """Replace the selectors; return the cursor after which the new ones hold.

        A subscription that is not live reads the rest of the log with the new selectors.
        """
        if self.live:
            self._live_set.reindex(self, selectors)
        self.selectors = selectors
        return max(self.cursor, self._live_set.considered) if self.live else self.cursor

    def close(self) -> None:
        """Leave the hub; the send queue belongs to the connection and stays open."""
        self._closed = True
        self._drop_rest()
        self._live_set.remove(self)
