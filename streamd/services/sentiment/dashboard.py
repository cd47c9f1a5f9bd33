"""The dashboard: stores items, counts them and queues their events."""

import time
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec
import structlog
import trio
from msgspec import UNSET

from ...computing.computer import Computer
from ...errors import Unavailable
from ...events import EventLimits
from ...idempotency import IdempotencyKey
from ...steps import Steps, run_at_once
from ...text import load_vader, score_in_steps
from ...turns import Turns
from .feed import Feed, FeedPublisher
from .items import Item, known_scores, read_items, score_items
from .models import AcceptedItems, SentimentMetrics
from .settings import SentimentSettings
from .store import ItemStore

_IN_PLACE_BYTES: Final = 512  # for a smaller body a thread hop costs more than the scoring
_PURGE_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 1.0  # Retry-After of a condition that passes quickly

_log = structlog.get_logger(__name__)


def wall_clock_ms() -> int:
    """Return the wall clock's time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Dashboard:
    """Sentiment of shares over a sliding window.

    Args:
        store: stores and counts the items.
        publisher: publishes the events.
        settings: the service's settings.
        limits: limits of an event.
        now_ms: the wall clock (ms since 1970), for the timestamps of items and their window.
        computer: scores the items; defaults to threads.
    """

    def __init__(
        self,
        store: ItemStore,
        publisher: FeedPublisher,
        settings: SentimentSettings,
        limits: EventLimits,
        now_ms: Callable[[], int] = wall_clock_ms,
        computer: Computer | None = None,
    ) -> None:
        self.settings = settings
        self._limits = limits
        self._now_ms = now_ms
        self._store = store
        self._feed = Feed(publisher, store, settings)
        self._loaded = trio.Event()
        self._arriving = 0  # items of inserts in progress
        self._started: float | None = None  # s, trio's clock
        self._computer = computer or Computer("items")
        self._turns = Turns()

    async def run(self) -> NoReturn:
        """Load the stored items, then publish and purge until cancelled; no accepted item is lost."""
        self._started = trio.current_time()
        await load_vader()
        await self._store.open()
        self._loaded.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._feed.publish_items)
            nursery.start_soon(self._store.hold, self._work_for_all)
        raise AssertionError("the dashboard runs until it is cancelled")

    async def _work_for_all(self) -> None:
        """Do the work that one node does for all that share the store."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._feed.publish_metrics)
            nursery.start_soon(self._purge)

    @property
    def uptime_seconds(self) -> float:
        return 0.0 if self._started is None else trio.current_time() - self._started

    async def ready(self) -> None:
        """Wait until the stored items are loaded.

        Raises:
            Unavailable: loading takes longer than ``load_wait_seconds``.
        """
        if self._loaded.is_set():
            return
        with trio.move_on_after(self.settings.load_wait_seconds):
            await self._loaded.wait()
            return
        raise Unavailable("the stored items are still being loaded", retry_after_seconds=_RETRY_SECONDS)

    @property
    def is_shared(self) -> bool:
        """True if other nodes change the items, too."""
        return self._store.is_shared

    async def metrics(self) -> SentimentMetrics:
        """Return the exact metrics of this moment.

        Raises:
            Unavailable: the store cannot be read now.
        """
        _, metrics = await self._store.read()
        return metrics

    async def snapshot(self) -> Callable[[], SentimentMetrics]:
        """Return a function that gives the metrics; see :meth:`.store.ItemStore.snapshot`."""
        return await self._store.snapshot()

    async def store_items(self, body: bytes, key_text: str | None = None, *, user: str = "") -> AcceptedItems:
        """Store the items of a request, all or none; items with a known id change nothing.

        Args:
            body: JSON, see :class:`.models.ItemsBody`.
            key_text: the idempotency key. A request with a known key changes nothing and gets the same ids,
                also while a limit is met.
            user: the owner of the key; empty for callers without a user.

        Cancelling takes effect before the items are stored, or not at all.

        Raises:
            InvalidBody, InvalidField, TooLarge: see :func:`.items.read_items`.
            IdempotencyConflict: a request with the key had other content.
            Unavailable: a limit on items is met, or the database cannot write now.
        """
        await self.ready()
        now_ms = self._now_ms()
        items, key = await self._read(body, now_ms, key_text, user)
        is_new = key is None or await self._store.find_accepted(key) is None
        if is_new:
            self._check_backlog(len(items))
        self._arriving += len(items)
        try:
            inserted = await self._store.insert(items, self.settings if is_new else None, key)
        finally:
            self._arriving -= len(items)
        self._feed.put([item.draft for item in inserted.new])
        stored = zip(items, inserted.timestamps_ms, strict=True)
        outside = dict.fromkeys(item.id for item, timestamp_ms in stored if timestamp_ms <= inserted.begin_ms)
        return AcceptedItems(inserted.accepted, [item.id for item in items], list(outside) or UNSET)

    async def _read(
        self, body: bytes, now_ms: int, key_text: str | None, user: str
    ) -> tuple[list[Item], IdempotencyKey | None]:
        settings, limits = self.settings, self._limits
        score: Callable[[str], Steps[float]] = score_in_steps
        if self._computer.has_process_for(len(body)):
            scores = await self._computer.run(len(body), score_items, body, now_ms, settings, limits)
            score = known_scores(scores)

        def read() -> Steps[tuple[list[Item], IdempotencyKey | None]]:
            name = None if key_text is None else f"{user} {key_text}" if user else key_text
            items = yield from read_items(body, now_ms, settings, limits, score, name)
            if key_text is None:
                return items, None
            return items, IdempotencyKey.create(key_text, msgspec.json.decode(body), scope=user)

        return run_at_once(read()) if _is_cheap(body) else await self._turns.run(read())

    def _check_backlog(self, count: int) -> None:
        """Refuse items while too many wait to be published; inserts in progress count as well."""
        if self._feed.unpublished + self._arriving + count > self.settings.max_unpublished:
            raise Unavailable(
                "the limit of unpublished items is reached; retry later", retry_after_seconds=_RETRY_SECONDS
            )

    async def _purge(self) -> NoReturn:
        while True:
            await trio.sleep(_PURGE_SECONDS)
            try:
                await self._store.purge()
            except Unavailable as error:
                _log.warning("sentiment_purge_delayed", detail=error.detail)


def _is_cheap(body: bytes) -> bool:
    """Return True if a body is read within a few milliseconds: short, and without a pictogram.

    A pictogram costs as much as ten letters, and may be written as an escape or an HTML entity.
    """
    return len(body) <= _IN_PLACE_BYTES and body.isascii() and b"\\u" not in body and b"&" not in body
