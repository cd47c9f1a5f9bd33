"""The contract of the task store: its outbox, and tasks that are ending."""

from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest

from streamd.events import EventId
from streamd.tasks import Message, Publication, Task
from streamd.tasks.model import Change, Operation
from streamd.tasks.store.port import Outgoing, PublishedMessage, TaskStore
from tests.support.task_stores import (
    STORES,
    completing,
    publish_all,
    starting,
    store_task,
    updating,
    waiting_versions,
)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaskStore]:
    async with STORES[request.param](tmp_path) as store:
        yield store


async def test_the_outbox_has_every_row_in_the_order_of_creation(store: TaskStore) -> None:
    await store_task(store, "a")
    await store_task(store, "b", starting())
    await store.change("a", starting())
    await store.change("a", completing())
    assert await waiting_versions(store) == [("a", 1), ("b", 1), ("b", 2), ("a", 2), ("a", 3)]
    assert [(row.task_id, row.version) for row in await store.unpublished(2)] == [("a", 1), ("b", 1)]
    assert await store.outbox_depth() == 5
    rows = await store.unpublished(10)
    assert [row.last for row in rows] == [False, False, False, False, True]
    assert [row.message.type for row in rows] == ["status", "status", "status", "status", "complete"]
    assert rows[-1].message == (await store.snapshot("a")).end
    assert all(row.message.data["version"] == row.version for row in rows)


async def test_published_rows_leave_the_outbox_and_their_position_is_kept(
    store: TaskStore,
) -> None:
    await store_task(store, "a", starting(), updating())
    await store_task(store, "b")
    snapshot = await store.snapshot("a")
    assert (snapshot.published_version, snapshot.published_id) == (0, None)
    first, second = EventId("0000000000001-000000"), EventId("0000000000002-000000")
    await store.mark_published(
        [
            PublishedMessage(task_id="a", version=1, id=first),
            PublishedMessage(task_id="a", version=2, id=second),
        ]
    )
    assert await waiting_versions(store) == [("a", 3), ("b", 1)]
    assert await store.outbox_depth() == 2
    snapshot = await store.snapshot("a")
    assert (snapshot.published_version, snapshot.published_id) == (2, second)
    await store.mark_published([])
    assert await store.outbox_depth() == 2


async def test_marking_rows_twice_has_no_effect(store: TaskStore) -> None:
    await store_task(store, "a", starting())
    published = await publish_all(store)
    await store.mark_published(published)
    snapshot = await store.snapshot("a")
    assert (snapshot.published_version, snapshot.published_id) == (2, published[-1].id)
    assert await store.outbox_depth() == 0


# --- several rows of one change, and tasks that are ending ------------------------------------------


def spreading(operation: Operation) -> Operation:
    """Add an event on another topic before the task's own, and one after it."""

    def perform(task: Task) -> list[Change]:
        changes = operation(task)
        return [attrs.evolve(change, publications=spread(change)) for change in changes]

    return perform


def spread(change: Change) -> tuple[Publication, ...]:
    own = change.publications
    return (
        Publication(("audit:all", "audit:x"), Message("audit", {"n": 1})),
        *own,
        Publication(("customer:7",), Message("note", {"é": [None]})),
    )


def marked(row: Outgoing, id: EventId | None, *, keep: bool = False) -> PublishedMessage:
    return PublishedMessage(task_id=row.task_id, version=row.version, part=row.part, id=id, keep=keep)


async def test_rows_of_one_change_come_back_in_order_with_topics_and_parts(store: TaskStore) -> None:
    await store_task(store, "t", spreading(starting()), spreading(completing()))
    rows = (await store.unpublished(99))[1:]
    assert [(row.version, row.part, row.topics, row.message.type) for row in rows] == [
        (2, 1, ("audit:all", "audit:x"), "audit"),
        (2, 0, ("tasks/t",), "status"),
        (2, 2, ("customer:7",), "note"),
        (3, 1, ("audit:all", "audit:x"), "audit"),
        (3, 0, ("tasks/t",), "complete"),
        (3, 2, ("customer:7",), "note"),
    ]
    assert [(row.is_own, row.final, row.last, row.kind) for row in rows] == [
        (False, False, False, "k"),
        (True, False, False, "k"),
        (False, False, False, "k"),
        (False, True, False, "k"),
        (True, True, False, "k"),
        (False, True, True, "k"),
    ]
    assert rows[2].message.data == {"é": [None]}
    end = (await store.snapshot("t")).end
    assert end is not None
    assert (end.type, end.data["version"]) == ("complete", 3)
    assert await store.outbox_depth() == 7


async def test_only_the_tasks_own_events_move_its_published_version(store: TaskStore) -> None:
    await store_task(store, "t", spreading(starting()))
    ids = [EventId(f"{n:013d}-000000") for n in range(1, 5)]
    created, audit, own, note = await store.unpublished(99)
    await store.mark_published([marked(created, ids[0]), marked(audit, ids[1])])
    snapshot = await store.snapshot("t")
    assert (snapshot.published_version, snapshot.published_id) == (1, ids[0])
    await store.mark_published([marked(own, ids[2]), marked(note, None)])
    snapshot = await store.snapshot("t")
    assert (snapshot.published_version, snapshot.published_id) == (2, ids[2])
    assert await store.outbox_depth() == 0


async def test_a_row_that_is_kept_is_published_and_leaves_with_the_end(store: TaskStore) -> None:
    for task_id in ("a", "b"):
        await store_task(store, task_id, starting(), completing())
    position = EventId("0000000000009-000000")
    rows = await store.unpublished(99)
    assert await store.ending() == []
    await store.mark_published([marked(row, position, keep=row.last) for row in rows])
    assert await store.unpublished(99) == []
    assert await store.ending() == ["a", "b"]
    assert await store.outbox_depth() == 2
    assert (await store.snapshot("a")).published_id == position
    await store.mark_ended("a")
    await store.mark_ended("a")
    await store.mark_ended("nobody")
    assert await store.ending() == ["b"]
    assert await store.outbox_depth() == 1
