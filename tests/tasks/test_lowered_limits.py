"""Tasks beyond a lowered limit end; tasks that cannot be changed delay neither others nor the start."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing

from streamd.errors import StreamdError, TooLarge, Unavailable, Unreadable
from streamd.tasks import StepPlan, Task, operations
from streamd.tasks.model import Operation
from streamd.tasks.store.memory import MemoryTaskStore
from streamd.tasks.store.port import TaskStore
from tests.support.local_work import failure_of
from tests.support.task_rig import Rig, make_rig, running
from tests.support.task_stores import STORES

Clock = trio.testing.MockClock

WIDE: dict[str, Any] = {"max_text_bytes": 100, "max_details_bytes": 100, "max_steps": 3}
NARROW: dict[str, Any] = {"max_text_bytes": 10, "max_details_bytes": 10, "max_steps": 1}


@pytest.fixture(params=["memory", "sqlite:memory", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaskStore]:
    async with STORES[request.param](tmp_path) as store:
        yield store


async def fill(rig: Rig, worker: str, **values: Any) -> Task:
    """Create a task that uses most of each wide limit."""
    steps = [StepPlan("a"), StepPlan("b"), StepPlan("c")]
    task = await rig.tasks.create("k", id="t", worker=worker, steps=steps, **values)
    await update(rig, text="x" * 50, fields={"a": "x" * 50})
    return task


async def update(rig: Rig, **values: Any) -> None:
    await rig.tasks.perform("t", lambda task: [operations.update(task, rig.tasks.now(), **values)])


async def test_a_task_beyond_a_lowered_limit_goes_on_without_growing(store: TaskStore) -> None:
    await fill(make_rig(store=store, **WIDE), "me")
    rig = make_rig(store=store, **NARROW)
    await update(rig, progress=50, message="half")
    await update(rig, fields={"a": "x" * 20})
    for field, grown in (("text", {"text": "y"}), ("fields", {"fields": {"b": 1}})):
        with pytest.raises(TooLarge) as caught:
            await update(rig, **grown)
        assert caught.value.field == field
    with pytest.raises(TooLarge):
        await rig.tasks.perform("t", lambda task: [operations.start_step(task, rig.tasks.now(), "d")])


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_a_task_beyond_a_lowered_limit_can_end(store: TaskStore, status: str) -> None:
    await fill(make_rig(store=store, **WIDE), "me")
    tasks = make_rig(store=store, **NARROW).tasks
    ends = {
        "completed": lambda: tasks.complete("t", 1),
        "failed": lambda: tasks.fail("t", "no"),
        "cancelled": lambda: tasks.cancel("t"),
    }
    assert (await ends[status]()).status == status


@pytest.mark.parametrize("worker", ["local:before", "me"])
async def test_a_task_beyond_a_lowered_limit_stops_neither_start_nor_sweep(
    autojump_clock: Clock, worker: str
) -> None:
    store = MemoryTaskStore()
    before = make_rig(store=store, **WIDE)
    await fill(before, worker, timeout_seconds=20)
    await before.tasks.create("k", id="next", worker=worker, timeout_seconds=20)
    rig = make_rig(store=store, log=before.log, **NARROW)
    async with running(rig):
        for task_id in ("t", "next"):
            failed = await rig.ended(task_id)
            assert failure_of(failed)[1] == ("stalled" if worker.startswith("local:") else "timeout")


class StubbornStore(MemoryTaskStore):
    """A store that fails all changes of the task ``bad``.

    Attributes:
        error: the error of these changes.
    """

    def __init__(self, error: StreamdError) -> None:
        super().__init__()
        self.error = error

    async def change(self, task_id: str, operation: Operation) -> Task:
        if task_id == "bad":
            raise self.error
        return await super().change(task_id, operation)


async def test_a_task_that_cannot_be_changed_delays_no_other_at_the_start(autojump_clock: Clock) -> None:
    store = StubbornStore(Unreadable("it is damaged"))
    before = make_rig(store=store)
    for task_id in ("bad", "good"):
        await before.tasks.create("k", id=task_id, worker="local:before")
    rig = make_rig(store=store, log=before.log)
    with structlog.testing.capture_logs() as lines:
        async with running(rig):
            assert failure_of(await rig.ended("good"))[1] == "stalled"
    [line] = [line for line in lines if line["event"] == "task_end_not_stored"]
    assert (line["task"], line["detail"]) == ("bad", "it is damaged")
    assert rig.metric("task_leases_stalled_total") == 1


async def test_a_start_without_a_store_fails() -> None:
    store = StubbornStore(Unavailable("the disk is full"))
    before = make_rig(store=store)
    await before.tasks.create("k", id="bad", worker="local:before")
    with pytest.raises(Unavailable):
        await make_rig(store=store).runner.recover()


async def test_a_task_that_cannot_be_changed_delays_no_other_in_a_sweep(autojump_clock: Clock) -> None:
    store = StubbornStore(Unreadable("it is damaged"))
    rig = make_rig(store=store, keep_seconds=10.0)
    async with running(rig):
        for task_id in ("bad", "good"):
            await rig.tasks.create("remote", id=task_id, timeout_seconds=5)
        assert failure_of(await rig.ended("good"))[1] == "timeout"
        await trio.sleep(20)
        assert [task.id for task in await rig.tasks.list()] == ["bad"]
        assert rig.metric("task_timeouts_total") == 1


async def test_expired_tasks_are_deleted_while_overdue_ones_cannot_be_ended(autojump_clock: Clock) -> None:
    rig = make_rig(store=StubbornStore(Unavailable("the disk is full")), keep_seconds=10.0)
    with structlog.testing.capture_logs():
        async with running(rig):
            await rig.tasks.create("remote", id="bad", timeout_seconds=5)
            await rig.tasks.create("remote", id="ended")
            await rig.tasks.cancel("ended")
            await trio.sleep(30)
            assert [task.id for task in await rig.tasks.list()] == ["bad"]
            assert rig.metric("task_timeouts_total") == 0
