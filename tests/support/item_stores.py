"""The implementations of the store of items, each opened by a context manager; and items to put in."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio
import trio.testing

from streamd.clock import SteadyClock
from streamd.database import MEMORY, Database
from streamd.events import Draft
from streamd.events.settings import EventSettings
from streamd.idempotency import IdempotencyKey
from streamd.redis import RedisLink, RedisStore
from streamd.services.sentiment.items import Item
from streamd.services.sentiment.models import Sentiment
from streamd.services.sentiment.settings import SentimentSettings
from streamd.services.sentiment.store import ItemStore
from streamd.services.sentiment.store.redis import RedisItemStore
from streamd.services.sentiment.store.sqlite import SQLiteItemStore
from tests.support.redis_links import open_link
from tests.support.redis_servers import new_prefix
from tests.support.task_stores import open_database

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 1_700_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SETTINGS = SentimentSettings()


class ItemClock:
    """A wall clock that the test sets, or that goes on with trio's clock."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms

    def wall(self) -> datetime:
        """Return its time as a wall clock does."""
        return EPOCH + timedelta(milliseconds=self.ms)

    def pass_ms(self, ms: int) -> None:
        """Let time pass, on trio's clock as well."""
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(ms / 1000)
        self.ms += ms


OpenItems = Callable[[Path, ItemClock], AbstractAsyncContextManager[ItemStore]]


@asynccontextmanager
async def _open_sqlite(path: str, clock: ItemClock) -> AsyncIterator[ItemStore]:
    database = Database(path, clock=SteadyClock(clock.wall))
    store = SQLiteItemStore(database, SETTINGS, clock)
    async with open_database(database):
        await store.open()
        yield store


def _sqlite_memory(folder: Path, clock: ItemClock) -> AbstractAsyncContextManager[ItemStore]:
    return _open_sqlite(MEMORY, clock)


def _sqlite_file(folder: Path, clock: ItemClock) -> AbstractAsyncContextManager[ItemStore]:
    return _open_sqlite(str(folder / "items.db"), clock)


@asynccontextmanager
async def _redis(folder: Path, clock: ItemClock) -> AsyncIterator[ItemStore]:
    async with open_link() as link:
        store = redis_items(link, new_prefix(), clock)
        await store.open()
        yield store


def redis_items(link: RedisLink, prefix: str, clock: ItemClock | None = None) -> RedisItemStore:
    """Make a store, as one node has it.

    Args:
        link: of the node.
        prefix: of the keys.
        clock: None for the server's.
    """
    return RedisItemStore(RedisStore(link, prefix), SETTINGS, clock)


ITEM_STORES: dict[str, OpenItems] = {
    "sqlite:memory": _sqlite_memory,
    "sqlite:file": _sqlite_file,
    "redis": _redis,
}


def stored_item(
    id: str, ticker: str = "AAPL", sentiment: str = "positive", *, at_ms: int = START_MS, age_ms: int = 0
) -> Item:
    """Make an item whose timestamp is some time before ``at_ms``."""
    draft = Draft.create("sentiment/items", id, limits=EventSettings())
    return Item(id, ticker, Sentiment(sentiment), 0.5, at_ms - age_ms, draft)


def item_key(name: str = "k", content: str = "content") -> IdempotencyKey:
    """Make an idempotency key of a content."""
    return IdempotencyKey.create(name, content)
