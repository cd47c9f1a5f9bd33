"""Creating, finding, claiming and ending tasks: rejected values, limits and counters."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from streamd.errors import (
    Gone,
    InvalidField,
    InvalidTransition,
    NotFound,
    ShuttingDown,
    TaskExists,
    TooLarge,
    Unavailable,
)
from streamd.tasks import Kind, Progress, Status, StepPlan, Tasks, operations
from streamd.tasks.settings import TaskSettings
from tests.support.local_work import CountingStore
from tests.support.task_rig import Rig, SetClock, check_rejected, make_rig, names, run_rig

Clock = trio.testing.MockClock


async def hang(progress: Progress) -> None:
    await trio.sleep_forever()


def make_tasks(**settings: Any) -> Tasks:
    return make_rig(now=SetClock(), kinds=[Kind(name="local", work=hang)], **settings).tasks


# --- making -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("id", {"id": ""}),
        ("id", {"id": "a/b"}),
        ("id", {"id": "-a"}),
        ("id", {"id": "é"}),
        ("id", {"id": "a\n"}),
        ("id", {"id": "x" * 129}),
        ("kind", {"kind": ""}),
        ("kind", {"kind": "a b"}),
        ("kind", {"kind": "x" * 65}),
        ("owner", {"owner": "x" * 257}),
        ("owner", {"owner": "a\nb"}),
        ("message", {"message": "x" * 2001}),
        ("input", {"input": object()}),
        ("timeout_seconds", {"timeout_seconds": 0}),
        ("timeout_seconds", {"timeout_seconds": -1}),
        ("timeout_seconds", {"timeout_seconds": float("nan")}),
        ("timeout_seconds", {"timeout_seconds": 86_401}),
        ("steps[1].name", {"steps": [StepPlan("a"), StepPlan("")]}),
        ("steps[1].name", {"steps": [StepPlan("a"), StepPlan("a")]}),
        ("steps[0].name", {"steps": [StepPlan("x" * 2001)]}),
        ("weight", {"steps": [StepPlan("a", 0)]}),
        ("worker", {"kind": "local", "worker": "me"}),
        ("lease_seconds", {"worker": "me", "lease_seconds": 0}),
        ("lease_seconds", {"worker": "me", "lease_seconds": 3601}),
    ],
)
async def test_invalid_values_of_a_new_task_are_rejected_by_name(field: str, values: dict[str, Any]) -> None:
    tasks = make_tasks()
    await check_rejected(InvalidField, field, lambda: tasks.create(**{"kind": "k", **values}))
    assert await tasks.list() == []
    assert await tasks.store.outbox_depth() == 0


async def test_values_that_are_too_large_are_rejected_by_name() -> None:
    tasks = make_tasks(max_input_bytes=10, max_steps=2)
    await check_rejected(TooLarge, "input", lambda: tasks.create("k", input="x" * 20))
    await check_rejected(TooLarge, "steps", lambda: tasks.create("k", steps=[StepPlan(n) for n in "abc"]))


@pytest.mark.parametrize(("kind", "most"), [("k", 10), ("large", 30), ("small", 5)])
async def test_the_size_of_an_input_is_limited_by_kind(kind: str, most: int) -> None:
    kinds = [Kind(name="large", max_input_bytes=30), Kind(name="small", max_input_bytes=5)]
    tasks = make_rig(now=SetClock(), kinds=kinds, max_input_bytes=10).tasks
    fits = "x" * (most - 2)  # with its quotes
    await check_rejected(TooLarge, "input", lambda: tasks.create(kind, input=fits + "x"))
    task = await tasks.create(kind, input=fits)
    assert await tasks.input(task.id) == fits


async def test_an_input_is_read_separately_from_its_task() -> None:
    tasks = make_tasks()
    task = await tasks.create("k", id="t", input={"naïve": [1, None]})
    assert "naïve" not in str(task) + str(await tasks.get("t")) + str(await tasks.list())
    assert await tasks.input("t") == await tasks.input("t", kind="k") == {"naïve": [1, None]}
    await check_rejected(
        NotFound, "id", lambda: tasks.input("nobody"), lambda: tasks.input("t", kind="other")
    )
    claimed = await tasks.claim(["k"], "me")
    assert claimed is not None
    assert claimed.raw_input == '{"naïve":[1,null]}'.encode()
    assert await tasks.input((await tasks.create("k")).id) is None


async def test_an_id_is_generated_or_chosen_once() -> None:
    tasks = make_tasks()
    made = [await tasks.create("k") for _ in range(20)]
    assert len({task.id for task in made}) == 20
    task = await tasks.create("k", id="A.task_of-mine~1")
    assert (await tasks.get("A.task_of-mine~1")) == task
    await check_rejected(TaskExists, "id", lambda: tasks.create("other", id=task.id))


@pytest.mark.parametrize(("kind", "most"), [("k", 3), ("small", 2)])
async def test_the_number_of_unfinished_tasks_is_limited_by_kind(kind: str, most: int) -> None:
    rig = make_rig(now=SetClock(), kinds=[Kind(name="small", max_kept=2)], max_per_kind=3)
    made = [await rig.tasks.create(kind) for _ in range(most)]
    with pytest.raises(Unavailable) as caught:
        await rig.tasks.create(kind)
    assert caught.value.retry_after_seconds
    await rig.tasks.cancel(made[0].id)
    await rig.tasks.create(kind)


async def test_a_task_can_be_created_with_its_worker() -> None:
    tasks = make_tasks()
    task = await tasks.create("k", worker="me", lease_seconds=12)
    assert (task.status, task.worker, task.version, bool(task.lease)) == (Status.RUNNING, "me", 2, True)
    assert task.lease_until is not None
    assert task.started_at is not None
    assert (task.lease_until - task.started_at).total_seconds() == 12
    assert (await tasks.create("k", worker="me")).lease != task.lease


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "é"])
def test_a_kind_has_a_valid_and_unique_name(name: str) -> None:
    tasks = make_tasks()
    with pytest.raises(InvalidField) as refused:
        tasks.register(Kind(name=name))
    assert refused.value.field == "kind"
    with pytest.raises(ValueError, match="already"):
        tasks.register(Kind(name="local"))


# --- finding and ending -------------------------------------------------------------------------------


async def test_a_task_of_another_kind_is_not_found() -> None:
    tasks = make_tasks()
    await tasks.create("k", id="t")
    assert (await tasks.get("t", kind="k")).id == "t"
    for ask in (tasks.get, tasks.result):
        await check_rejected(NotFound, "id", partial(ask, "t", kind="other"))
    await check_rejected(NotFound, "id", lambda: tasks.get("nobody"), lambda: tasks.cancel("nobody"))


async def test_tasks_are_listed_newest_first() -> None:
    tasks = make_tasks()
    for task_id, kind, owner in (("a", "k", "o"), ("b", "j", "o"), ("c", "k", "p")):
        await tasks.create(kind, id=task_id, owner=owner)
    await tasks.cancel("a")
    assert names(await tasks.list()) == ["c", "b", "a"]
    assert names(await tasks.list(limit=1)) == ["c"]
    assert names(await tasks.list(kind="k", status=Status.PENDING)) == ["c"]
    assert names(await tasks.list(owner="o")) == ["b", "a"]


async def test_a_task_ends_once() -> None:
    tasks = make_tasks()
    await tasks.create("k", id="t", worker="me")
    await tasks.complete("t", 1)
    again: list[Callable[[], Any]] = [
        lambda: tasks.complete("t", 2),
        lambda: tasks.fail("t", "no"),
        lambda: tasks.cancel("t"),
    ]
    await check_rejected(InvalidTransition, "status", *again)
    assert await tasks.result("t") == 1
    await check_rejected(InvalidField, "result", lambda: tasks.complete("t", object()))


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
async def test_an_end_is_one_call_of_the_store(end: str) -> None:
    store = CountingStore()
    tasks = make_rig(store=store, now=SetClock()).tasks
    await tasks.create("k", id="t", worker="me")
    store.calls.clear()
    ends: dict[str, Callable[[], Any]] = {
        "complete": lambda: tasks.complete("t", {"n": 1}),
        "fail": lambda: tasks.fail("t", "so it is"),
        "cancel": lambda: tasks.cancel("t"),
    }
    await ends[end]()
    assert store.calls == ["change"]


async def test_text_details_and_steps_of_a_task_are_limited() -> None:
    tasks = make_tasks(max_text_bytes=10, max_details_bytes=50, max_steps=1)
    task = await tasks.create("k", id="t", worker="me", steps=[StepPlan("a")])

    async def update(**values: Any) -> None:
        await tasks.perform("t", lambda task: [operations.update(task, tasks.now(), **values)])

    await update(text="x" * 9)
    await check_rejected(TooLarge, "text", lambda: update(text="éé"))
    await update(fields={"a": "x" * 30})
    await check_rejected(TooLarge, "fields", lambda: update(fields={"b": "x" * 30}))
    await check_rejected(
        TooLarge,
        "step",
        lambda: tasks.perform("t", lambda task: [operations.start_step(task, tasks.now(), "b")]),
    )
    assert (await tasks.get("t")).version == task.version + 2
    assert await tasks.text("t") == "x" * 9


# --- claims ---------------------------------------------------------------------------------------------


async def test_a_claim_waits_for_a_task_up_to_its_timeout(autojump_clock: Clock) -> None:
    tasks = make_tasks()
    assert await tasks.claim(["k"], "me") is None
    assert await tasks.claim(["k"], "me", wait_seconds=20) is None
    assert trio.current_time() == pytest.approx(20)
    claimed: dict[str, str] = {}

    async def claim(worker: str, kind: str) -> None:
        got = await tasks.claim([kind], worker, wait_seconds=100)
        assert got is not None
        claimed[worker] = got.task.id

    async with trio.open_nursery() as nursery:
        for worker, kind in (("a", "k"), ("b", "j"), ("c", "k")):
            nursery.start_soon(claim, worker, kind)
        for task_id, kind in (("j1", "j"), ("k1", "k"), ("k2", "k")):
            await trio.sleep(5)
            await tasks.create(kind, id=task_id)
    assert claimed.pop("b") == "j1"
    assert sorted(claimed.values()) == ["k1", "k2"]


async def test_closing_claims_rejects_those_that_wait_and_those_that_come(autojump_clock: Clock) -> None:
    tasks = make_tasks()
    rejected: list[ShuttingDown] = []

    async def claim() -> None:
        with pytest.raises(ShuttingDown) as caught:
            await tasks.claim(["k"], "w", wait_seconds=100)
        rejected.append(caught.value)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(claim)
        await trio.testing.wait_all_tasks_blocked()
        tasks.close_claims(retry_after_seconds=7)
    await tasks.create("k", id="t")
    await claim()
    assert trio.current_time() == 0
    assert [error.retry_after_seconds for error in rejected] == [7] * 4
    assert (await tasks.get("t")).status is Status.PENDING


async def test_a_claim_rejects_local_kinds_and_invalid_leases() -> None:
    tasks = make_tasks()
    for with_tasks in (False, True):
        await check_rejected(InvalidField, "kinds", lambda: tasks.claim(["k", "local"], "me"))
        for seconds in (0, -1, 3601, float("nan")):
            await check_rejected(
                InvalidField,
                "lease_seconds",
                partial(tasks.claim, ["k"], "me", lease_seconds=seconds),
            )
        if not with_tasks:
            await tasks.create("local")
            await tasks.create("k")
    assert {task.status for task in await tasks.list()} == {Status.PENDING}


async def test_a_cancelled_claim_claims_nothing(autojump_clock: Clock) -> None:
    tasks = make_tasks()
    with trio.move_on_after(5):
        await tasks.claim(["k"], "me", wait_seconds=100)
    await tasks.create("k", id="t")
    assert (await tasks.get("t")).status is Status.PENDING


# --- counting -----------------------------------------------------------------------------------------


async def test_tasks_are_counted_by_kind_and_status(autojump_clock: Clock) -> None:
    async with run_rig(kinds=[Kind(name="local", work=hang)]) as rig:
        for _ in range(2):
            await rig.tasks.create("local")
        [task] = [await rig.tasks.create("k", worker="me")]
        await trio.testing.wait_all_tasks_blocked()
        await rig.tasks.complete(task.id, 1)
        assert rig.metrics.counts == await counted(rig)
        registry = rig.hub.metrics.registry
        value = registry.get_sample_value("streamd_tasks", {"kind": "local", "status": "running"})
        assert value == 2


async def counted(rig: Rig) -> dict[tuple[str, Status], int]:
    """Count the store's tasks, including the zeros that the counter remembers."""
    return dict.fromkeys(rig.metrics.counts, 0) | dict(await rig.store.counts())


async def test_a_deleted_task_is_gone_until_its_tombstone_expires(autojump_clock: Clock) -> None:
    async with run_rig(keep_seconds=10.0, tombstone_seconds=100.0) as rig:
        await rig.tasks.create("k", id="t")
        await rig.tasks.cancel("t")
        await trio.sleep(20)
        await check_rejected(Gone, "id", lambda: rig.tasks.get("t"), lambda: rig.tasks.cancel("t"))
        await trio.sleep(100)
        await check_rejected(NotFound, "id", lambda: rig.tasks.get("t"))


def test_the_defaults_of_retention() -> None:
    settings = TaskSettings()
    assert (settings.keep_seconds, settings.max_per_kind) == (24 * 3600, 1000)


async def test_null_is_a_result() -> None:
    async with run_rig() as rig:
        task = await rig.tasks.create("remote", worker="w")
        await rig.tasks.complete(task.id, None)
        assert await rig.tasks.result(task.id) is None
        end = (await rig.tasks.view(task.id)).end
        assert end is not None
        assert end.data["result"] is None
