"""The log's implementations, as fixtures for the contract, and short ways to append and read."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from streamd.database import Database
from streamd.events import EARLIEST, Draft, EventId, EventSettings, Pattern, Selectors
from streamd.log.clock import wall_clock_ms
from streamd.log.memory import MemoryLog
from streamd.log.port import Log, Page
from streamd.log.redis import RedisLog
from streamd.log.settings import LogSettings
from streamd.log.sqlite import SQLiteLog
from streamd.redis.address import RedisAddress
from tests.support.redis_servers import new_prefix, shared_server

MakeLog = Callable[[LogSettings, Callable[[], int]], Awaitable[Log]]

LOG_KINDS = ("memory", "sqlite", "redis")
NOON_MS = 1_700_000_000_000
MANY: Final[dict[str, Any]] = {"max_events": 10_000, "max_bytes": 10_000_000}


async def open_log(
    kind: str, path: Path, settings: LogSettings, now_ms: Callable[[], int], nursery: trio.Nursery
) -> Log:
    """Open a log whose storage, if it has one, runs in the nursery.

    Args:
        kind: one of :data:`LOG_KINDS`.
        path: of the file.
        settings: the bounds.
        now_ms: the wall clock of ids (ms).
        nursery: of the test.
    """
    if kind == "memory":
        log: Log = MemoryLog(settings, now_ms)
    elif kind == "redis":
        address = shared_server().address
        # The tests' clocks may jump, and a reply is not late because of it.
        log = RedisLog(
            address, settings, prefix=new_prefix(), now_ms=now_ms, age_ms=_trio_ms, reply_seconds=math.inf
        )
        await nursery.start(log.serve)
    else:
        database = Database(str(path))
        log = SQLiteLog(database, settings, now_ms)
        await nursery.start(database.run)
    await log.open()
    return log


def _trio_ms() -> int:
    return NOON_MS + round(trio.current_time() * 1000)


@asynccontextmanager
async def sqlite_log(
    path: Path, now_ms: Callable[[], int] = wall_clock_ms, settings: LogSettings | None = None, **options: Any
) -> AsyncIterator[SQLiteLog]:
    """Run a log in a file while the block lasts, as one process would.

    Args:
        path: of the file.
        now_ms: the wall clock of ids (ms).
        settings: the bounds.
        options: of the database.
    """
    database = Database(str(path), **options)
    log = SQLiteLog(database, settings or LogSettings(), now_ms)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        await log.open()
        yield log
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def redis_log(prefix: str, address: RedisAddress | None = None) -> AsyncIterator[RedisLog]:
    """Run a log in Redis while the block lasts, as one node would.

    Args:
        prefix: of its keys.
        address: of the server; None for the shared one.
    """
    address = address or shared_server().address
    # The tests' clocks may jump, and a reply is not late because of it.
    log = RedisLog(address, LogSettings(), prefix=prefix, reply_seconds=math.inf)
    async with trio.open_nursery() as nursery:
        await nursery.start(log.serve)
        await log.open()
        yield log
        nursery.cancel_scope.cancel()


async def settle(log: Log) -> None:
    """Drop what exceeds the log's bounds, which a log on disk does in the background."""
    if isinstance(log, SQLiteLog):
        await log.trim()
        await log.forget_keys()
    elif isinstance(log, RedisLog):
        await log.trim()


# --- fixtures ---------------------------------------------------------------------------------------


class IdClock:
    """A wall clock for ids that stands still until a test sets it."""

    def __init__(self) -> None:
        self.ms = NOON_MS

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> IdClock:
    """Return the wall clock of the log's ids."""
    return IdClock()


@pytest.fixture(params=LOG_KINDS)
async def make_log(request: pytest.FixtureRequest, tmp_path: Path, nursery: trio.Nursery) -> MakeLog:
    """Return a function that opens a log of each kind, in runs of its own."""

    async def make(settings: LogSettings, now_ms: Callable[[], int]) -> Log:
        return await open_log(request.param, tmp_path / "log.db", settings, now_ms, nursery)

    return make


@pytest.fixture
async def log(make_log: MakeLog, clock: IdClock) -> Log:
    """Return a log with the default settings."""
    return await make_log(LogSettings(), clock)


# --- appending and reading --------------------------------------------------------------------------


def draft(topics: str | list[str], data: Any = "", key: str | None = None, **fields: Any) -> Draft:
    """Make a draft."""
    return Draft.create(topics, data, limits=EventSettings(), idempotency_key=key, **fields)


def topics(*names: str) -> Selectors:
    """Select exact topics."""
    return Selectors(topics=names)


def pattern(text: str) -> Selectors:
    """Select by a pattern."""
    return Selectors(patterns=[Pattern(text)])


async def append(log: Log, *names: str) -> list[EventId]:
    """Append an event under each topic, with the topic as its data, and return their ids."""
    return [receipt.id for receipt in await log.append([draft(name, name) for name in names])]


async def read(log: Log, selectors: Selectors, after: EventId = EARLIEST) -> Page:
    """Let the log drop what exceeds its bounds, and read all pages after a cursor as one."""
    await settle(log)
    return await read_pages(log, selectors, after)


async def read_pages(log: Log, selectors: Selectors, after: EventId = EARLIEST) -> Page:
    """Read all pages after a cursor as one."""
    page = await log.read(selectors, after, **MANY)
    while page.more:
        following = await log.read(selectors, page.cursor, **MANY)
        assert following.gap is None
        page = Page([*page.events, *following.events], following.cursor, following.more, page.gap)
    return page


def data(page: Page) -> list[str]:
    """Return the data of a page's events."""
    return [event.data for event in page.events]
