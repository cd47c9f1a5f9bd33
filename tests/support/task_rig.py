"""Tasks with store, log, hub and runner; and a log and a store that fail on request."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from streamd.clock import SteadyClock
from streamd.database import Database
from streamd.errors import RequestError, Unavailable
from streamd.events import Draft, Event, Selectors
from streamd.events.settings import EventSettings
from streamd.hub import Hub
from streamd.hub.settings import HubSettings
from streamd.log.memory import MemoryLog
from streamd.log.port import Condition, Log
from streamd.log.settings import LogSettings
from streamd.log.sqlite import SQLiteLog
from streamd.metrics import Metrics
from streamd.tasks import Kind, Runner, Task, Tasks, topic_of
from streamd.tasks.metrics import TaskMetrics
from streamd.tasks.settings import TaskSettings
from streamd.tasks.store.memory import MemoryTaskStore
from streamd.tasks.store.port import PublishedMessage, TaskStore
from streamd.tasks.store.redis import RedisTaskStore
from streamd.tasks.store.sqlite import SQLiteTaskStore
from tests.support.clocks import NOON
from tests.support.logs import read_pages, redis_log


def trio_now() -> datetime:
    """Return the time of a wall clock that follows trio's clock."""
    return NOON + timedelta(seconds=trio.current_time())


class SetClock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


class FailingLog(MemoryLog):
    """A log whose next appends fail, before or after they took effect.

    Attributes:
        fail_before: number of appends to fail without effect.
        fail_after: number of appends to fail after they took effect.
        refused: number of appends that failed.
    """

    def __init__(self, settings: LogSettings | None = None) -> None:
        super().__init__(settings or LogSettings())
        self.fail_before = self.fail_after = 0
        self.refused = 0

    async def append(
        self, drafts: Sequence[Draft], conditions: Sequence[Condition] = (), *, publisher: str = ""
    ) -> Any:
        if self.fail_before:
            self.fail_before -= 1
            self.refused += 1
            raise Unavailable("the log is away")
        receipts = await super().append(drafts, publisher=publisher)
        if self.fail_after:
            self.fail_after -= 1
            self.refused += 1
            raise Unavailable("the answer of the log was lost")
        return receipts


class ForgetfulStore(MemoryTaskStore):
    """A store whose next calls of ``mark_published`` fail.

    Attributes:
        fail_marks: number of calls to fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fail_marks = 0

    async def mark_published(self, published: Sequence[PublishedMessage]) -> None:
        if self.fail_marks:
            self.fail_marks -= 1
            raise Unavailable("the disk is away")
        await super().mark_published(published)


@attrs.frozen(eq=False)
class Rig:
    """The parts of a runtime that tasks need."""

    log: Log
    hub: Hub
    store: TaskStore
    tasks: Tasks
    runner: Runner
    metrics: TaskMetrics

    async def published(self, task_id: str) -> list[Event]:
        """Return the events of a task's own topic, in log order."""
        return await self.published_on(topic_of(task_id))

    async def published_on(self, *topics: str) -> list[Event]:
        """Return the events of some topics, in log order."""
        return list((await read_pages(self.log, Selectors(topics=topics))).events)

    def draft(self, event: Event, idempotency_key: str) -> Draft:
        """Build the draft of a published event again, with a key."""
        return Draft.create(
            event.topics,
            event.value,
            limits=EventSettings(),
            type=event.type,
            idempotency_key=idempotency_key,
        )

    async def data_of(self, task_id: str) -> list[dict[str, Any]]:
        """Return the data of the events of a task's own topic, in log order."""
        return [event.value for event in await self.published(task_id)]

    async def ended(self, task_id: str) -> Task:
        """Wait until the task's last message is in the log, and return the task."""
        await self.until(task_id, lambda event: event.type in ("complete", "error"))
        return await self.tasks.get(task_id)

    async def until(self, task_id: str, wanted: Callable[[Event], bool]) -> Event:
        """Wait for an event of a task in the log, and return it."""
        while True:
            head = self.log.head
            for event in await self.published(task_id):
                if wanted(event):
                    return event
            await self.log.tail(head, max_events=1, max_bytes=1)

    async def drained(self, poll_seconds: float = 0.1) -> None:
        """Wait until the outbox is empty."""
        while await self.store.outbox_depth():  # noqa: ASYNC110 - no event announces it
            await trio.sleep(poll_seconds)

    async def drained_in_real_time(self) -> None:
        """Wait until the outbox is empty, where the store has a thread and the clock is the real one."""
        await self.drained(poll_seconds=0.002)

    def metric(self, name: str) -> float:
        """Return the value of a metric; 0 when it has none."""
        return self.hub.metrics.registry.get_sample_value(f"streamd_{name}") or 0.0


def make_rig(
    *,
    store: TaskStore | None = None,
    log: Log | None = None,
    now: Callable[[], datetime] = trio_now,
    clock: SteadyClock | None = None,
    kinds: Iterable[Kind] = (),
    limits: EventSettings | None = None,
    hub: HubSettings | None = None,
    **settings: Any,
) -> Rig:
    """Build the parts without running them.

    Args:
        now: the wall clock.
        clock: the steady clock, instead of one that begins with the wall clock.
        settings: those of tasks.
    """
    store = store or MemoryTaskStore()
    if log is None:
        log = store.log if isinstance(store, RedisTaskStore) else MemoryLog(LogSettings())
    limits = limits or EventSettings()
    metrics = Metrics(max_type_labels=10)
    fan_out = Hub(log, hub or HubSettings(), limits, metrics)
    counted = TaskMetrics(metrics.registry)
    tasks = Tasks(store, fan_out, TaskSettings(**settings), limits, counted, clock or SteadyClock(now))
    for kind in kinds:
        tasks.register(kind)
    return Rig(log, fan_out, store, tasks, Runner(tasks), counted)


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    """Run a rig for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.hub.run)
        await nursery.start(rig.runner.run)
        yield rig
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def run_rig(**parts: Any) -> AsyncIterator[Rig]:
    """Make a rig, and run it for as long as the block lasts."""
    async with running(make_rig(**parts)) as rig:
        yield rig


@asynccontextmanager
async def run_shared_rig(path: Path, **parts: Any) -> AsyncIterator[Rig]:
    """Run a rig whose tasks and events share one file, as one process would."""
    database = Database(str(path), clock=parts.get("clock"))
    log = SQLiteLog(database, LogSettings())
    store = SQLiteTaskStore(database, log)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        await log.open()
        async with running(make_rig(store=store, log=log, **{"clock": database.clock, **parts})) as rig:
            yield rig
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def run_redis_rig(prefix: str, **parts: Any) -> AsyncIterator[Rig]:
    """Run a rig on the tests' Redis server, as one node would."""
    async with redis_log(prefix) as log:
        async with running(make_rig(store=RedisTaskStore(log), log=log, **parts)) as rig:
            yield rig


@asynccontextmanager
async def publishing(rig: Rig) -> AsyncIterator[None]:
    """Run only the hub and the outbox of a rig for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.hub.run)
        nursery.start_soon(rig.tasks.outbox.run)
        yield
        nursery.cancel_scope.cancel()


def check_history(events: Sequence[Event], task_id: str) -> None:
    """Check a task's events: every version once, one end, which is the last, and nothing runs backwards."""
    said = [event.value for event in events]
    assert [data["version"] for data in said] == list(range(1, len(said) + 1))
    assert {data["taskId"] for data in said} == {task_id}
    progress = [data["progress"] for data in said]
    assert progress == sorted(progress)
    stamps = [data["timestamp"] for data in said]
    assert stamps == sorted(stamps)
    ends = [n for n, event in enumerate(events, 1) if event.type in ("complete", "error")]
    assert ends == [len(events)], f"{task_id} ended {len(ends)} times"
    over = [data["status"] not in ("pending", "running") for data in said]
    assert over == [False] * (len(said) - 1) + [True]


async def check_rejected(error: type[RequestError], field: str, *requests: Callable[[], Any]) -> None:
    """Check that each request is rejected with an error of a class that names a field."""
    for request in requests:
        with pytest.raises(error) as caught:
            await request()
        assert caught.value.field == field


def names(tasks: Collection[Task]) -> list[str]:
    """Return the ids of tasks."""
    return [task.id for task in tasks]
