"""The hub: publishing into the log, and the fan-out of the log's tail to subscriptions.

Publishing appends to the log, which assigns the ids. One trio task, :meth:`Hub.run`, takes the log's tail
page by page and offers each event to the live subscriptions that match it, in log order::

    publish -> log.append        log.tail -> Hub.run -> LiveSet.find -> Subscription.offer
                   |
                   '- level, and no live subscription concerned: LiveSet.skip, and Hub.run sleeps on

An event that concerns nobody while the fan-out waits for it is considered in the step of its append, which is
what a turn of the fan-out would do: it enters the ring, and the position moves behind it.

Subscriptions that match the same events of a page share one batch, which is encoded once. The fan-out
works in short turns, see :class:`~streamd.hub.turn.Turn`, so that other trio tasks keep running.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NoReturn

import trio

from ..errors import HubLagging
from ..events import Batch, Draft, Event, EventId, EventSettings, Selectors
from ..log.port import Log, Page, Receipt
from ..metrics import Metrics
from .delivery import observe_delivery
from .live_set import LiveSet, LiveSubscriber
from .replay import ReplayBudget
from .send_queue import SendQueue
from .settings import HubSettings
from .subscription import SLICE_EVENTS, LimitedSubscriber, Overflow, Subscription, do_nothing
from .turn import Turn

_OFFERS_PER_CLOCK_READ = 32  # few enough to take well under a turn


class Hub:
    """Publishes into a log, and fans out its tail.

    Args:
        log: assigns the ids and keeps the events.
        settings: bounds of the fan-out.
        limits: bounds of an event.
        metrics: counts events and measures delivery.

    Attributes:
        replay_budget: bounds the reading of pages by subscriptions.
        on_gap: called with a position up to which the log has dropped or lost events that the fan-out has not
            taken, or has taken before they were lost.
    """

    def __init__(self, log: Log, settings: HubSettings, limits: EventSettings, metrics: Metrics) -> None:
        self.log = log
        self.metrics = metrics
        self.on_gap: Callable[[EventId], None] = lambda _: None
        self._settings = settings
        self._limits = limits
        self._live_set = LiveSet(log, settings, metrics)
        self.replay_budget = ReplayBudget(settings.replay_reads, settings.replay_bytes)
        self._turn = Turn(settings.turn_ms / 1000, settings.max_turn_ms / 1000, self._read_clock)
        self._page_reader: Final = self._read_page  # a method for each subscription would take memory
        self._appending = 0  # drafts that the log is about to append
        self._taken = 0  # events appended since the log's start and taken by the fan-out

    @property
    def position(self) -> EventId:
        """The last id that was offered to every live subscription it concerns."""
        return self._live_set.position

    def statistics(self) -> dict[str, int]:
        """Count subscriptions, those lagging, and published events that are not fanned out yet."""
        return {**self._live_set.statistics(), "ahead": self._ahead}

    @property
    def _ahead(self) -> int:
        """The number of events that are in the log, or about to be, and not fanned out yet."""
        return self.log.appended - self._taken + self._appending

    # --- publishing ---------------------------------------------------------------------------

    async def publish(
        self,
        topics: str | Sequence[str],
        data: Any = "",
        *,
        type: str | None = None,
        retry_ms: int | None = None,
        idempotency_key: str | None = None,
        private: bool = False,
        publisher: str = "",
    ) -> EventId:
        """Publish one event and return its id; subscribers receive it within milliseconds.

        Args:
            topics: one topic or several, the canonical one first.
            data: text, bytes, or any JSON value.
            type: the SSE event type; None for ``message``.
            retry_ms: reconnection time for clients (ms).
            idempotency_key: the same key with the same content publishes once for this publisher.
            private: callers without a token may not read it.
            publisher: the owner of the idempotency key.

        Raises:
            InvalidField, TooLarge: the event is invalid.
            IdempotencyConflict: the key was used with other content.
            HubLagging: delivery is too far behind.

        Cancelled before the event is appended, or not at all.
        """
        draft = Draft.create(
            topics,
            data,
            limits=self._limits,
            type=type,
            retry_ms=retry_ms,
            idempotency_key=idempotency_key,
            private=private,
        )
        [receipt] = await self.publish_drafts([draft], publisher=publisher)
        return receipt.id

    async def publish_drafts(self, drafts: Sequence[Draft], *, publisher: str = "") -> list[Receipt]:
        """Publish several events, all of them or none, and return their receipts in the same order.

        Raises:
            IdempotencyConflict, HubLagging: nothing was published.
        """
        count = len(drafts)
        log = self.log
        self._appending += count
        try:
            if log.appended - self._taken + self._appending > self._settings.max_lag_events:
                raise HubLagging(
                    "delivery is behind publishing by more than the server allows", retry_after_seconds=1
                )
            receipts = await log.append(drafts, publisher=publisher)
        finally:
            self._appending -= count
        count_published = self.metrics.count_published
        for draft, receipt in zip(drafts, receipts, strict=True):
            if not receipt.duplicate:
                count_published(draft.type)
        return receipts

    def count_published(self, types: Sequence[str]) -> None:
        """Count events that were appended to the log, by their types."""
        for type in types:
            self.metrics.count_published(type)

    # --- subscribing --------------------------------------------------------------------------

    def subscribe(
        self,
        selectors: Selectors,
        after: EventId | None,
        queue: SendQueue,
        *,
        overflow: Overflow = Overflow.CATCH_UP,
        on_disconnect: Callable[[], None] = do_nothing,
        reader: LimitedSubscriber | None = None,
    ) -> Subscription:
        """Create a subscription, active for as long as its ``with`` block lasts.

        Args:
            selectors: the topics and patterns to receive.
            after: the cursor to resume from; None for new events only.
            queue: holds the events that the wire cannot take at once.
            overflow: the policy for a full queue.
            on_disconnect: called when the policy ``disconnect`` applies.
            reader: has the rights of the subscriber; None: it may read all events.
        """
        cursor = self.log.head if after is None else after
        return Subscription(
            self._live_set,
            self._page_reader,
            self.replay_budget,
            selectors,
            cursor,
            queue,
            overflow,
            on_disconnect,
            reader,
        )

    async def _read_page(self, selectors: Selectors, after: EventId) -> Page:
        """Read a page of the log, as large as a turn of the fan-out takes, and count a gap in it.

        While the budget for what is kept of pages is exhausted, it is one slice.
        """
        max_events = self._settings.batch_events
        page = await self.log.read(
            selectors,
            after,
            max_events=min(max_events, SLICE_EVENTS) if self.replay_budget.is_exhausted else max_events,
            max_bytes=self._settings.batch_bytes,
        )
        if page.gap is not None:
            self.metrics.gaps.inc()
        return page

    # --- the fan-out --------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Fan out the log's tail until cancelled; events not fanned out by then stay in the log."""
        settings, live_set = self._settings, self._live_set
        live_set.start()
        while True:
            page = await self.log.tail(
                live_set.considered,
                max_events=settings.batch_events,
                max_bytes=settings.batch_bytes,
                skip=self._skip,
            )
            if page.gap is not None:
                live_set.reset(page.gap)
                self.on_gap(page.gap)
            self._taken = self.log.appended if not page.more else self._taken + len(page.events)
            live_set.advance(page)
            self._read_clock()
            self._turn.begin()
            if page.events:
                await self._fan_out(page.events)
            self._turn.end()
            live_set.position = page.cursor

    def _skip(self, events: Sequence[Event]) -> bool:
        """Consider events that concern no live subscription, and return True; otherwise leave them to a turn.

        Called by the log while the fan-out waits for events after its position.
        """
        if not self._live_set.skip(events):
            return False
        self._taken += len(events)
        return True

    def defer(self, action: Callable[[], None]) -> None:
        """Call ``action`` once at the end of this turn of the fan-out, before other trio tasks run.

        Between turns, it is called at once.
        """
        self._turn.defer(action)

    def _read_clock(self) -> None:
        self._live_set.now = trio.current_time()

    async def _fan_out(self, events: Sequence[Event]) -> None:
        """Offer events to subscriptions in log order; those that match the same events share a batch."""
        groups: dict[tuple[str, ...], list[Event]] = {}
        for event in events:
            groups.setdefault(event.topics, []).append(event)
        if len(groups) == 1:
            [topics] = groups
            await self._offer(Batch(events), await self._find(topics))
            return
        sharing: dict[tuple[tuple[str, ...], ...], list[LiveSubscriber]] = {}
        for subscription, matched in (await self._match(groups)).items():
            sharing.setdefault(tuple(matched), []).append(subscription)
        for matched_groups, subscriptions in sharing.items():
            shared = [event for topics in matched_groups for event in groups[topics]]
            shared.sort(key=_id_of)
            await self._offer(Batch(shared), subscriptions)

    async def _match(self, groups: Iterable[tuple[str, ...]]) -> dict[LiveSubscriber, list[tuple[str, ...]]]:
        """Map each subscription to the groups of topics that it matches."""
        matches: dict[LiveSubscriber, list[tuple[str, ...]]] = {}
        for topics in groups:
            for subscription in await self._find(topics):
                matches.setdefault(subscription, []).append(topics)
            await self._turn.pause()
        return matches

    async def _find(self, topics: Iterable[str]) -> Sequence[LiveSubscriber]:
        """Find the live subscriptions of some topics, with a pause when the turn is over."""
        for _ in self._live_set.explore(topics):
            await self._turn.pause()
        return self._live_set.find(topics)

    async def _offer(self, batch: Batch, subscriptions: Sequence[LiveSubscriber]) -> None:
        """Offer one batch to subscriptions, and pause when the turn is over."""
        for start in range(0, len(subscriptions), _OFFERS_PER_CLOCK_READ):
            written = 0
            for subscription in subscriptions[start : start + _OFFERS_PER_CLOCK_READ]:
                if subscription.offer(batch):
                    written += 1
            observe_delivery(self.metrics, batch, written)
            await self._turn.pause()


def _id_of(event: Event) -> EventId:
    return event.id
