"""One subscriber's place in the log."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from ..events import Batch, EventId, Frame, Selectors
from ..events.control import gap, heartbeat
from .send_queue import LatestSendQueue, SendQueue, conflation_key
from .sent import Sent
from .wire import Wire

if TYPE_CHECKING:
    from .hub import Hub


class Overflow(StrEnum):
    """What happens when a subscriber's outbox is full."""

    CATCH_UP = "catch-up"  # read from the log at its own speed until level: loses nothing
    LATEST = "latest"  # keep only the newest event of each topic and type; past that, catch up
    DISCONNECT = "disconnect"  # end the connection; the client resumes from its last id


class Subscription:
    """Events that match some selectors, in log order, each once, from a cursor on.

    It is *live* while the fan-out offers it events, and *lagging* while it reads pages from the log
    by itself, as it does at first and after its outbox was full. :meth:`receive` covers both.

    Attributes:
        selectors: what it asks for.
        cursor: the last id considered; everything up to it was put in the outbox, written, or did
            not match. While live, the fan-out's position counts as well.
        live: whether the fan-out offers it events.
        merged: events replaced by a newer one, under the policy ``latest``.
    """

    __slots__ = (
        "_closed",
        "_hub",
        "_merged_in_pages",
        "_on_disconnect",
        "_outbox",
        "_overflow",
        "_sent",
        "_wire",
        "cursor",
        "live",
        "selectors",
    )

    def __init__(
        self,
        hub: "Hub",
        selectors: Selectors,
        cursor: EventId,
        outbox: SendQueue,
        overflow: Overflow,
        on_disconnect: Callable[[], None],
    ) -> None:
        self.selectors = selectors
        self.cursor = cursor
        self.live = False
        self._hub = hub
        self._wire: Wire | None = None
        self._sent = Sent(0.0)
        self._outbox = outbox
        self._overflow = overflow
        self._on_disconnect = on_disconnect
        self._merged_in_pages = 0
        self._closed = False

    def __enter__(self) -> Self:
        self._hub.enter(self, self._outbox)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def merged(self) -> int:
        waiting = self._outbox.merged if isinstance(self._outbox, LatestSendQueue) else 0
        return self._merged_in_pages + waiting

    def level_cursor(self) -> EventId | None:
        """The place in the log this subscriber has wholly read up to, if it is level with the hub."""
        if not self.live or self._outbox.waiting:
            return None
        return max(self.cursor, self._hub.position)

    def write_through(self, wire: Wire | None, sent: Sent | None = None) -> None:
        """Let the fan-out write straight to a wire when nothing waits; None: no more.

        Args:
            wire: of the subscriber, when all that came before is written or queued on it.
            sent: the account that such writes are entered in.
        """
        self._wire = wire
        self._sent = sent or self._sent

    def offer(self, batch: Batch) -> bool:
        """Take events from the fan-out, in log order; never blocks, never raises.

        Those at or before the cursor are dropped: it has considered them by another way.

        Returns:
            Whether they went out on the wire. If not, they wait in the outbox, or in the log.
        """
        if not self.live:
            return False
        if batch.first_id <= self.cursor:
            events = [event for event in batch.events if event.id > self.cursor]
            if not events:
                return False
            batch = Batch(events)
        if self._wire is not None and not self._outbox.waiting:
            written = self._wire.write_nowait(batch)
            if written:
                sent = self._sent  # Sent.add, without the call: this is the innermost loop
                self.cursor = sent.cursor = batch.last_id
                sent.at = self._hub.now
                sent.events += batch.count
                sent.bytes += written
                return True
        for event in batch.events:
            if not self._outbox.put_nowait(event):
                self._overflowed()
                break
            self.cursor = event.id
        return False

    def _overflowed(self) -> None:
        self.cursor = max(self.cursor, self._hub.position)
        self._hub.leave(self, self._overflow)
        if self._overflow is Overflow.DISCONNECT:
            self._on_disconnect()

    def fall_behind(self) -> None:
        """Read on from the log: the hub itself lost its place in it."""
        self.cursor = max(self.cursor, self._hub.position)
        self._hub.leave(self, Overflow.CATCH_UP)
        self._outbox.put_nowait(heartbeat(datetime.now(UTC)))  # wakes whoever waits in receive()

    async def receive(self) -> list[Frame]:
        """The next frames, at least one; empty once the subscription or its outbox is closed.

        Cancelled while waiting, or not at all: nothing is lost.
        """
        frames = await self.receive_ready()
        return frames if frames or self._closed else await self._outbox.get()

    async def receive_ready(self) -> list[Frame]:
        """What there is now, without waiting for more; empty when the subscription is level.

        Cancelled while reading from the log, or not at all: nothing is lost.
        """
        while not self._closed:
            frames = self._outbox.drain()
            if not frames and not self.live and not self._hub.join(self, self._outbox):
                # A join that did not fit has put what fitted, which comes before the page.
                frames = self._outbox.drain() or await self._read_page()
            elif not frames and not self._outbox.waiting:
                return []
            if frames:
                return frames
        return []

    async def _read_page(self) -> list[Frame]:
        """One page of the log, after the cursor."""
        page = await self._hub.read(self.selectors, self.cursor)
        frames: list[Frame] = []
        if page.gap is not None:
            self._hub.metrics.gaps.inc()
            frames.append(gap(self.cursor, page.gap))
        self.cursor = page.cursor
        if self._overflow is Overflow.LATEST:
            newest: dict[object, Frame] = {}
            for event in page.events:
                newest.pop(conflation_key(event), None)
                newest[conflation_key(event)] = event
            self._merged_in_pages += len(page.events) - len(newest)
            frames.extend(newest.values())
        else:
            frames.extend(page.events)
        return frames

    def change(self, selectors: Selectors) -> EventId:
        """Ask for something else from now on; returns the cursor from which the change holds.

        A subscriber that is lagging reads the rest of the way with the new selectors.
        """
        if self.live:
            self._hub.reindex(self, selectors)
        self.selectors = selectors
        return max(self.cursor, self._hub.considered) if self.live else self.cursor

    def close(self) -> None:
        """Leave the hub; the outbox belongs to the connection and stays as it is."""
        self._closed = True
        self._hub.leave(self, None)
