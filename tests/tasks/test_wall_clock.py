"""A wall clock that is set while tasks wait, run and are kept, and over a restart, on each store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from streamd.clock import SteadyClock
from streamd.errors import Gone
from streamd.tasks import Progress, Status, Task
from streamd.tasks.reports import Report
from streamd.tasks.store.memory import MemoryTaskStore
from tests.support.clocks import WallClock
from tests.support.local_work import failure_of, hang, local
from tests.support.task_rig import Rig, make_rig, names, run_rig
from tests.support.task_stores import open_sqlite, publish_all

Clock = trio.testing.MockClock
SECOND = timedelta(seconds=1)
DAY = 86_400
YEAR = 365 * DAY
STEPS = [120, DAY, 10 * YEAR, -1, -3600, -YEAR]


@attrs.define
class Host:
    """A machine with a wall clock and one store, on which streamd can be restarted."""

    clock: Clock
    path: Path | None  # None: the store in memory
    wall: WallClock = attrs.field(factory=WallClock)

    @asynccontextmanager
    async def running(self, **settings: Any) -> AsyncIterator[Rig]:
        """Open the store; nothing but the test itself looks after leases, deadlines and expiry."""
        clock = SteadyClock(self.wall)
        if self.path is None:
            yield make_rig(store=MemoryTaskStore(), clock=clock, **settings)
            return
        async with open_sqlite(str(self.path), clock) as store:
            yield make_rig(store=store, clock=clock, **settings)

    def pass_time(self, seconds: float) -> None:
        self.clock.jump(seconds)


@pytest.fixture(params=["memory", "sqlite"])
def host(request: pytest.FixtureRequest, tmp_path: Path, mock_clock: Clock) -> Host:
    return Host(mock_clock, None if request.param == "memory" else tmp_path / "tasks.db")


@pytest.fixture
def durable(tmp_path: Path, mock_clock: Clock) -> Host:
    return Host(mock_clock, tmp_path / "tasks.db")


async def sweep(rig: Rig) -> None:
    """Do what the runner does every second."""
    await rig.runner.end_overdue()
    await rig.runner.expire()


async def status_of(rig: Rig, *task_ids: str) -> list[Status]:
    return [(await rig.tasks.get(task_id)).status for task_id in task_ids]


async def times_of(rig: Rig, task_id: str) -> list[str]:
    """Return the timestamps of a task's messages, in publishing order."""
    return [
        row.message.data["timestamp"] for row in await rig.store.unpublished(1000) if row.task_id == task_id
    ]


def check_order(task: Task) -> None:
    """Check that the times of a task never run backwards."""
    times = [task.created_at, task.started_at, task.updated_at, task.ended_at]
    known = [moment for moment in times if moment is not None]
    assert known == sorted(known)


# --- one process ------------------------------------------------------------------------------------


async def test_every_answer_about_a_task_has_its_times_by_the_present_clock(host: Host) -> None:
    async with host.running() as rig:
        created = await rig.tasks.create("k", id="t", worker="w", idempotency_key="key")
        host.wall.step(DAY)
        task = await rig.tasks.get("t")
        assert abs(task.deadline - created.deadline - DAY * SECOND) < SECOND
        assert await rig.tasks.create("k", id="t", worker="w", idempotency_key="key") == task
        assert await rig.tasks.list() == [task]
        assert await rig.tasks.perform("t", lambda task: []) == task


@pytest.mark.parametrize("step", STEPS)
async def test_setting_the_clock_neither_shortens_nor_extends_a_lease_or_deadline(
    host: Host, step: float, mock_clock: Clock
) -> None:
    async with host.running(lease_seconds=30.0) as rig:
        await rig.tasks.create("k", id="waits", timeout_seconds=300)
        await rig.tasks.create("k", id="silent", timeout_seconds=1000, worker="w")
        task = await rig.tasks.create("k", id="reports", timeout_seconds=1000, worker="w")
        host.pass_time(20)
        host.wall.step(step)
        await rig.tasks.report("reports", Report(lease=task.lease, progress=5))
        host.pass_time(9)
        await sweep(rig)
        assert set(await status_of(rig, "waits")) == {Status.PENDING}
        assert set(await status_of(rig, "silent", "reports")) == {Status.RUNNING}
        host.pass_time(2)  # 31 s after the last report of one, and 11 s after that of the other
        await sweep(rig)
        assert failure_of(await rig.tasks.get("silent"))[:2] == (Status.FAILED, "stalled")
        assert await status_of(rig, "waits", "reports") == [Status.PENDING, Status.RUNNING]
        host.pass_time(20)
        await sweep(rig)
        assert await status_of(rig, "waits", "reports") == [Status.PENDING, Status.FAILED]
        host.pass_time(300 - 51 - 1)
        await sweep(rig)
        assert await status_of(rig, "waits") == [Status.PENDING]
        host.pass_time(2)
        await sweep(rig)
        status, code, detail = failure_of(await rig.tasks.get("waits"))
        assert (status, code) == (Status.FAILED, "timeout")
        assert " 300 s " in detail
        for task in await rig.tasks.list():
            check_order(task)
            stamps = await times_of(rig, task.id)
            assert stamps == sorted(stamps)


@pytest.mark.parametrize("step", STEPS)
async def test_a_renewed_lease_ends_when_it_was_to_whatever_the_clock_is_set_to(
    host: Host, step: float, mock_clock: Clock
) -> None:
    async with host.running(lease_seconds=30.0) as rig:
        await rig.tasks.create("k", id="t", worker="w", timeout_seconds=1000)
        host.wall.step(step)
        await rig.store.renew(["t"], rig.tasks.now() + (await rig.tasks.get("t")).deadline.resolution)
        task = await rig.tasks.create("k", id="u", worker="w", timeout_seconds=1000)
        host.wall.step(-step)
        host.pass_time(1)
        await rig.tasks.report("u", Report(lease=task.lease))  # a heartbeat, without a version
        await sweep(rig)
        assert await status_of(rig, "t", "u") == [Status.FAILED, Status.RUNNING]
        host.pass_time(31)
        await sweep(rig)
        assert await status_of(rig, "u") == [Status.FAILED]


@pytest.mark.parametrize("step", STEPS)
async def test_setting_the_clock_deletes_and_keeps_no_task(
    host: Host, step: float, mock_clock: Clock
) -> None:
    async with host.running(keep_seconds=100.0, tombstone_seconds=50.0) as rig:
        await rig.tasks.create("k", id="before", worker="w")
        await rig.tasks.complete("before", 1)
        await rig.tasks.create("k", id="across", worker="w")
        host.wall.step(step)
        await rig.tasks.complete("across", 1)
        await publish_all(rig.store)
        host.pass_time(99)
        await sweep(rig)
        assert names(await rig.tasks.list()) == ["across", "before"]
        host.wall.step(-step)
        await sweep(rig)
        assert names(await rig.tasks.list()) == ["across", "before"]
        host.pass_time(2)
        await sweep(rig)
        assert await rig.tasks.list() == []
        host.wall.step(step)
        host.pass_time(49)
        await sweep(rig)
        with pytest.raises(Gone):
            await rig.tasks.get("before")
        host.pass_time(2)
        await sweep(rig)
        assert (await rig.tasks.create("k", id="before")).status is Status.PENDING


async def test_the_times_of_a_task_never_run_backwards(host: Host, mock_clock: Clock) -> None:
    async with host.running() as rig:
        task = await rig.tasks.create("k", id="t", timeout_seconds=1000)
        for step in (-3600, 120, -DAY, 5):
            host.wall.step(step)
            host.pass_time(1)
            claimed = await rig.tasks.claim(["k"], "w", lease_seconds=500)
            task = claimed.task if claimed else task
            check_order(await rig.tasks.report("t", Report(lease=task.lease, text="x")))
        host.wall.step(-YEAR)
        check_order(await rig.tasks.complete("t", 1))
        stamps = await times_of(rig, "t")
        assert len(stamps) == 7
        assert stamps == sorted(stamps)
        ended = await rig.tasks.get("t")
        assert ended.ended_at is not None
        assert (ended.ended_at - ended.created_at).total_seconds() == pytest.approx(4)
        # A new task has the time of the wall clock, however much it was ahead before.
        assert (await rig.tasks.create("k")).created_at == pytest.approx(host.wall(), abs=SECOND)


@pytest.mark.parametrize("step", [120, DAY])
async def test_the_shown_deadline_and_lease_follow_a_clock_that_was_set_forward(
    host: Host, step: float, mock_clock: Clock
) -> None:
    async with host.running() as rig:
        await rig.tasks.create("k", id="t", worker="w", lease_seconds=40, timeout_seconds=300)
        await publish_all(rig.store)
        host.pass_time(10)
        host.wall.step(step)

        def left(until: datetime | None) -> float:
            assert until is not None
            return (until - host.wall()).total_seconds()

        [listed] = await rig.tasks.list()
        for task in (await rig.tasks.get("t"), listed, (await rig.tasks.view("t")).task):
            assert left(task.deadline) == pytest.approx(290, abs=0.1)
            assert left(task.lease_until) == pytest.approx(30, abs=0.1)
        host.pass_time(290)
        await sweep(rig)
        failed = await rig.tasks.get("t")
        assert failed.ended_at is not None
        assert failed.ended_at >= failed.deadline


@pytest.mark.parametrize("step", STEPS)
async def test_an_estimate_is_at_the_rate_of_steady_time(host: Host, step: float, mock_clock: Clock) -> None:
    async with host.running() as rig:
        task = await rig.tasks.create("k", id="t", worker="w", timeout_seconds=1000)
        host.pass_time(5)
        host.wall.step(step)
        host.pass_time(5)
        task = await rig.tasks.report("t", Report(lease=task.lease, progress=50))
        assert task.eta_seconds == pytest.approx(10, abs=0.1)


# --- the runner's own work ----------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
async def test_work_in_this_process_has_its_whole_time(autojump_clock: Clock, step: float) -> None:
    wall = WallClock()

    async def work(progress: Progress) -> list[bool]:
        stamps = [progress.now()]
        for by in (step, -step):
            await trio.sleep(10)
            wall.step(by)
            stamps.append(progress.now())
            await progress.update(text="x")
            stamps += [progress.now(), progress.task.updated_at]
        return [before <= after for before, after in pairwise(stamps)]

    async with run_rig(
        kinds=[local(work, timeout_seconds=25)], now=wall, lease_seconds=9.0, sweep_seconds=1.0
    ) as rig:
        await rig.tasks.create("local", id="t")
        assert (await rig.ended("t")).status is Status.COMPLETED
        assert all(await rig.tasks.result("t"))


@pytest.mark.parametrize("step", STEPS)
async def test_work_is_cancelled_at_its_deadline_by_steady_time(autojump_clock: Clock, step: float) -> None:
    wall = WallClock()
    async with run_rig(kinds=[local(hang, timeout_seconds=60)], now=wall, max_running=1) as rig:
        await rig.tasks.create("local", id="runs")
        await rig.tasks.create("local", id="waits", timeout_seconds=100)
        await trio.sleep(30)
        wall.step(step)
        assert failure_of(await rig.ended("runs"))[1] == "timeout"
        assert trio.current_time() == pytest.approx(60, abs=1.1)
        assert failure_of(await rig.ended("waits"))[1] == "timeout"
        assert trio.current_time() == pytest.approx(100, abs=1.1)


# --- over a restart -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("set_while_running", "set_while_down", "downtime"),
    [
        (0, 0, 50),
        (120, 0, 50),
        (DAY, 0, 50),
        (-3600, 0, 50),
        (10 * YEAR, 0, 50),
        (0, -3600, 0),  # as far as the next process can know
        (-3600, -3600, 0),
        (0, 120, 170),
    ],
)
async def test_a_restart_carries_over_the_time_that_was_left(
    durable: Host, set_while_running: float, set_while_down: float, downtime: float, mock_clock: Clock
) -> None:
    async with durable.running() as rig:
        await rig.tasks.create("k", id="t", timeout_seconds=300)
        durable.pass_time(100)
        durable.wall.step(set_while_running)
        await sweep(rig)
    durable.pass_time(50)
    durable.wall.step(set_while_down)
    async with durable.running() as rig:
        await rig.runner.recover()
        durable.pass_time(200 - downtime - 1)
        await sweep(rig)
        assert await status_of(rig, "t") == [Status.PENDING]
        durable.pass_time(2)
        await sweep(rig)
        failed = await rig.tasks.get("t")
        assert failure_of(failed)[1] == "timeout"
        check_order(failed)
        stamps = await times_of(rig, "t")
        assert stamps == sorted(stamps)


async def test_a_process_that_lives_for_a_moment_leaves_a_record(durable: Host, mock_clock: Clock) -> None:
    async with durable.running() as rig:
        await rig.tasks.create("k", id="t", timeout_seconds=300)
    durable.wall.step(-3600)
    async with durable.running() as rig:
        durable.pass_time(301)
        await sweep(rig)
        assert failure_of(await rig.tasks.get("t"))[1] == "timeout"


@pytest.mark.parametrize("set_while_down", STEPS)
async def test_a_restart_gives_workers_elsewhere_a_whole_lease(
    durable: Host, set_while_down: float, mock_clock: Clock
) -> None:
    async with durable.running(lease_seconds=30.0) as rig:
        task = await rig.tasks.create("k", id="t", worker="w", timeout_seconds=80_000)
        durable.pass_time(20)
        await sweep(rig)
    durable.wall.step(min(set_while_down, 3600))
    async with durable.running(lease_seconds=30.0) as rig:
        await rig.runner.recover()
        durable.pass_time(29)
        await sweep(rig)
        assert await status_of(rig, "t") == [Status.RUNNING]
        check_order(await rig.tasks.report("t", Report(lease=task.lease, progress=50)))
        durable.pass_time(31)
        await sweep(rig)
        assert failure_of(await rig.tasks.get("t"))[1] == "stalled"
        check_order(await rig.tasks.get("t"))


async def test_a_clock_set_forward_by_years_over_a_restart_ages_results_by_a_day(
    durable: Host, mock_clock: Clock
) -> None:
    async with durable.running(keep_seconds=2.0 * DAY) as rig:
        await rig.tasks.create("k", id="t", worker="w")
        await rig.tasks.complete("t", 7)
        await publish_all(rig.store)
        durable.pass_time(20)
        await sweep(rig)
    durable.wall.step(10 * YEAR)
    async with durable.running(keep_seconds=2.0 * DAY) as rig:
        await rig.runner.recover()
        await sweep(rig)
        assert await rig.tasks.result("t") == 7
