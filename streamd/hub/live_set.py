"""The live set: the subscriptions that the fan-out offers events to, and the ring that lets them join.

A subscription that replays the log must change to live delivery without missing an event or receiving one
twice, however fast events are published. The ring holds the last events that were fanned out. If the
subscription's cursor lies inside the ring, the events after it are copied into its send queue and the
subscription joins, all without a checkpoint, so that the fan-out cannot advance in between.

Positions in the log, oldest first::

    ring_floor | fanned out ... position | being fanned out ... considered | published ... log.head
               '----------------------- the ring -----------------------'
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from ..events import Batch, Event, EventId, Selectors
from ..log.port import Log, Page
from ..log.scan_time import ScanTime
from ..metrics import Metrics
from .index import SelectorIndex
from .send_queue import SendQueue
from .settings import HubSettings

_CACHED_TOPICS: Final = 10_000  # topics with their matching patterns in memory: some 3 MB


class LiveSubscriber(Protocol):
    """The part of a subscription that the live set and the fan-out use."""

    selectors: Selectors
    cursor: EventId
    live: bool

    def wants(self, event: Event) -> bool:
        """Return True for an event that is selected and that the subscriber may read."""

    def offer(self, batch: Batch) -> bool:
        """Take a batch from the fan-out; never block, never raise. True when it was written."""

    def fall_behind(self) -> None:
        """Leave the live set and read on from the log."""


class LiveSet:
    """The live subscriptions by topic and pattern, and the events a joining one may lack.

    Every method is synchronous: none lets another trio task run.

    Args:
        log: its head bounds the cursors that may join.
        settings: bounds of the ring and of the events copied on joining.
        metrics: counts overflows.
        scan_time: for which the ring is searched when a subscription joins; None for the usual time.

    Attributes:
        position: the last id that was offered to every live subscription it concerns.
        considered: the last id of the batch that is being fanned out, else ``position``.
        now: start of this turn of the fan-out (s, trio's clock).
    """

    __slots__ = (
        "_index",
        "_log",
        "_metrics",
        "_ring",
        "_ring_bytes",
        "_ring_floor",
        "_scan_time",
        "_settings",
        "_subscriptions",
        "considered",
        "now",
        "position",
    )

    def __init__(
        self, log: Log, settings: HubSettings, metrics: Metrics, scan_time: ScanTime | None = None
    ) -> None:
        self.position = self.considered = log.head
        self.now = 0.0
        self._log = log
        self._settings = settings
        self._metrics = metrics
        self._scan_time = scan_time or ScanTime()
        self._index: SelectorIndex[LiveSubscriber] = SelectorIndex(_CACHED_TOPICS)
        self._ring: deque[Event] = deque()
        self._ring_bytes = 0
        self._ring_floor = log.head  # the position just before the oldest event in the ring
        self._subscriptions: dict[LiveSubscriber, None] = {}  # all of them, also those that are not live

    def start(self) -> None:
        """Begin behind the log's history, which may have been unknown when this object was made."""
        if self.position < self._log.start:
            self.position = self.considered = self._ring_floor = self._log.start

    # --- members ------------------------------------------------------------------------------

    def add(self, subscription: LiveSubscriber, queue: SendQueue) -> None:
        """Register a subscription, and let it join at once if it can."""
        self._subscriptions[subscription] = None
        self.join(subscription, queue)

    def join(self, subscription: LiveSubscriber, queue: SendQueue) -> bool:
        """Make a subscription live if its cursor lies in the ring and its send queue has room.

        The events between the cursor and the fan-out go into the queue. When they do not all fit, the
        first of them stay there, and the cursor stands behind these. Where its patterns are so hard to match
        that this takes milliseconds, it reads pages of the log until fewer events are left.

        Returns:
            True when it is live now.
        """
        if subscription.cursor < self._ring_floor or subscription.cursor > self._log.head:
            return False
        if subscription.cursor < self.considered:
            if not self._catch_up(subscription, queue):
                return False
            subscription.cursor = max(subscription.cursor, self.considered)
        self._index.add(subscription.selectors, subscription)
        subscription.live = True
        return True

    def _catch_up(self, subscription: LiveSubscriber, queue: SendQueue) -> bool:
        """Queue the events of the ring that a subscription lacks; return False without room or time."""
        missed: list[Event] = []
        for number, event in enumerate(reversed(self._ring)):
            if event.id <= subscription.cursor:
                break
            if not number:
                self._scan_time.begin()
            elif self._scan_time.is_over(number):
                return False
            if subscription.wants(event):
                missed.append(event)
                if len(missed) > self._settings.send_queue_events:
                    return False
        for event in reversed(missed):
            if not queue.put_nowait(event):
                return False
            subscription.cursor = event.id
        return True

    def leave(self, subscription: LiveSubscriber, overflow: str) -> None:
        """Take a subscription out of the fan-out; it stays registered, and may join again.

        Args:
            overflow: the policy that applies to it, for the metrics.
        """
        self._remove_live(subscription)
        self._metrics.overflows.labels(overflow).inc()

    def remove(self, subscription: LiveSubscriber) -> None:
        """Forget a subscription that is closed."""
        self._remove_live(subscription)
        self._subscriptions.pop(subscription, None)

    def _remove_live(self, subscription: LiveSubscriber) -> None:
        if subscription.live:
            subscription.live = False
            self._index.remove(subscription.selectors, subscription)

    def reindex(self, subscription: LiveSubscriber, selectors: Selectors) -> None:
        """Move a live subscription to other selectors."""
        self._index.remove(subscription.selectors, subscription)
        self._index.add(selectors, subscription)

    def explore(self, topics: Iterable[str]) -> Iterable[None]:
        """Prepare :meth:`find` in short steps: iterate over it, and pause in between as you like."""
        return self._index.explore(topics)

    def find(self, topics: Iterable[str]) -> Sequence[LiveSubscriber]:
        """Return the live subscriptions that an event under ``topics`` concerns, each once; a copy."""
        return self._index.find(topics)

    def statistics(self) -> dict[str, int]:
        """Count all subscriptions, and those that read from the log instead of being live."""
        return {
            "subscriptions": len(self._subscriptions),
            "lagging": sum(not subscription.live for subscription in self._subscriptions),
        }

    # --- the ring -----------------------------------------------------------------------------

    def advance(self, page: Page) -> None:
        """Put the events of a page into the ring, just before they are fanned out."""
        self._put(page.events)
        self.considered = page.cursor

    def skip(self, events: Sequence[Event]) -> bool:
        """Put the next events into the ring, as fanned out, if no live subscription is concerned.

        Nothing may be in fan-out: the events come right after ``position``.

        Returns:
            False if there is such a subscription, and nothing was done.
        """
        index = self._index
        for event in events:
            if index.concerns(event.topics):
                return False
        self._put(events)
        self.position = self.considered = events[-1].id
        return True

    def _put(self, events: Sequence[Event]) -> None:
        """Put events into the ring; the oldest leave it."""
        ring, settings = self._ring, self._settings
        size = self._ring_bytes
        for event in events:
            size += event.size
        ring.extend(events)
        self._ring_bytes = size
        while len(ring) > settings.ring_events or self._ring_bytes > settings.ring_bytes:
            oldest = ring.popleft()
            self._ring_bytes -= oldest.size
            self._ring_floor = max(self._ring_floor, oldest.id)  # after a gap, older events may enter

    def reset(self, gap: EventId) -> None:
        """Empty the ring and make all members lag: the log dropped or lost events.

        Args:
            gap: the position up to which it did.
        """
        self._ring.clear()
        self._ring_bytes = 0
        self._ring_floor = gap
        for subscription in list(self._subscriptions):
            if subscription.live:
                subscription.fall_behind()
