"""The dashboard: stores items, counts them and queues their events."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import msgspec
import structlog
import trio
from msgspec import UNSET

from ...database import Database
from ...errors import Unavailable
from ...events import EventLimits
from ...idempotency import IdempotencyKey
from ...text import load_vader, score_text
from .feed import Feed, FeedPublisher
from .items import Item, read_items
from .models import AcceptedItems, SentimentMetrics
from .scoring import Scorer
from .settings import SentimentSettings
from .store import ItemStore
from .totals import Totals

_WINDOW_MS: Final = 86_400_000  # of the totals: the field rate_last_24h names it
_IN_PLACE_BYTES: Final = 1024  # for a smaller body a thread hop costs more than the scoring
_PURGE_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 1.0  # Retry-After of a condition that passes quickly
_RETRY_FULL_SECONDS: Final = 60.0  # Retry-After of a limit that is met until items leave

_log = structlog.get_logger(__name__)


def wall_clock_ms() -> int:
    """Return the wall clock's time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Dashboard:
    """Sentiment of shares over a sliding window.

    Args:
        database: stores the items; must not be open yet.
        publisher: publishes the events.
        settings: the service's settings.
        limits: limits of an event.
        now_ms: the wall clock (ms since 1970), for the timestamps of items and their window.
    """

    def __init__(
        self,
        database: Database,
        publisher: FeedPublisher,
        settings: SentimentSettings,
        limits: EventLimits,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.settings = settings
        self._limits = limits
        self._now_ms = now_ms
        self._clock = database.clock
        # An item whose timestamp is ahead of the clock counts longer, so its id must be known longer.
        self._store = ItemStore(database, _WINDOW_MS + round(1000 * settings.max_ahead_seconds))
        self._totals = Totals(_WINDOW_MS)
        self._feed = Feed(publisher, self._totals, settings, now_ms)
        self._loaded = trio.Event()
        self._kept = 0  # items in the store
        self._arriving: Counter[str] = Counter()  # items of inserts in progress, by ticker
        self._started: float | None = None  # s, trio's clock
        # A second computing thread would only share the interpreter.
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def run(self) -> NoReturn:
        """Load the stored items, then publish and purge until cancelled; no accepted item is lost."""
        self._started = trio.current_time()
        await load_vader()
        await self._load()
        self._loaded.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._feed.run)
            nursery.start_soon(self._purge)
        raise AssertionError("the dashboard runs until it is cancelled")

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

    async def settle(self) -> None:
        """Remove the items that have left the window, with checkpoints, before :meth:`metrics`."""
        await self._feed.settle()

    def metrics(self) -> SentimentMetrics:
        """Return the exact metrics of this moment."""
        return self._totals.metrics(self._now_ms())

    async def store_items(self, body: bytes, key_text: str | None = None) -> AcceptedItems:
        """Store the items of a request, all or none; items with a known id change nothing.

        Args:
            body: JSON, see :class:`.models.ItemsBody`.
            key_text: the idempotency key. A request with a known key changes nothing and gets the same ids,
                also while a limit is met.

        Cancelling takes effect before the items are stored, or not at all.

        Raises:
            InvalidBody, InvalidField, TooLarge: see :func:`.items.read_items`.
            IdempotencyConflict: a request with the key had other content.
            Unavailable: a limit on items is met, or the database cannot write now.
        """
        await self.ready()
        now_ms = self._now_ms()
        items, key = await self._read(body, now_ms, key_text)
        received_ms = self._steady_ms()
        if key is None or await self._store.find_accepted(key, received_ms) is None:
            self._check_room(items)
        arriving = Counter(item.ticker for item in items)
        self._arriving += arriving
        try:
            inserted = await self._store.insert(items, received_ms, key)
            self._kept += inserted.rows
        finally:
            self._arriving -= arriving
        self._totals.expire(self._now_ms(), limit=0)  # only moves the window, which may have been ahead
        for item in inserted.new:
            self._totals.add(item.timestamp_ms, item.ticker, item.sentiment)
        self._feed.put([item.draft for item in inserted.new])
        begin_ms = now_ms - _WINDOW_MS
        stored = zip(items, inserted.timestamps_ms, strict=True)
        outside = dict.fromkeys(item.id for item, timestamp_ms in stored if timestamp_ms <= begin_ms)
        return AcceptedItems(inserted.accepted, [item.id for item in items], list(outside) or UNSET)

    def _steady_ms(self) -> int:
        return int(1000 * self._clock.now().timestamp())

    async def _read(
        self, body: bytes, now_ms: int, key_text: str | None
    ) -> tuple[list[Item], IdempotencyKey | None]:
        def read(score: Callable[[str], float]) -> tuple[list[Item], IdempotencyKey | None]:
            items = read_items(body, now_ms, self.settings, self._limits, score, key_text)
            if key_text is None:
                return items, None
            return items, IdempotencyKey.create(key_text, msgspec.json.decode(body))

        if len(body) <= _IN_PLACE_BYTES:
            return read(score_text)
        return await trio.to_thread.run_sync(read, Scorer(), limiter=self._one_at_a_time)

    def _check_room(self, items: Sequence[Item]) -> None:
        """Refuse items over a limit; inserts in progress count as well. Has no checkpoint."""
        settings, arriving = self.settings, self._arriving.total()
        if self._kept + arriving + len(items) > settings.max_items:
            raise _full(f"the limit of {settings.max_items} stored items is reached", "items")
        if self._feed.unpublished + arriving + len(items) > settings.max_unpublished:
            raise Unavailable(
                "the limit of unpublished items is reached; retry later", retry_after_seconds=_RETRY_SECONDS
            )
        tickers = self._totals.tickers
        fresh = {ticker for ticker in self._arriving if ticker not in tickers}
        for index, item in enumerate(items):
            if item.ticker not in tickers and item.ticker not in fresh:
                fresh.add(item.ticker)
                if len(tickers) + len(fresh) > settings.max_tickers:
                    raise _full(
                        f"{item.ticker} would exceed the limit of {settings.max_tickers} tickers",
                        f"items[{index}].ticker",
                    )

    async def _load(self) -> None:
        began = trio.current_time()
        while await self._store.purge_some(self._steady_ms()):
            pass
        now_ms = self._now_ms()
        self._totals.expire(now_ms)  # items older than an hour then skip the heap of the last hour
        row, items = await self._store.read_page(now_ms - _WINDOW_MS, 0)
        while row:
            for item in items:
                self._totals.add(*item)
            row, items = await self._store.read_page(now_ms - _WINDOW_MS, row)
        self._kept = await self._store.count()
        seconds = round(trio.current_time() - began, 3)
        _log.info("sentiment_items_loaded", items=len(self._totals), seconds=seconds)

    async def _purge(self) -> NoReturn:
        while True:
            await trio.sleep(_PURGE_SECONDS)
            try:
                while gone := await self._store.purge_some(self._steady_ms()):
                    self._kept -= gone
            except Unavailable as error:
                _log.warning("sentiment_purge_delayed", detail=error.detail)


def _full(detail: str, field: str) -> Unavailable:
    return Unavailable(detail, field=field, retry_after_seconds=_RETRY_FULL_SECONDS)
