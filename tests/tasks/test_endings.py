"""``Kind.ended``: called at least once after the end is in the log, retried, and delaying nobody else."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from streamd.errors import Gone, NotFound, Unavailable
from streamd.tasks import Kind, Progress, Status, Task
from streamd.tasks.store.memory import MemoryTaskStore
from streamd.tasks.store.port import Bounds, ExpiredTask, TaskStore
from tests.support.local_work import hang
from tests.support.task_rig import (
    FailingLog,
    ForgetfulStore,
    Rig,
    SetClock,
    make_rig,
    publishing,
    run_rig,
    running,
)
from tests.support.task_stores import open_sqlite

Clock = trio.testing.MockClock
BATCH_ROWS = 256


class Ledger:
    """A ``Kind.ended`` that records its calls, and fails for some tasks.

    Attributes:
        calls: the tasks it was called with.
        failing: ids for which it raises.
        hanging: ids for which it never returns.
        error: the exception that it raises.
    """

    def __init__(self) -> None:
        self.calls: list[Task] = []
        self.failing: set[str] = set()
        self.hanging: set[str] = set()
        self.error: Exception = Unavailable("the records are away")
        self.before: Callable[[Task], Awaitable[None]] | None = None
        self._called = trio.Event()

    async def __call__(self, task: Task) -> None:
        self.calls.append(task)
        self._called.set()
        self._called = trio.Event()
        if self.before is not None:
            await self.before(task)
        if task.id in self.hanging:
            await trio.sleep_forever()
        if task.id in self.failing:
            raise self.error

    async def called_for(self, task_id: str) -> None:
        """Wait until it is called for a task."""
        while task_id not in self.ids:
            await self._called.wait()

    @property
    def ids(self) -> list[str]:
        return [task.id for task in self.calls]


def counted(ledger: Ledger) -> Kind:
    return Kind(name="remote", ended=ledger)


async def end_one(rig: Rig, task_id: str = "t", how: str = "complete") -> None:
    task = await rig.tasks.create("remote", id=task_id, worker="w")
    match how:
        case "complete":
            await rig.tasks.complete(task_id, {"n": 1}, lease=task.lease)
        case "fail":
            await rig.tasks.fail(task_id, "so it is")
        case _:
            await rig.tasks.cancel(task_id)


@pytest.mark.parametrize(
    ("how", "status"),
    [("complete", Status.COMPLETED), ("fail", Status.FAILED), ("cancel", Status.CANCELLED)],
)
async def test_the_kind_is_called_once_with_the_ended_task(
    autojump_clock: Clock, how: str, status: Status
) -> None:
    ledger = Ledger()
    async with run_rig(kinds=[counted(ledger)]) as rig:
        await end_one(rig, how=how)
        await rig.drained()
        [task] = ledger.calls
        assert (task.status, task) == (status, await rig.tasks.get("t"))
        assert rig.metric("task_outbox_depth") == 0
        assert await rig.store.ending() == []


async def test_deadlines_and_restarts_are_ends_too(
    autojump_clock: Clock,
) -> None:
    ledger, store = Ledger(), MemoryTaskStore()
    kind = Kind(name="local", work=hang, ended=ledger)
    async with run_rig(store=store, kinds=[kind], sweep_seconds=1.0) as rig:
        await rig.tasks.create("local", id="late", timeout_seconds=5)
        await rig.ended("late")
        await rig.drained()
        await rig.tasks.create("local", id="cut-off")
        await trio.testing.wait_all_tasks_blocked()
    async with running(make_rig(store=store, log=rig.log, kinds=[kind])) as rig:
        await rig.ended("cut-off")
        await rig.drained()
    assert [(task.id, task.error and task.error.code) for task in ledger.calls] == [
        ("late", "timeout"),
        ("cut-off", "stalled"),
    ]


async def test_the_call_follows_the_log_and_precedes_the_removal_of_the_row(
    autojump_clock: Clock,
) -> None:
    ledger = Ledger()
    seen: list[tuple[str, int, list[str]]] = []

    async with run_rig(kinds=[counted(ledger)]) as rig:

        async def look(task: Task) -> None:
            last = (await rig.published(task.id))[-1]
            seen.append((last.type, await rig.store.outbox_depth(), await rig.store.ending()))

        ledger.before = look
        await end_one(rig)
        await rig.drained()
    assert seen == [("complete", 1, ["t"])]


@pytest.mark.parametrize("error", [Unavailable("the records are away"), OSError("by surprise")])
async def test_a_call_that_raises_is_repeated_until_it_succeeds(
    autojump_clock: Clock, error: Exception
) -> None:
    ledger = Ledger()
    ledger.failing, ledger.error = {"t"}, error
    async with run_rig(kinds=[counted(ledger)]) as rig:
        await end_one(rig)
        await trio.sleep(120)
        calls = len(ledger.calls)
        assert 5 <= calls <= 15  # exponential backoff
        assert await rig.store.outbox_depth() == rig.metric("task_outbox_depth") == 1
        assert rig.metric("task_ending_failures_total") == calls
        ledger.failing.clear()
        await rig.drained()
        assert len(ledger.calls) == calls + 1
        await trio.sleep(1000)
        assert len(ledger.calls) == calls + 1
        assert rig.metric("task_outbox_depth") == 0


async def test_a_stream_of_an_ending_task_has_its_position(autojump_clock: Clock) -> None:
    ledger = Ledger()
    ledger.failing = {"t"}
    store = MemoryTaskStore()
    async with run_rig(store=store, kinds=[counted(ledger)]) as rig:
        await end_one(rig)
        await trio.sleep(1)
    async with running(make_rig(store=store, log=rig.log, kinds=[counted(ledger)])) as rig:
        view = await rig.tasks.view("t")  # the position is in the store, although the row is kept
        assert view.end is not None
        assert view.position == (await rig.published("t"))[-1].id


@pytest.mark.parametrize("trouble", ["failing", "hanging"])
async def test_more_stuck_endings_than_a_batch_delay_no_other_task(
    autojump_clock: Clock, trouble: str
) -> None:
    ledger, others = Ledger(), Ledger()
    stuck = {f"stuck{n}" for n in range(BATCH_ROWS + 50)}
    setattr(ledger, trouble, stuck.copy())
    kinds = [counted(ledger), Kind(name="other", ended=others)]
    async with run_rig(kinds=kinds, max_per_kind=1000) as rig:
        for task_id in sorted(stuck):
            await end_one(rig, task_id)
        await trio.sleep(5)
        began = trio.current_time()
        await rig.tasks.create("other", id="o", worker="w")
        await rig.tasks.complete("o", 1)
        await rig.ended("o")
        await others.called_for("o")
        if trouble == "failing":
            await end_one(rig, "fine")
            await ledger.called_for("fine")
        assert trio.current_time() - began < 1
        assert await rig.store.outbox_depth() == len(stuck)
        getattr(ledger, trouble).clear()
        await rig.drained()
        assert stuck <= set(ledger.ids)
        assert rig.metric("task_outbox_depth") == 0


async def test_a_call_that_hangs_times_out_and_is_repeated(autojump_clock: Clock) -> None:
    ledger = Ledger()
    ledger.hanging = {"t"}
    async with run_rig(kinds=[counted(ledger)]) as rig:
        await end_one(rig)
        await trio.sleep(59)
        assert ledger.ids == ["t"]
        ledger.hanging.clear()
        await trio.sleep(2)
        assert ledger.ids == ["t", "t"]
        await rig.drained()


async def test_a_crash_during_the_call_repeats_it_and_publishes_nothing(tmp_path: Path) -> None:
    ledger, log = Ledger(), FailingLog()
    ledger.hanging = {"t"}
    path = str(tmp_path / "tasks.db")
    async with open_sqlite(path) as store:
        rig = make_rig(store=store, log=log, now=SetClock(), kinds=[counted(ledger)])
        await end_one(rig)
        async with publishing(rig):
            await ledger.called_for("t")
        assert await store.ending() == ["t"]
        assert await store.unpublished(99) == []
    ledger.hanging.clear()
    before = await rig.published("t")
    async with open_sqlite(path) as store:
        rig = make_rig(store=store, log=log, now=SetClock(), kinds=[counted(ledger)])
        async with publishing(rig):
            await rig.drained_in_real_time()
        assert ledger.ids == ["t", "t"]
        assert [event.id for event in await rig.published("t")] == [event.id for event in before]


async def test_a_crash_between_log_and_store_leads_to_the_call(tmp_path: Path) -> None:
    ledger, log = Ledger(), FailingLog()
    log.fail_after = 1
    path = str(tmp_path / "tasks.db")
    async with open_sqlite(path) as store:
        rig = make_rig(store=store, log=log, now=SetClock(), kinds=[counted(ledger)])
        await end_one(rig)
        async with publishing(rig):
            await rig.until("t", lambda event: event.type == "complete")
        assert ledger.calls == []
    async with open_sqlite(path) as store:
        rig = make_rig(store=store, log=log, now=SetClock(), kinds=[counted(ledger)])
        async with publishing(rig):
            await rig.drained_in_real_time()
        assert ledger.ids == ["t"]
        assert len(await rig.published("t")) == 3


async def test_a_failure_to_mark_rows_leads_to_one_call(autojump_clock: Clock) -> None:
    ledger, store = Ledger(), ForgetfulStore()
    async with run_rig(store=store, kinds=[counted(ledger)]) as rig:
        store.fail_marks = 3
        await end_one(rig)
        await rig.drained()
        assert ledger.ids == ["t"]


async def test_an_ending_of_a_removed_kind_is_dropped(autojump_clock: Clock) -> None:
    ledger, store = Ledger(), MemoryTaskStore()
    ledger.failing = {"t"}
    async with run_rig(store=store, kinds=[counted(ledger)]) as rig:
        await end_one(rig)
        await trio.sleep(1)
    async with running(make_rig(store=store, log=rig.log)) as rig:
        await rig.drained()
        assert rig.metric("task_outbox_depth") == 0


@pytest.mark.parametrize("kind_of_store", ["memory", "sqlite"])
async def test_a_task_is_kept_until_its_kind_has_acted_on_its_end(kind_of_store: str, tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.failing = {"t"}

    async def check(store: TaskStore) -> None:
        rig = make_rig(store=store, kinds=[counted(ledger)], now=SetClock())

        async def expire() -> list[ExpiredTask]:
            bounds = Bounds(keep_seconds=0, max_kept=0)
            return await store.expire(rig.tasks.now(), {}, bounds, tombstone_seconds=10, max_tombstones=10)

        await end_one(rig)
        async with publishing(rig):
            await ledger.called_for("t")
            assert await expire() == []
            assert (await store.get("t")).status is Status.COMPLETED
            ledger.failing.clear()
            await rig.drained_in_real_time()
        assert [task.id for task in await expire()] == ["t"]
        with pytest.raises((Gone, NotFound)):
            await store.get("t")

    if kind_of_store == "memory":
        await check(MemoryTaskStore())
    else:
        async with open_sqlite(str(tmp_path / "tasks.db")) as store:
            await check(store)


async def test_work_in_this_process_is_followed_by_the_call(autojump_clock: Clock) -> None:
    ledger = Ledger()

    async def work(progress: Progress) -> str:
        return "done"

    async with run_rig(kinds=[Kind(name="local", work=work, ended=ledger)]) as rig:
        for n in range(5):
            await rig.tasks.create("local", id=f"t{n}")
        await trio.sleep(1)
        await rig.drained()
    assert sorted(ledger.ids) == [f"t{n}" for n in range(5)]
