"""The hub: publishing into the log, and one task that fans out its tail to subscriptions."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn

import trio

from ..config import EventSettings, HubSettings
from ..errors import HubLagging
from ..events import Batch, Draft, Event, EventId, Selectors
from ..log.port import Log, Page, Receipt
from ..metrics import Metrics
from .index import SelectorIndex
from .send_queue import SendQueue
from .sent import record_delivery
from .subscription import Overflow, Subscription

_LOOK_AT_CLOCK_EVERY = 32  # offers between two looks at the clock: they take well under a turn


class Hub:
    """Publishes, and fans out what the log's tail yields, in log order.

    The last events fanned out are kept in a ring. A subscription whose cursor lies inside it joins
    the live set without a checkpoint, copying what it lacks; so replay meets live without a gap or
    a repeat, also behind a fast publisher.

    Args:
        log: the one order of events.
        settings: bounds of the fan-out.
        limits: bounds of an event.
        metrics: where it counts.

    Attributes:
        position: the last id that was offered to every live subscription it concerns.
        considered: the last id of the batch that is being fanned out, or ``position``.
        now: when this turn of the fan-out began (s, trio's clock).
    """

    def __init__(self, log: Log, settings: HubSettings, limits: EventSettings, metrics: Metrics) -> None:
        self.log = log
        self.metrics = metrics
        self.position = self.considered = log.head
        self.now = 0.0
        self._settings = settings
        self._limits = limits
        self._index: SelectorIndex[Subscription] = SelectorIndex(settings.pattern_cache_topics)
        self._ring: deque[Event] = deque()
        self._ring_bytes = 0
        self._ring_floor = log.head  # the place just before the oldest event in the ring
        self._ahead = 0  # events published here and not yet fanned out
        self._subscriptions: dict[Subscription, None] = {}
        self._deferred: dict[Callable[[], None], None] = {}
        self._turn = _Turn(settings.turn_ms / 1000, settings.max_turn_ms / 1000, self._end_turn)

    # --- publishing ---------------------------------------------------------------------------

    async def publish(
        self,
        topics: str | Sequence[str],
        data: Any = "",
        *,
        type: str | None = None,
        retry_ms: int | None = None,
        idempotency_key: str | None = None,
        publisher: str = "",
    ) -> EventId:
        """Publish one event and return its id; subscribers have it within milliseconds.

        Args:
            topics: one topic or several, the canonical one first.
            data: text, or any JSON value.
            type: the SSE event type, ``message`` when left out.
            retry_ms: reconnection time for clients, in milliseconds.
            idempotency_key: the same key with the same content publishes once, by this publisher.
            publisher: whose idempotency keys these are.

        Raises:
            InvalidField, TooLarge: the event cannot be published as it is.
            IdempotencyConflict: the key was used with other content.
            HubLagging: delivery is too far behind.
        """
        draft = Draft.create(
            topics,
            data,
            limits=self._limits,
            type=type,
            retry_ms=retry_ms,
            idempotency_key=idempotency_key,
        )
        [receipt] = await self.publish_drafts([draft], publisher=publisher)
        return receipt.id

    async def publish_drafts(self, drafts: Sequence[Draft], *, publisher: str = "") -> list[Receipt]:
        """Publish several events, all of them or none; the receipts are in the same order.

        Raises:
            IdempotencyConflict, HubLagging: nothing was published.
        """
        if self._ahead + len(drafts) > self._settings.max_lag_events:
            raise HubLagging(
                "delivery is behind publishing by more than the server allows", retry_after_seconds=1
            )
        receipts = await self.log.append(drafts, publisher=publisher)
        fresh = [draft.type for draft, receipt in zip(drafts, receipts, strict=True) if not receipt.duplicate]
        self._ahead += len(fresh)
        self.metrics.count_types(self.metrics.published, fresh)
        return receipts

    # --- subscriptions ------------------------------------------------------------------------

    def subscribe(
        self,
        selectors: Selectors,
        after: EventId | None,
        outbox: SendQueue,
        *,
        overflow: Overflow = Overflow.CATCH_UP,
        on_disconnect: Callable[[], None] = lambda: None,
    ) -> Subscription:
        """A subscription, for as long as the block ``with`` it lasts.

        Args:
            selectors: what to receive.
            after: the cursor to go on from; None for only what comes from now on.
            outbox: where events wait when the wire cannot take them.
            overflow: what happens when the outbox is full.
            on_disconnect: called when the policy ``disconnect`` applies.
        """
        cursor = self.log.head if after is None else after
        return Subscription(self, selectors, cursor, outbox, overflow, on_disconnect)

    def enter(self, subscription: Subscription, outbox: SendQueue) -> None:
        """Take in a subscription, live if its place allows that."""
        self._subscriptions[subscription] = None
        self.join(subscription, outbox)

    def statistics(self) -> dict[str, int]:
        """Counts of subscriptions, of those lagging, and of events not yet fanned out."""
        return {
            "subscriptions": len(self._subscriptions),
            "lagging": sum(not subscription.live for subscription in self._subscriptions),
            "ahead": self._ahead,
        }

    def join(self, subscription: Subscription, outbox: SendQueue) -> bool:
        """Make a subscription live if its cursor lies in the ring and what it lacks fits its outbox.

        No checkpoint: nothing is fanned out between the look and the joining.
        """
        if subscription.cursor < self._ring_floor or subscription.cursor > self.log.head:
            return False
        lacking: list[Event] = []
        for event in reversed(self._ring):
            if event.id <= subscription.cursor:
                break
            if subscription.selectors.matches(event.topics):
                lacking.append(event)
                if len(lacking) > self._settings.channel_capacity:
                    return False
        for event in reversed(lacking):
            if not outbox.put_nowait(event):
                return False
            subscription.cursor = event.id
        subscription.cursor = max(subscription.cursor, self.considered)
        self._index.add(subscription.selectors, subscription)
        subscription.live = True
        return True

    def leave(self, subscription: Subscription, overflow: Overflow | None) -> None:
        """Take a subscription out of the live set: its outbox is full, or (None) it is closed."""
        if subscription.live:
            subscription.live = False
            self._index.remove(subscription.selectors, subscription)
        if overflow is None:
            self._subscriptions.pop(subscription, None)
        else:
            self.metrics.overflows.labels(overflow.value).inc()

    def reindex(self, subscription: Subscription, selectors: Selectors) -> None:
        """Give a live subscription other selectors."""
        self._index.remove(subscription.selectors, subscription)
        self._index.add(selectors, subscription)

    async def read(self, selectors: Selectors, after: EventId) -> Page:
        """A page of the log, of the size that one turn takes."""
        return await self.log.read(
            selectors,
            after,
            max_events=self._settings.batch_events,
            max_bytes=self._settings.batch_bytes,
        )

    # --- the fan-out --------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Fan out the log's tail until cancelled; what was not fanned out stays in the log."""
        settings = self._settings
        while True:
            page = await self.log.tail(
                self.considered, max_events=settings.batch_events, max_bytes=settings.batch_bytes
            )
            if page.gap is not None:
                self._fall_behind(page.gap)
            self._ahead = max(0, self._ahead - len(page.events))
            self._remember(page.events)
            self.considered = page.cursor
            self.now = trio.current_time()
            self._turn.begin()
            if page.events:
                await self._fan_out(page.events)
            self._run_deferred()
            self.position = page.cursor

    def _remember(self, events: Sequence[Event]) -> None:
        ring = self._ring
        for event in events:
            ring.append(event)
            self._ring_bytes += event.size
        while len(ring) > self._settings.ring_events or self._ring_bytes > self._settings.ring_bytes:
            oldest = ring.popleft()
            self._ring_bytes -= oldest.size
            self._ring_floor = oldest.id

    def _fall_behind(self, lost: EventId) -> None:
        """The log dropped events before they were fanned out: everyone reads on from the log."""
        self._ring.clear()
        self._ring_bytes = 0
        self._ring_floor = lost
        for subscription in list(self._subscriptions):
            if subscription.live:
                subscription.fall_behind()

    def defer(self, action: Callable[[], None]) -> None:
        """Have something done once at the end of this turn of the fan-out, before others run."""
        self._deferred[action] = None

    async def _fan_out(self, events: Sequence[Event]) -> None:
        """Offer each subscription its events together, in log order; who gets the same shares a batch."""
        groups: dict[tuple[str, ...], list[Event]] = {}
        for event in events:
            groups.setdefault(event.topics, []).append(event)
        if len(groups) == 1:
            [topics] = groups
            await self._offer(Batch(events), self._index.find(topics))
            return
        merged: dict[tuple[tuple[str, ...], ...], list[Subscription]] = {}
        for subscription, topics_of in (await self._find_all(groups)).items():
            merged.setdefault(tuple(topics_of), []).append(subscription)
        for topics_of_group, subscriptions in merged.items():
            theirs = [event for topics in topics_of_group for event in groups[topics]]
            theirs.sort(key=_id_of)
            await self._offer(Batch(theirs), subscriptions)

    async def _find_all(self, groups: Iterable[tuple[str, ...]]) -> dict[Subscription, list[tuple[str, ...]]]:
        """For each subscription the topics of the events it wants."""
        wanted: dict[Subscription, list[tuple[str, ...]]] = {}
        for topics in groups:
            for subscription in self._index.find(topics):
                wanted.setdefault(subscription, []).append(topics)
            await self._turn.pause()
        return wanted

    async def _offer(self, batch: Batch, subscriptions: Sequence[Subscription]) -> None:
        for start in range(0, len(subscriptions), _LOOK_AT_CLOCK_EVERY):
            written = 0
            for subscription in subscriptions[start : start + _LOOK_AT_CLOCK_EVERY]:
                if subscription.offer(batch):
                    written += 1
            record_delivery(self.metrics, batch, written)
            await self._turn.pause()

    async def _end_turn(self) -> None:
        """What was put off is done, then others run."""
        self._run_deferred()
        await trio.lowlevel.checkpoint()
        self.now = trio.current_time()

    def _run_deferred(self) -> None:
        while self._deferred:
            action, _ = self._deferred.popitem()
            action()


def _id_of(event: Event) -> EventId:
    return event.id


class _Turn:
    """Ends a turn when it has lasted long enough: as long as the others took before it, within bounds.

    Args:
        least: of a turn (s).
        most: of a turn (s).
        end: lets the others run.
    """

    __slots__ = ("_deadline", "_end", "_least", "_most")

    def __init__(self, least: float, most: float, end: Callable[[], Awaitable[None]]) -> None:
        self._least = least
        self._most = most
        self._end = end
        self._deadline = 0.0

    def begin(self) -> None:
        self._deadline = time.perf_counter() + self._least

    async def pause(self) -> None:
        now = time.perf_counter()
        if now >= self._deadline:
            await self._end()
            again = time.perf_counter()
            self._deadline = again + max(self._least, min(again - now, self._most))
