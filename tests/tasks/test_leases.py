"""Restarts, leases and expiry: tasks that have lost their worker or their use."""

from datetime import timedelta
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from streamd.errors import Unavailable
from streamd.tasks import Kind, Progress, Runner, Status
from streamd.tasks.store.memory import MemoryTaskStore
from streamd.tasks.store.port import TaskStore
from tests.support.local_work import UnsteadyStore, failure_of, hang, local
from tests.support.task_rig import SetClock, check_history, make_rig, names, run_rig, running

Clock = trio.testing.MockClock


async def test_a_restart_fails_running_local_tasks_and_runs_pending_ones(autojump_clock: Clock) -> None:
    store: TaskStore = MemoryTaskStore()
    async with run_rig(store=store, kinds=[local(hang)], max_running=2) as rig:
        for task_id in ("a", "b", "c"):
            await rig.tasks.create("local", id=task_id)
        await trio.testing.wait_all_tasks_blocked()
        assert names(await store.held_by("local:")) == ["a", "b"]

    async def work(progress: Progress) -> Any:
        return "done"

    rig = make_rig(store=store, log=rig.log, kinds=[local(work)])
    async with running(rig):
        for task_id in ("a", "b"):
            status, code, detail = failure_of(await rig.ended(task_id))
            assert (status, code) == (Status.FAILED, "stalled")
            assert "restarted" in detail
        assert (await rig.ended("c")).status is Status.COMPLETED
        for task_id in ("a", "b", "c"):
            check_history(await rig.published(task_id), task_id)
        assert rig.metric("task_leases_stalled_total") == 2
        assert rig.metrics.counts == {
            ("local", Status.RUNNING): 0,
            ("local", Status.PENDING): 0,
            ("local", Status.FAILED): 2,
            ("local", Status.COMPLETED): 1,
        }


async def test_a_restart_extends_the_leases_of_workers_elsewhere(autojump_clock: Clock) -> None:
    store = MemoryTaskStore()
    rig = make_rig(store=store, lease_seconds=30.0)
    for task_id, lease_seconds in (("short", 5), ("long", 600)):
        await rig.tasks.create(
            "remote", id=task_id, worker="w", lease_seconds=lease_seconds, timeout_seconds=3000
        )
    await trio.sleep(100)
    rig = make_rig(store=store, lease_seconds=30.0)
    async with running(rig):
        assert (await rig.ended("short")).error is not None
        assert trio.current_time() == pytest.approx(130, abs=2)
        assert (await rig.ended("long")).error is not None
        assert trio.current_time() == pytest.approx(600, abs=2)


async def test_a_task_fails_as_stalled_when_its_lease_runs_out(autojump_clock: Clock) -> None:
    async with run_rig(kinds=[Kind(name="remote")], sweep_seconds=1.0) as rig:
        await rig.tasks.create("remote", id="t", timeout_seconds=1000)
        claimed = await rig.tasks.claim(["remote"], "w", lease_seconds=10)
        assert claimed is not None
        task = claimed.task
        for _ in range(5):
            await trio.sleep(8)
            await rig.store.renew(["t"], rig.tasks.now() + (task.lease_until - task.started_at))  # type: ignore[operator]
        assert (await rig.tasks.get("t")).status is Status.RUNNING
        failed = await rig.ended("t")
        assert failure_of(failed)[:2] == (Status.FAILED, "stalled")
        assert trio.current_time() == pytest.approx(50, abs=2)
        assert failed.worker == "w"
        check_history(await rig.published("t"), "t")
        assert rig.metric("task_leases_stalled_total") == 1


async def test_the_leases_of_local_work_are_renewed(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> Any:
        await trio.sleep(5000)
        return 1

    async with run_rig(kinds=[local(work)], lease_seconds=3.0) as rig:
        await rig.tasks.create("local", id="t", timeout_seconds=10_000)
        await trio.sleep(4000)
        task = await rig.tasks.get("t")
        assert task.lease_until is not None
        assert task.lease_until > rig.tasks.now()
        assert (await rig.ended("t")).status is Status.COMPLETED


async def test_a_suspended_process_keeps_its_running_tasks(autojump_clock: Clock) -> None:
    clock = SetClock()
    async with run_rig(kinds=[local(hang)], now=clock, lease_seconds=30.0, sweep_seconds=1.0) as rig:
        await rig.tasks.create("local", id="t", timeout_seconds=10_000)
        await trio.sleep(1.5)
        clock.seconds += 100  # as if the process had been suspended: no lease was renewed
        await trio.sleep(20)
        task = await rig.tasks.get("t")
        assert task.status is Status.RUNNING
        assert task.lease_until is not None
        assert task.lease_until > clock()


async def test_a_failed_sweep_is_followed_by_the_next(autojump_clock: Clock) -> None:
    store = UnsteadyStore(failures=3)
    with capture_logs() as lines:
        async with run_rig(store=store) as rig:
            await rig.tasks.create("remote", id="t", timeout_seconds=5)
            assert failure_of(await rig.ended("t"))[1] == "timeout"
    failed = [line for line in lines if line["event"] == "task_sweep_failed"]
    assert {line["log_level"] for line in failed} == {"warning"}
    assert not any("exc_info" in line for line in failed), "an unavailable store needs no traceback"


# --- expiry ---


async def test_ended_tasks_are_kept_within_age_and_number(autojump_clock: Clock) -> None:
    async def work(progress: Progress) -> Any:
        return 1

    kinds = [local(work, keep_seconds=50, max_kept=2), Kind(name="other", work=work)]
    async with run_rig(kinds=kinds, keep_seconds=200.0) as rig:
        for kind in ("local", "other"):
            for n in range(2):
                await rig.tasks.create(kind, id=f"{kind}{n}")
                await rig.ended(f"{kind}{n}")
        await trio.sleep(10)
        await rig.tasks.create("local", id="local2")
        await trio.sleep(5)
        assert names(await rig.tasks.list()) == ["local2", "other1", "other0", "local1"]
        await trio.sleep(60)
        assert names(await rig.tasks.list()) == ["other1", "other0"]
        await trio.sleep(200)
        assert await rig.tasks.list() == []
        assert rig.metric("tasks_expired_total") == 5
        assert sum(rig.metrics.counts.values()) == 0


def test_each_runner_has_a_worker_name_of_its_own() -> None:
    rig = make_rig()
    assert Runner(rig.tasks).worker != rig.runner.worker
    assert rig.runner.worker.startswith("local:")


class AwayStore(MemoryTaskStore):
    """A store that is said to be shared, and of which all sweeps fail for some time.

    Attributes:
        away_until: end of that time (s).
    """

    is_shared = True  # type: ignore[misc]
    away_until = 0.0

    async def overdue(self, now: Any) -> Any:
        if trio.current_time() < self.away_until:
            raise Unavailable("away")
        return await super().overdue(now)


async def test_workers_elsewhere_can_renew_after_a_shared_store_was_away(autojump_clock: Clock) -> None:
    store = AwayStore()
    async with run_rig(
        store=store, kinds=[Kind(name="remote")], lease_seconds=30.0, sweep_seconds=1.0
    ) as rig:
        for id in ("alive", "lost"):
            await rig.tasks.create("remote", id=id, worker=id, lease_seconds=10, timeout_seconds=1000)
        store.away_until = 60.0
        await trio.sleep(70)
        assert {task.status for task in await rig.tasks.list()} == {Status.RUNNING}
        await store.renew(["alive"], rig.tasks.now() + timedelta(seconds=500))
        failed = await rig.ended("lost")
        assert failure_of(failed)[:2] == (Status.FAILED, "stalled")
        assert trio.current_time() == pytest.approx(90, abs=3)
        assert (await rig.tasks.get("alive")).status is Status.RUNNING
