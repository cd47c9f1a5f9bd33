"""The service: takes items, keeps them, counts them, and has them published."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NoReturn

import attrs
import structlog
import trio

from ...config.services import SentimentSettings
from ...database import Database
from ...errors import Unavailable
from ...events.event import Limits
from ...text import vader
from ...text.vader import score_text
from .feed import Feed, Publisher
from .items import Item, read_items
from .scoring import Scorer
from .store import Store
from .totals import Metrics, Totals

_IN_PLACE_BYTES: Final = 1024  # a smaller body is read and scored at once: a thread would take longer
_PURGE_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 1.0  # for what is over in a moment
_RETRY_FULL_SECONDS: Final = 60.0  # for what is over when items have left

_log = structlog.get_logger(__name__)


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@attrs.frozen
class Taken:
    """The answer to a request that brought items."""

    ids: Sequence[str]  # of all items of the request, in their order
    new: int  # how many of them were not known before


class Dashboard:
    """What is said of shares, counted over a sliding window.

    Args:
        database: where items are kept; not opened yet.
        hub: where events are published.
        settings: of the service.
        limits: of an event.
        now_ms: the clock (ms since 1970).
    """

    def __init__(
        self,
        database: Database,
        hub: Publisher,
        settings: SentimentSettings,
        limits: Limits,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._now_ms = now_ms
        self._window_ms = round(1000 * settings.window_seconds)
        # An item that is ahead of the clock counts for longer, and its id is known for as long.
        self._store = Store(database, self._window_ms + round(1000 * settings.max_ahead_seconds))
        self._totals = Totals(self._window_ms)
        self._feed = Feed(hub, self._totals, settings, now_ms)
        self._loaded = trio.Event()
        self._kept = 0  # items in the store
        self._arriving: Counter[str] = Counter()  # by ticker, items on their way into the store
        self._started: float | None = None  # s, trio's clock
        self._one_at_a_time = trio.CapacityLimiter(1)  # threads that compute would only share one interpreter

    async def run(self) -> NoReturn:
        """Read what is kept, then publish until cancelled. Items that were taken are in the store."""
        self._started = trio.current_time()
        await vader.load()
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
        """Wait until what is kept has been read.

        Raises:
            Unavailable: that takes longer than ``load_wait_seconds``.
        """
        if self._loaded.is_set():
            return
        with trio.move_on_after(self._settings.load_wait_seconds):
            await self._loaded.wait()
            return
        raise Unavailable("what is kept is still being read", retry_after_seconds=_RETRY_SECONDS)

    async def settle(self) -> None:
        """Let go of what has left the window, a little at a time; :meth:`metrics` then takes no time."""
        await self._feed.settle()

    def metrics(self) -> Metrics:
        """The totals as they are now, exactly."""
        return self._totals.metrics(self._now_ms())

    async def take(self, body: bytes) -> Taken:
        """Take the items of a request, all of them or none; those whose id is known change nothing.

        Cancelled before they are stored, or not at all.

        Raises:
            InvalidBody, InvalidField, TooLarge: see :func:`.items.read_items`.
            Unavailable: there is no room for them, or the store does not take them now.
        """
        await self.ready()
        now_ms = self._now_ms()
        items = await self._read(body, now_ms)
        self._check_room(items)
        arriving = Counter(item.ticker for item in items)
        self._arriving += arriving
        try:
            inserted = await self._store.insert(items, now_ms)
            self._kept += inserted.rows
        finally:
            self._arriving -= arriving
        for item in inserted.new:
            self._totals.add(item.timestamp_ms, item.ticker, item.sentiment)
        self._feed.put([item.draft for item in inserted.new])
        return Taken([item.id for item in items], len(inserted.new))

    async def _read(self, body: bytes, now_ms: int) -> list[Item]:
        read = partial(read_items, body, now_ms, self._settings, self._limits)
        if len(body) <= _IN_PLACE_BYTES:
            return read(score_text)
        return await trio.to_thread.run_sync(read, Scorer(), limiter=self._one_at_a_time)

    def _check_room(self, items: Sequence[Item]) -> None:
        """Refuse what would exceed a bound, those on their way into the store included; no checkpoint."""
        settings, arriving = self._settings, self._arriving.total()
        if self._kept + arriving + len(items) > settings.max_items:
            raise _full(f"all {settings.max_items} places for items are taken", "items")
        if self._feed.waiting + arriving + len(items) > settings.max_unpublished:
            raise Unavailable(
                "publishing is behind by more than the server allows", retry_after_seconds=_RETRY_SECONDS
            )
        tickers = self._totals.tickers
        fresh = {ticker for ticker in self._arriving if ticker not in tickers}
        for index, item in enumerate(items):
            if item.ticker not in tickers and item.ticker not in fresh:
                fresh.add(item.ticker)
                if len(tickers) + len(fresh) > settings.max_tickers:
                    raise _full(
                        f"all {settings.max_tickers} tickers are taken, and {item.ticker} is another one",
                        f"items[{index}].ticker",
                    )

    async def _load(self) -> None:
        began = trio.current_time()
        while await self._store.purge_some(self._now_ms()):
            pass
        now_ms, row = self._now_ms(), 0
        self._totals.expire(now_ms)  # what is older than an hour then need not wait to leave the last one
        while page := await self._store.read_page(now_ms - self._window_ms, row):
            for row, timestamp_ms, ticker, sentiment in page:  # noqa: B007 - it is where the next page begins
                self._totals.add(timestamp_ms, ticker, sentiment)
        self._kept = await self._store.count()
        seconds = round(trio.current_time() - began, 3)
        _log.info("sentiment_items_read", items=len(self._totals), seconds=seconds)

    async def _purge(self) -> NoReturn:
        while True:
            await trio.sleep(_PURGE_SECONDS)
            try:
                while gone := await self._store.purge_some(self._now_ms()):
                    self._kept -= gone
            except Unavailable as error:
                _log.warning("sentiment_purge_delayed", detail=error.detail)


def _full(detail: str, field: str) -> Unavailable:
    return Unavailable(detail, field=field, retry_after_seconds=_RETRY_FULL_SECONDS)
