"""What every store of tasks has to do; one suite, run against each implementation."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from streamd.errors import InvalidField, InvalidTransition, NotFound, TaskExists, Unavailable
from streamd.events import EventId
from streamd.tasks import Message, Publication, Status, StepPlan, Task, operations
from streamd.tasks.model import Change
from streamd.tasks.operations import Operation
from streamd.tasks.store.port import Outgoing, PublishedRow, TaskStore
from tests.support.task_stores import (
    STORES,
    at,
    completing,
    everything,
    failing,
    follow_on,
    keep_task,
    making,
    publish_all,
    starting,
    updating,
    waiting,
)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaskStore]:
    async with STORES[request.param](tmp_path) as store:
        yield store


# --- tasks ----------------------------------------------------------------------------------------


async def test_a_created_task_is_read_unchanged(store: TaskStore) -> None:
    made = making(
        "t",
        owner="o",
        message="soon",
        steps=[StepPlan("a", 2.5), StepPlan("b")],
    )
    raw_input = '{"naïve":[1,2.5,null]}'.encode()
    await store.create([made], raw_input=raw_input, max_unfinished=1)
    assert await store.get("t") == made.task
    assert await store.input("t") == raw_input


async def test_each_change_is_stored_with_its_message_text_and_result(store: TaskStore) -> None:
    await store.create([making("t", steps=[StepPlan("a")])], max_unfinished=1)
    for operation in (
        starting(),
        updating(text="one ", progress=10, step="s", fields={"x": [1, {"y": None}]}),
        lambda task: [operations.start_step(task, at(2), "a", message="going")],
        updating(text="två", message="m"),
    ):
        changed = await store.change("t", operation)
        assert changed == await store.get("t")
    snapshot = await store.snapshot("t")
    assert (snapshot.task, snapshot.text, snapshot.end) == (changed, "one två", None)
    assert snapshot.task.details == {"x": [1, {"y": None}]}
    assert (changed.version, changed.text_bytes, changed.worker, changed.lease) == (5, 8, "w", "lease of w")
    assert changed.lease_until == at(31)
    assert await store.result("t") is None
    ended = await store.change("t", completing(result=b'[1, 2,  "as it was"]'))
    snapshot = await store.snapshot("t")
    assert await store.result("t") == b'[1, 2,  "as it was"]'
    assert snapshot.end is not None
    assert (snapshot.end.type, snapshot.end.data["result"]) == ("complete", {"n": 1})
    assert snapshot.task == ended == await store.get("t")
    assert (ended.status, ended.ended_at, ended.lease_until) == (Status.COMPLETED, at(3), None)


async def test_a_task_can_be_created_with_several_changes(store: TaskStore) -> None:
    made = making("t")
    await store.create([made, *starting()(made.task)], max_unfinished=1)
    task = await store.get("t")
    assert (task.status, task.version, task.lease) == (Status.RUNNING, 2, "lease of w")
    assert await waiting(store) == [("t", 1), ("t", 2)]


async def test_several_changes_of_one_operation_are_stored_together(store: TaskStore) -> None:
    await keep_task(store, "t")
    task = await store.change("t", follow_on(starting(), updating(text="x"), completing()))
    assert (task.version, task.status) == (4, Status.COMPLETED)
    assert await waiting(store) == [("t", version) for version in (1, 2, 3, 4)]


async def test_an_operation_without_a_change_changes_nothing(store: TaskStore) -> None:
    task = await keep_task(store, "t", starting())
    before = await everything(store)
    assert await store.change("t", lambda _: []) == task
    assert await everything(store) == before


def raises_a_surprise(task: Task) -> Any:
    raise ZeroDivisionError("what work may do")


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (completing(), InvalidTransition),
        (follow_on(starting(), updating(text="x", fields={"x": 1}), updating(progress=101)), InvalidField),
        (raises_a_surprise, ZeroDivisionError),
    ],
)
async def test_an_operation_that_raises_changes_nothing(
    store: TaskStore, operation: Any, error: type[Exception]
) -> None:
    await keep_task(store, "t")
    before = await everything(store)
    for perform in (store.change("t", operation), store.claim(["k"], operation)):
        with pytest.raises(error):
            await perform
    assert await everything(store) == before


async def test_a_missing_task_is_not_found(store: TaskStore) -> None:
    for ask in (store.get, store.input, store.snapshot, store.result):
        with pytest.raises(NotFound) as caught:
            await ask("nobody")
        assert caught.value.field == "id"
    with pytest.raises(NotFound):
        await store.change("nobody", lambda _: [])


async def test_an_id_is_used_once(store: TaskStore) -> None:
    await keep_task(store, "t", starting(), updating(text="mine"))
    before = await everything(store)
    with pytest.raises(TaskExists) as caught:
        await store.create([making("t", kind="other")], max_unfinished=9)
    assert caught.value.field == "id"
    assert await everything(store) == before


async def test_the_number_of_unfinished_tasks_of_a_kind_is_limited(store: TaskStore) -> None:
    for task_id in ("a", "b"):
        await store.create([making(task_id)], max_unfinished=2)
    await store.change("a", starting())
    with pytest.raises(Unavailable) as caught:
        await store.create([making("c")], max_unfinished=2)
    assert caught.value.retry_after_seconds
    with pytest.raises(NotFound):
        await store.get("c")
    await store.create([making("d", kind="other")], max_unfinished=1)
    await store.change("a", completing())
    await store.create([making("c")], max_unfinished=2)


async def test_a_claim_takes_the_oldest_pending_task_of_the_kinds(store: TaskStore) -> None:
    for task_id, kind in (("x", "other"), ("c", "k"), ("a", "j"), ("b", "k")):
        await keep_task(store, task_id, kind=kind, raw_input=b'"in"')
    assert await store.claim([], starting()) is None
    assert await store.claim(["nothing"], starting()) is None
    claimed = []
    while (claimed_task := await store.claim(["k", "j"], starting(worker="me"))) is not None:
        task = claimed_task.task
        assert (task.status, task.worker, claimed_task.raw_input) == (Status.RUNNING, "me", b'"in"')
        assert task == await store.get(task.id)
        claimed.append(task.id)
    assert claimed == ["c", "a", "b"]
    assert (await store.get("x")).status is Status.PENDING


async def test_concurrent_claims_never_get_the_same_task(store: TaskStore) -> None:
    for n in range(10):
        await keep_task(store, f"t{n}")
    claimed: list[str] = []

    async def claim() -> None:
        while (claimed_task := await store.claim(["k"], starting())) is not None:
            claimed.append(claimed_task.task.id)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(claim)
    assert sorted(claimed) == [f"t{n}" for n in range(10)]


async def test_concurrent_changes_of_a_task_are_serialized(store: TaskStore) -> None:
    await keep_task(store, "t", starting())
    async with trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(store.change, "t", updating(text=f"{n},", progress=n))
    task = await store.get("t")
    assert (task.version, task.progress) == (22, 19)
    assert await waiting(store) == [("t", version) for version in range(1, 23)]
    said = [row.message.data["text_delta"] for row in await store.unpublished(100) if row.version > 2]
    assert (await store.snapshot("t")).text == "".join(said)


async def test_tasks_are_found_by_their_fields_newest_first(store: TaskStore) -> None:
    await keep_task(store, "a", owner="o", raw_input=b'"big"')
    await keep_task(store, "b", starting(), kind="j", owner="o")
    await keep_task(store, "c", starting(), failing(), owner="p")

    async def ids(**wanted: Any) -> list[str]:
        return [task.id for task in await store.find(**wanted)]

    assert await ids() == ["c", "b", "a"]
    assert await ids(limit=2) == ["c", "b"]
    assert await ids(kind="k") == ["c", "a"]
    assert await ids(owner="o") == ["b", "a"]
    assert await ids(status=Status.FAILED) == ["c"]
    assert await ids(status=Status.RUNNING, kind="k") == []
    assert await ids(owner="") == []
    [found] = await store.find(status=Status.PENDING)
    assert found == await store.get("a")


async def test_tasks_are_counted_by_kind_and_status(store: TaskStore) -> None:
    await keep_task(store, "a")
    await keep_task(store, "b")
    await keep_task(store, "c", starting(), kind="j")
    assert dict(await store.counts()) == {("k", Status.PENDING): 2, ("j", Status.RUNNING): 1}


# --- leases and deadlines -------------------------------------------------------------------------


async def test_renewing_extends_running_leases_without_a_version(store: TaskStore) -> None:
    pending = await keep_task(store, "pending")
    ended = await keep_task(store, "ended", starting(), completing())
    running = await keep_task(store, "running", starting())
    await publish_all(store)
    await store.renew(["pending", "ended", "running", "nobody"], at(500))
    await store.renew([], at(900))
    assert await store.get("pending") == pending
    assert await store.get("ended") == ended
    assert await store.get("running") == attrs.evolve(running, lease_until=at(500))
    assert await store.outbox_depth() == 0


async def test_a_renewed_lease_outlives_the_next_change(store: TaskStore) -> None:
    await keep_task(store, "t", starting())
    await store.renew(["t"], at(500))
    assert (await store.change("t", updating())).lease_until == at(500)
    assert (await store.get("t")).lease_until == at(500)


async def test_overdue_tasks_have_lost_their_lease_or_passed_their_deadline(store: TaskStore) -> None:
    await keep_task(store, "waits", timeout_seconds=100)
    await keep_task(store, "runs", starting(1, lease_seconds=200), timeout_seconds=200)
    await keep_task(store, "silent", starting(1, lease_seconds=9), timeout_seconds=1000)
    await keep_task(store, "ended", starting(1, lease_seconds=1), failing(), timeout_seconds=1)

    async def ids(seconds: float) -> list[str]:
        return [task.id for task in await store.overdue(at(seconds))]

    assert await ids(9.999) == []
    assert await ids(10) == ["silent"]
    assert await ids(99.999) == ["silent"]
    assert await ids(100) == ["waits", "silent"]
    assert await ids(200) == ["waits", "runs", "silent"]
    await store.renew(["silent"], at(150))
    assert await ids(120) == ["waits"]


async def test_held_by_selects_running_tasks_by_the_prefix_of_their_worker(store: TaskStore) -> None:
    await keep_task(store, "a", starting(worker="local:1"))
    await keep_task(store, "b", starting(worker="elsewhere"))
    await keep_task(store, "c", starting(worker="LOCAL:1"))
    await keep_task(store, "d", starting(worker="local:2"), completing())
    await keep_task(store, "e")

    async def ids(prefix: str) -> list[str]:
        return [task.id for task in await store.held_by(prefix)]

    assert await ids("local:") == ["a"]
    assert await ids("") == ["a", "b", "c"]
    assert await ids("loc_l:") == await ids("%") == []


# --- the outbox -------------------------------------------------------------------------------------


async def test_the_outbox_has_every_row_in_the_order_of_creation(store: TaskStore) -> None:
    await keep_task(store, "a")
    await keep_task(store, "b", starting())
    await store.change("a", starting())
    await store.change("a", completing())
    assert await waiting(store) == [("a", 1), ("b", 1), ("b", 2), ("a", 2), ("a", 3)]
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
    await keep_task(store, "a", starting(), updating())
    await keep_task(store, "b")
    snapshot = await store.snapshot("a")
    assert (snapshot.published_version, snapshot.published_id) == (0, None)
    first, second = EventId("0000000000001-000000"), EventId("0000000000002-000000")
    await store.mark_published(
        [
            PublishedRow(task_id="a", version=1, id=first),
            PublishedRow(task_id="a", version=2, id=second),
        ]
    )
    assert await waiting(store) == [("a", 3), ("b", 1)]
    assert await store.outbox_depth() == 2
    snapshot = await store.snapshot("a")
    assert (snapshot.published_version, snapshot.published_id) == (2, second)
    await store.mark_published([])
    assert await store.outbox_depth() == 2


async def test_marking_rows_twice_has_no_effect(store: TaskStore) -> None:
    await keep_task(store, "a", starting())
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


def marked(row: Outgoing, id: EventId | None, *, keep: bool = False) -> PublishedRow:
    return PublishedRow(task_id=row.task_id, version=row.version, part=row.part, id=id, keep=keep)


async def test_rows_of_one_change_come_back_in_order_with_topics_and_parts(store: TaskStore) -> None:
    await keep_task(store, "t", spreading(starting()), spreading(completing()))
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
    await keep_task(store, "t", spreading(starting()))
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
        await keep_task(store, task_id, starting(), completing())
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


async def test_a_renewed_lease_is_a_change_without_a_version_or_a_row(store: TaskStore) -> None:
    before = await keep_task(store, "t", starting())
    renewed = await store.change("t", lambda task: [operations.renew_lease(task, at(500))])
    assert renewed == attrs.evolve(before, lease_until=at(500)) == await store.get("t")
    assert await waiting(store) == [("t", 1), ("t", 2)]
    assert [task.id for task in await store.overdue(at(55))] == []


async def test_a_task_is_read_without_its_input(store: TaskStore) -> None:
    secret = b'"only for the work"'
    await keep_task(store, "t", raw_input=secret)
    reads: list[object] = [
        await store.get("t"),
        await store.find(),
        await store.snapshot("t"),
        await store.change("t", starting()),
        await store.held_by(""),
        await store.overdue(at(10_000)),
        await store.unpublished(99),
    ]
    assert not any("only for the work" in str(read) for read in reads)
    assert await store.input("t") == secret
