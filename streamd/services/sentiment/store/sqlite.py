"""Items in the database of one node, with the totals in its memory."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
import trio

from ....database import Database
from ....idempotency import IdempotencyKey
from ..items import Item
from ..models import SentimentMetrics
from ..settings import SentimentSettings
from ..totals import Totals
from .port import WINDOW_MS, Inserted, too_many_items, too_many_tickers
from .tables import ItemTables

_EXPIRED_ITEMS: Final = 1000  # removals between two checkpoints: a few milliseconds

_log = structlog.get_logger(__name__)


class LiveTotals:
    """Totals in memory whose changes can be waited for; see :class:`.port.MetricsSource`.

    Args:
        totals: of the items.
        now_ms: clock of the items (ms since 1970).
    """

    first_version: object = 0

    def __init__(self, totals: Totals, now_ms: Callable[[], int]) -> None:
        self.totals: Final = totals
        self._now_ms = now_ms
        self._added = trio.Event()

    def wake(self) -> None:
        """Look at the totals again: items were added."""
        self._added.set()
        self._added = trio.Event()

    def metrics(self) -> SentimentMetrics:
        """Return the exact totals of this moment."""
        return self.totals.metrics(self._now_ms())

    async def read(self) -> tuple[object, SentimentMetrics]:
        await self.settle()
        metrics = self.metrics()
        return self.totals.version, metrics

    async def settle(self) -> None:
        """Remove the items that have left, with checkpoints: a large number must not block the loop."""
        await trio.lowlevel.checkpoint()
        while not self.totals.expire(self._now_ms(), limit=_EXPIRED_ITEMS):
            await trio.lowlevel.checkpoint()

    async def wait_for_change(self, version: object) -> None:
        while True:
            added = self._added
            await self.settle()
            if self.totals.version != version:
                return
            leaves_ms = self.totals.next_change_ms
            until = float("inf") if leaves_ms is None else (leaves_ms - self._now_ms()) / 1000
            with trio.move_on_after(max(0.0, until)):
                await added.wait()


class SQLiteItemStore(LiveTotals):
    """Items in SQLite; see :class:`.port.ItemStore`.

    Args:
        database: must not be open yet; the tables are declared on it.
        settings: the maximum time by which a timestamp may be ahead of the clock.
        now_ms: the wall clock (ms since 1970), for the timestamps of items and their window.
    """

    is_shared: bool = False

    def __init__(self, database: Database, settings: SentimentSettings, now_ms: Callable[[], int]) -> None:
        super().__init__(Totals(WINDOW_MS), now_ms)
        # An item whose timestamp is ahead of the clock counts longer, so its id must be known longer.
        self._tables = ItemTables(database, WINDOW_MS + round(1000 * settings.max_ahead_seconds))
        self._clock = database.clock
        self._kept = 0  # items and keys in the tables
        self._arriving: Counter[str] = Counter()  # items of inserts in progress, by ticker

    async def open(self) -> None:
        began = trio.current_time()
        while await self._tables.purge_some(self._steady_ms()):
            pass
        now_ms = self._now_ms()
        self.totals.expire(now_ms)  # items older than an hour then skip the heap of the last hour
        row, items = await self._tables.read_page(now_ms - WINDOW_MS, 0)
        while row:
            for item in items:
                self.totals.add(*item)
            row, items = await self._tables.read_page(now_ms - WINDOW_MS, row)
        self._kept = await self._tables.count()
        seconds = round(trio.current_time() - began, 3)
        _log.info("sentiment_items_loaded", items=len(self.totals), seconds=seconds)

    async def find_accepted(self, key: IdempotencyKey) -> int | None:
        return await self._tables.find_accepted(key, self._steady_ms())

    async def insert(
        self, items: Sequence[Item], limits: SentimentSettings | None, key: IdempotencyKey | None = None
    ) -> Inserted:
        if limits is not None:
            self._check_room(items, limits)
        arriving = Counter(item.ticker for item in items)
        self._arriving += arriving
        try:
            inserted = await self._tables.insert(items, self._steady_ms(), key)
            self._kept += inserted.rows
        finally:
            self._arriving -= arriving
        now_ms = self._now_ms()
        self.totals.expire(now_ms, limit=0)  # only moves the window, which may have been ahead
        for item in inserted.new:
            self.totals.add(item.timestamp_ms, item.ticker, item.sentiment)
        self.wake()
        return Inserted(inserted.new, inserted.accepted, inserted.timestamps_ms, now_ms - WINDOW_MS)

    async def snapshot(self) -> Callable[[], SentimentMetrics]:
        await self.settle()
        return self.metrics

    async def purge(self) -> None:
        while gone := await self._tables.purge_some(self._steady_ms()):
            self._kept -= gone

    async def hold(self, work: Callable[[], Awaitable[None]]) -> None:
        await work()

    def _check_room(self, items: Sequence[Item], limits: SentimentSettings) -> None:
        """Refuse items over a limit; inserts in progress count as well. Has no checkpoint."""
        if self._kept + self._arriving.total() + len(items) > limits.max_items:
            raise too_many_items(limits)
        tickers = self.totals.tickers
        fresh = {ticker for ticker in self._arriving if ticker not in tickers}
        for index, item in enumerate(items):
            if item.ticker not in tickers and item.ticker not in fresh:
                fresh.add(item.ticker)
                if len(tickers) + len(fresh) > limits.max_tickers:
                    raise too_many_tickers(limits, index, item.ticker)

    def _steady_ms(self) -> int:
        return int(1000 * self._clock.now().timestamp())
