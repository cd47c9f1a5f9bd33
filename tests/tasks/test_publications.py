"""Several events per change: each published once, in order, on its own topics, across crashes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio.testing

from streamd.events import Event
from streamd.events.settings import EventSettings
from streamd.tasks import Cause, Kind, Message, Publication, Task, operations
from streamd.tasks.store.memory import MemoryTaskStore
from streamd.tasks.store.port import TaskStore
from tests.support.stream_follower import follow
from tests.support.task_rig import (
    FailingLog,
    ForgetfulStore,
    Rig,
    SetClock,
    check_history,
    make_rig,
    publishing,
    run_rig,
)
from tests.support.task_stores import open_sqlite

Clock = trio.testing.MockClock
OpenStore = Callable[[], AbstractAsyncContextManager[TaskStore]]

TOPICS = ("tasks/t", "audit:all", "customer:7")


def spread(task: Task, message: Message) -> list[Publication]:
    """Publish on two more topics, one before and one after the task's own event."""
    return [
        Publication((f"audit:{task.id}", "audit:all"), Message("audit", {"audited": task.version})),
        Publication((task.topic,), message),
        Publication(("customer:7",), Message("note", {"cause": message.cause.value, "v": task.version})),
    ]


SPREAD = Kind(name="remote", present=spread)


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Return a function that opens a store, each time with the same tasks."""
    kept = MemoryTaskStore()

    @asynccontextmanager
    async def memory() -> AsyncIterator[TaskStore]:
        yield kept

    @asynccontextmanager
    async def sqlite() -> AsyncIterator[TaskStore]:
        async with open_sqlite(str(tmp_path / "tasks.db")) as store:
            yield store

    return memory if request.param == "memory" else sqlite


async def work_through(rig: Rig, task_id: str = "t", updates: int = 2) -> Task:
    """Create, start, update and complete a task: four versions with two updates."""
    task = await rig.tasks.create("remote", id=task_id, worker="w")
    for _ in range(updates):
        await rig.tasks.perform(task_id, lambda task: [operations.update(task, rig.tasks.now(), progress=9)])
    return await rig.tasks.complete(task_id, {"n": 1}, lease=task.lease)


def summarize(events: list[Event]) -> list[tuple[str, int]]:
    """Return the canonical topic and the version of each event."""
    versions = [
        event.value.get("version") or event.value.get("v") or event.value["audited"] for event in events
    ]
    return [(event.topics[0], version) for event, version in zip(events, versions, strict=True)]


def expected(versions: int, task_id: str = "t") -> list[tuple[str, int]]:
    topics = (f"audit:{task_id}", f"tasks/{task_id}", "customer:7")
    return [(topic, version) for version in range(1, versions + 1) for topic in topics]


async def test_a_change_publishes_all_its_events_in_the_order_of_the_kind(autojump_clock: Clock) -> None:
    async with run_rig(kinds=[SPREAD]) as rig:
        await work_through(rig)
        await rig.drained()
        events = await rig.published_on(*TOPICS)
        assert summarize(events) == expected(5)
        assert [event.type for event in events[:3]] == ["audit", "status", "note"]
        assert events[0].topics == ("audit:t", "audit:all")
        assert [event.value["cause"] for event in events if event.type == "note"] == [
            Cause.CREATED,
            Cause.STARTED,
            Cause.UPDATED,
            Cause.UPDATED,
            Cause.COMPLETED,
        ]
        check_history(await rig.published("t"), "t")
        assert rig.metric("task_outbox_depth") == 0


async def test_events_of_a_change_are_stored_with_it_or_not_at_all(open_store: OpenStore) -> None:
    async with open_store() as store:
        rig = make_rig(store=store, now=SetClock(), kinds=[SPREAD])
        await work_through(rig)
        rows = await store.unpublished(99)
        assert [(row.topics[0], row.version) for row in rows] == expected(5)
        assert [row.part for row in rows[:3]] == [1, 0, 2]
        assert [row.final for row in rows] == [False] * 12 + [True] * 3
        assert [row.last for row in rows] == [False] * 14 + [True]
        assert {row.kind for row in rows} == {"remote"}
        assert rig.metric("task_outbox_depth") == await store.outbox_depth() == 15


async def test_after_a_crash_between_the_log_and_the_store_no_event_is_repeated(
    open_store: OpenStore,
) -> None:
    log = FailingLog()
    log.fail_after = 1  # the log takes the events, and the process ends before it learns of that
    async with open_store() as store:
        rig = make_rig(store=store, log=log, now=SetClock(), kinds=[SPREAD])
        await work_through(rig)
        async with publishing(rig):
            await rig.until("t", lambda event: event.type == "complete")
        assert await store.outbox_depth() == 15
    before = await rig.published_on(*TOPICS)
    async with open_store() as store:
        rig = make_rig(store=store, log=log, now=SetClock(), kinds=[SPREAD])
        async with publishing(rig):
            await work_through(rig, "u")
            await rig.until("u", lambda event: event.type == "complete")
            await rig.drained_in_real_time()
    after = await rig.published_on(*TOPICS, "tasks/u", "audit:u")
    assert [event.id for event in after[:15]] == [event.id for event in before]
    assert summarize(after) == expected(5) + expected(5, "u")


async def test_the_next_process_publishes_the_remaining_events(open_store: OpenStore) -> None:
    async with open_store() as store:
        await work_through(make_rig(store=store, now=SetClock(), kinds=[SPREAD]))
    async with open_store() as store:
        rig = make_rig(store=store, now=SetClock())  # also when the kind is not known any more
        async with publishing(rig):
            await rig.until("t", lambda event: event.type == "complete")
            await rig.drained_in_real_time()
        assert summarize(await rig.published_on(*TOPICS)) == expected(5)


@pytest.mark.parametrize("part_of_a_batch", [1, 3, 50])
async def test_failures_of_log_and_store_repeat_and_lose_nothing(
    autojump_clock: Clock, part_of_a_batch: int
) -> None:
    log, store = FailingLog(), ForgetfulStore()
    async with run_rig(log=log, store=store, kinds=[SPREAD]) as rig:
        for n in range(part_of_a_batch):
            log.fail_before, log.fail_after, store.fail_marks = n % 3, n % 2, (n + 1) % 2
            await work_through(rig, f"t{n}")
            await trio.sleep(0.03)
        await rig.drained()
        for n in range(part_of_a_batch):
            events = await rig.published_on(f"tasks/t{n}", f"audit:t{n}")
            assert summarize(events) == [row for row in expected(5, f"t{n}") if row[0] != "customer:7"]
        assert len(await rig.published_on("customer:7")) == 5 * part_of_a_batch
        assert rig.metric("task_outbox_depth") == 0


async def test_the_key_of_a_further_event_has_its_part(autojump_clock: Clock) -> None:
    async with run_rig(kinds=[SPREAD]) as rig:
        await rig.tasks.create("remote", id="t")
        await rig.drained()
        for key, topic in (("t:1", "tasks/t"), ("t:1:1", "audit:t"), ("t:1:2", "customer:7")):
            [event] = await rig.published_on(topic)
            draft = rig.draft(event, key)
            [receipt] = await rig.log.append([draft], publisher="tasks")
            assert (receipt.id, receipt.duplicate) == (event.id, True)


# --- kinds that present wrongly -----------------------------------------------------------------------


def _without_own(task: Task, message: Message) -> list[Publication]:
    return [Publication(("audit:all",), message)]


def _own_twice(task: Task, message: Message) -> list[Publication]:
    return [Publication((task.topic,), message), Publication((task.topic,), message)]


def _own_as_a_further_topic(task: Task, message: Message) -> list[Publication]:
    return [Publication((task.topic,), message), Publication(("audit:all", task.topic), message)]


def _own_second(task: Task, message: Message) -> list[Publication]:
    return [Publication(("audit:all", task.topic), message)]


def _without_topic(task: Task, message: Message) -> list[Publication]:
    return [Publication((task.topic,), message), Publication((), message)]


def _no_text(task: Task, message: Message) -> Any:
    return [Publication((task.topic,), message), Publication((7,), message)]  # type: ignore[arg-type]


def _no_json(task: Task, message: Message) -> list[Publication]:
    return [Publication((task.topic,), message), Publication(("audit:all",), Message("x", {"y": object()}))]


def _no_object(task: Task, message: Message) -> Any:
    return [Publication((task.topic,), Message("x", [1]))]  # type: ignore[arg-type]


def _raising(task: Task, message: Message) -> list[Publication]:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "present",
    [
        _without_own,
        _own_twice,
        _own_as_a_further_topic,
        _own_second,
        _without_topic,
        _no_text,
        _no_json,
        _no_object,
        _raising,
        lambda *_: None,
        lambda *_: [],
        lambda *_: [None],
    ],
)
async def test_a_kind_that_presents_wrongly_is_presented_by_the_standard(
    autojump_clock: Clock, present: Any
) -> None:
    async with run_rig(kinds=[Kind(name="remote", present=present)]) as rig:
        await work_through(rig)
        await rig.drained()
        check_history(await rig.published("t"), "t")
        assert await rig.published_on("audit:all") == []
        await rig.tasks.create("remote", id="unfinished")
        view = await rig.tasks.view("unfinished")
        assert view.message is not None
        assert (view.message.type, view.message.data["snapshot"]) == ("status", True)


EVENT_TYPES = {"complete": "progress", "status": "progress", "educational": "progress"}


@pytest.mark.parametrize("present", [_raising, lambda *_: [], lambda *_: None])
async def test_a_kind_that_presents_wrongly_keeps_its_event_types(
    autojump_clock: Clock, present: Any
) -> None:
    kind = Kind(name="remote", present=present, event_types=EVENT_TYPES)
    async with run_rig(kinds=[kind]) as rig:
        await work_through(rig)
        await rig.drained()
        assert {event.type for event in await rig.published("t")} == {"progress"}
        view = await rig.tasks.view("t")
        assert view.message is None, "the last message has the same type, and alone has the result"
        assert view.end is not None
        assert (view.end.type, view.end.data["result"]) == ("progress", {"n": 1})


async def test_the_snapshot_of_an_ended_task_may_be_left_out(autojump_clock: Clock) -> None:
    def present(task: Task, message: Message) -> list[Publication]:
        if message.cause is Cause.SNAPSHOT and task.status.ended:
            return []
        return [Publication((task.topic,), message)]

    async with run_rig(kinds=[Kind(name="remote", present=present)]) as rig:
        await work_through(rig)
        follower = await follow(rig, "t")
        assert [message.type for message in follower.messages] == ["complete"]
        assert follower.ended


@pytest.mark.parametrize(
    "further",
    [
        Publication(("customer:7",), Message("note", {"padding": "x" * 5000})),
        Publication(("customer:7",), Message("two\nlines", {})),
        Publication(("customer:7\n",), Message("note", {})),
        Publication(("x" * 2000,), Message("note", {})),
    ],
)
async def test_a_further_event_that_cannot_be_one_is_dropped_and_the_others_are_published(
    autojump_clock: Clock, further: Publication
) -> None:
    def present(task: Task, message: Message) -> list[Publication]:
        audit = Publication(("audit:all",), Message("audit", {"audited": task.version}))
        return [Publication((task.topic,), message), further, audit]

    limits = EventSettings(max_event_bytes=1000)
    async with run_rig(kinds=[Kind(name="remote", present=present)], limits=limits) as rig:
        await work_through(rig)
        await rig.drained()
        check_history(await rig.published("t"), "t")
        assert [event.value["audited"] for event in await rig.published_on("audit:all")] == [1, 2, 3, 4, 5]
        assert await rig.published_on("customer:7") == []
        assert rig.metric("task_messages_reduced_total") == 5
        assert rig.metric("task_outbox_depth") == 0


async def test_an_own_event_with_a_wrong_further_topic_keeps_its_own(autojump_clock: Clock) -> None:
    def present(task: Task, message: Message) -> list[Publication]:
        return [Publication((task.topic, "two\nlines"), message)]

    async with run_rig(kinds=[Kind(name="remote", present=present)]) as rig:
        await work_through(rig)
        await rig.drained()
        events = await rig.published("t")
        check_history(events, "t")
        assert {event.topics for event in events} == {("tasks/t",)}
