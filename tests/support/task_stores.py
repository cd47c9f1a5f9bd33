"""The implementations of the task store, each opened by a context manager; and tasks to put in."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from streamd.clock import SteadyClock
from streamd.database import MEMORY, Database
from streamd.events import EventId
from streamd.redis.address import RedisAddress
from streamd.tasks import Task, operations
from streamd.tasks.model import Change, Operation
from streamd.tasks.store.memory import MemoryTaskStore
from streamd.tasks.store.port import PublishedMessage, TaskStore
from streamd.tasks.store.redis import RedisTaskStore
from streamd.tasks.store.sqlite import SQLiteTaskStore
from tests.support.clocks import at
from tests.support.logs import redis_log
from tests.support.redis_servers import new_prefix

OpenStore = Callable[[Path], AbstractAsyncContextManager[TaskStore]]


@asynccontextmanager
async def open_database(database: Database) -> AsyncIterator[Database]:
    """Run a database for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        yield database
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_sqlite(path: str, clock: SteadyClock | None = None) -> AsyncIterator[SQLiteTaskStore]:
    """Run a store on SQLite while the block lasts."""
    database = Database(path, clock=clock)
    store = SQLiteTaskStore(database)
    async with open_database(database):
        yield store


@asynccontextmanager
async def _memory(folder: Path) -> AsyncIterator[TaskStore]:
    yield MemoryTaskStore()


@asynccontextmanager
async def _sqlite_memory(folder: Path) -> AsyncIterator[TaskStore]:
    async with open_sqlite(MEMORY) as store:
        yield store


@asynccontextmanager
async def _sqlite_file(folder: Path) -> AsyncIterator[TaskStore]:
    async with open_sqlite(str(folder / "tasks.db")) as store:
        yield store


@asynccontextmanager
async def open_redis(prefix: str, address: RedisAddress | None = None) -> AsyncIterator[RedisTaskStore]:
    """Run a store in Redis while the block lasts, as one node would; by default on the shared server."""
    async with redis_log(prefix, address=address) as log:
        yield RedisTaskStore(log)


@asynccontextmanager
async def _redis(folder: Path) -> AsyncIterator[TaskStore]:
    async with open_redis(new_prefix()) as store:
        yield store


STORES: dict[str, OpenStore] = {
    "memory": _memory,
    "sqlite:memory": _sqlite_memory,
    "sqlite:file": _sqlite_file,
    "redis": _redis,
}


# --- operations --------------------------------------------------------------------


def creating(task_id: str, seconds: float = 0, **fields: Any) -> Change:
    """Create a task some seconds after noon, with a minute to its deadline."""
    known = {"kind": "k", "timeout_seconds": 60.0}
    return operations.create(id=task_id, now=at(seconds), **{**known, **fields})


def starting(seconds: float = 1, worker: str = "w", lease_seconds: float = 30) -> Operation:
    return lambda task: [
        operations.start(
            task, at(seconds), worker=worker, lease=f"lease of {worker}", lease_seconds=lease_seconds
        )
    ]


def updating(seconds: float = 2, **values: Any) -> Operation:
    return lambda task: [operations.update(task, at(seconds), **values)]


def completing(seconds: float = 3, result: bytes = b'{"n":1}') -> Operation:
    return lambda task: [operations.complete(task, at(seconds), result=result, shown_result={"n": 1})]


def failing(seconds: float = 3) -> Operation:
    return lambda task: [operations.fail(task, at(seconds), code="failed", detail="it broke")]


async def store_task(
    store: TaskStore, task_id: str, *operations: Operation, raw_input: bytes = b"null", **fields: Any
) -> Task:
    """Create a task in the store, and apply operations to it."""
    await store.create(
        [creating(task_id, **fields)], raw_input=raw_input, max_unfinished=1000, max_tasks=1000
    )
    for operation in operations:
        await store.change(task_id, operation)
    return await store.get(task_id)


def follow_on(*operations: Operation) -> Operation:
    """Combine operations into one transaction."""

    def perform(task: Task) -> Sequence[Change]:
        changes: list[Change] = []
        for operation in operations:
            changes += operation(changes[-1].task if changes else task)
        return changes

    return perform


# --- contents of a store ---------------------------------------------------------------------


async def publish_all(store: TaskStore, *, keep_last: bool = False) -> list[PublishedMessage]:
    """Mark all rows as published, as the publisher would; the last of a task may be kept."""
    rows = await store.unpublished(10_000)
    published = [
        PublishedMessage(
            task_id=row.task_id,
            version=row.version,
            part=row.part,
            id=EventId(f"{n:013d}-000000"),
            keep=keep_last and row.last,
        )
        for n, row in enumerate(rows, 1)
    ]
    await store.mark_published(published)
    return published


async def waiting_versions(store: TaskStore) -> list[tuple[str, int]]:
    return [(row.task_id, row.version) for row in await store.unpublished(10_000)]


async def contents_of(store: TaskStore) -> list[Any]:
    """Read everything that a store shows."""
    tasks = await store.find(limit=1000)
    snapshots = [await store.snapshot(task.id) for task in tasks]
    results = [await store.result(task.id) for task in tasks]
    inputs = [await store.input(task.id) for task in tasks]
    waiting = [await store.unpublished(1000), await store.ending(), await store.outbox_depth()]
    return [tasks, snapshots, results, inputs, waiting, await store.counts()]
