"""The contract of the task store: one suite, run against each implementation."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from streamd.errors import InvalidField, InvalidTransition, NotFound, TaskExists, Unavailable
from streamd.tasks import Status, StepPlan, Task, operations
from streamd.tasks.store.port import TaskStore
from tests.support.clocks import at
from tests.support.task_stores import (
    STORES,
    completing,
    contents_of,
    creating,
    failing,
    follow_on,
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


# --- tasks ----------------------------------------------------------------------------------------


async def test_a_created_task_is_read_unchanged(store: TaskStore) -> None:
    made = creating(
        "t",
        owner="o",
        message="soon",
        steps=[StepPlan("a", 2.5), StepPlan("b")],
    )
    raw_input = '{"naïve":[1,2.5,null]}'.encode()
    await store.create([made], raw_input=raw_input, max_unfinished=1, max_tasks=1000)
    assert await store.get("t") == made.task
    assert await store.input("t") == raw_input


async def test_each_change_is_stored_with_its_message_text_and_result(store: TaskStore) -> None:
    await store.create([creating("t", steps=[StepPlan("a")])], max_unfinished=1, max_tasks=1000)
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
    made = creating("t")
    await store.create([made, *starting()(made.task)], max_unfinished=1, max_tasks=1000)
    task = await store.get("t")
    assert (task.status, task.version, task.lease) == (Status.RUNNING, 2, "lease of w")
    assert await waiting_versions(store) == [("t", 1), ("t", 2)]


async def test_several_changes_of_one_operation_are_stored_together(store: TaskStore) -> None:
    await store_task(store, "t")
    task = await store.change("t", follow_on(starting(), updating(text="x"), completing()))
    assert (task.version, task.status) == (4, Status.COMPLETED)
    assert await waiting_versions(store) == [("t", version) for version in (1, 2, 3, 4)]


async def test_an_operation_without_a_change_changes_nothing(store: TaskStore) -> None:
    task = await store_task(store, "t", starting())
    before = await contents_of(store)
    assert await store.change("t", lambda _: []) == task
    assert await contents_of(store) == before


def raises_a_surprise(task: Task) -> Any:
    raise ZeroDivisionError("by surprise")


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
    await store_task(store, "t")
    before = await contents_of(store)
    for perform in (store.change("t", operation), store.claim(["k"], operation)):
        with pytest.raises(error):
            await perform
    assert await contents_of(store) == before


async def test_a_missing_task_is_not_found(store: TaskStore) -> None:
    for ask in (store.get, store.input, store.snapshot, store.result):
        with pytest.raises(NotFound) as caught:
            await ask("nobody")
        assert caught.value.field == "id"
    with pytest.raises(NotFound):
        await store.change("nobody", lambda _: [])


async def test_an_id_is_used_once(store: TaskStore) -> None:
    await store_task(store, "t", starting(), updating(text="mine"))
    before = await contents_of(store)
    with pytest.raises(TaskExists) as caught:
        await store.create([creating("t", kind="other")], max_unfinished=9, max_tasks=1000)
    assert caught.value.field == "id"
    assert await contents_of(store) == before


async def test_the_number_of_unfinished_tasks_of_a_kind_is_limited(store: TaskStore) -> None:
    for task_id in ("a", "b"):
        await store.create([creating(task_id)], max_unfinished=2, max_tasks=1000)
    await store.change("a", starting())
    with pytest.raises(Unavailable) as caught:
        await store.create([creating("c")], max_unfinished=2, max_tasks=1000)
    assert caught.value.retry_after_seconds
    with pytest.raises(NotFound):
        await store.get("c")
    await store.create([creating("d", kind="other")], max_unfinished=1, max_tasks=1000)
    await store.change("a", completing())
    await store.create([creating("c")], max_unfinished=2, max_tasks=1000)


async def test_a_claim_takes_the_oldest_pending_task_of_the_kinds(store: TaskStore) -> None:
    for task_id, kind in (("x", "other"), ("c", "k"), ("a", "j"), ("b", "k")):
        await store_task(store, task_id, kind=kind, raw_input=b'"in"')
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
        await store_task(store, f"t{n}")
    claimed: list[str] = []

    async def claim() -> None:
        while (claimed_task := await store.claim(["k"], starting())) is not None:
            claimed.append(claimed_task.task.id)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(claim)
    assert sorted(claimed) == [f"t{n}" for n in range(10)]


async def test_concurrent_changes_of_a_task_are_serialized(store: TaskStore) -> None:
    await store_task(store, "t", starting())
    async with trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(store.change, "t", updating(text=f"{n},", progress=n))
    task = await store.get("t")
    assert (task.version, task.progress) == (22, 19)
    assert await waiting_versions(store) == [("t", version) for version in range(1, 23)]
    said = [row.message.data["text_delta"] for row in await store.unpublished(100) if row.version > 2]
    assert (await store.snapshot("t")).text == "".join(said)


async def test_tasks_are_found_by_their_fields_newest_first(store: TaskStore) -> None:
    await store_task(store, "a", owner="o", raw_input=b'"big"')
    await store_task(store, "b", starting(), kind="j", owner="o")
    await store_task(store, "c", starting(), failing(), owner="p")

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
    await store_task(store, "a")
    await store_task(store, "b")
    await store_task(store, "c", starting(), kind="j")
    assert dict(await store.counts()) == {("k", Status.PENDING): 2, ("j", Status.RUNNING): 1}


# --- leases and deadlines -------------------------------------------------------------------------


async def test_renewing_extends_running_leases_without_a_version(store: TaskStore) -> None:
    pending = await store_task(store, "pending")
    ended = await store_task(store, "ended", starting(), completing())
    running = await store_task(store, "running", starting())
    await publish_all(store)
    await store.renew(["pending", "ended", "running", "nobody"], at(500))
    await store.renew([], at(900))
    assert await store.get("pending") == pending
    assert await store.get("ended") == ended
    assert await store.get("running") == attrs.evolve(running, lease_until=at(500))
    assert await store.outbox_depth() == 0


async def test_a_renewed_lease_outlives_the_next_change(store: TaskStore) -> None:
    await store_task(store, "t", starting())
    await store.renew(["t"], at(500))
    assert (await store.change("t", updating())).lease_until == at(500)
    assert (await store.get("t")).lease_until == at(500)


async def test_a_renewed_lease_is_a_change_without_a_version_or_a_row(store: TaskStore) -> None:
    before = await store_task(store, "t", starting())
    renewed = await store.change("t", lambda task: [operations.renew_lease(task, at(500))])
    assert renewed == attrs.evolve(before, lease_until=at(500)) == await store.get("t")
    assert await waiting_versions(store) == [("t", 1), ("t", 2)]
    assert [task.id for task in await store.overdue(at(55))] == []


async def test_overdue_tasks_have_lost_their_lease_or_passed_their_deadline(store: TaskStore) -> None:
    await store_task(store, "waits", timeout_seconds=100)
    await store_task(store, "runs", starting(1, lease_seconds=200), timeout_seconds=200)
    await store_task(store, "silent", starting(1, lease_seconds=9), timeout_seconds=1000)
    await store_task(store, "ended", starting(1, lease_seconds=1), failing(), timeout_seconds=1)

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
    await store_task(store, "a", starting(worker="local:1"))
    await store_task(store, "b", starting(worker="elsewhere"))
    await store_task(store, "c", starting(worker="LOCAL:1"))
    await store_task(store, "d", starting(worker="local:2"), completing())
    await store_task(store, "e")

    async def ids(prefix: str) -> list[str]:
        return [task.id for task in await store.held_by(prefix)]

    assert await ids("local:") == ["a"]
    assert await ids("") == ["a", "b", "c"]
    assert await ids("loc_l:") == await ids("%") == []


# --- inputs ---


async def test_a_task_is_read_without_its_input(store: TaskStore) -> None:
    secret = b'"only for the work"'
    await store_task(store, "t", raw_input=secret)
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
