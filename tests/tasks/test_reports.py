"""Reports of workers: their changes, in one transaction and one call of the store."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from streamd.errors import InvalidField, InvalidTransition, LeaseLost
from streamd.tasks import Cause, Status, StepPlan, StepStatus, Task, operations
from streamd.tasks.model import Change
from streamd.tasks.reports import Report, ReportedFailure, StepReport
from tests.support.clocks import NOON
from tests.support.local_work import CountingStore
from tests.support.task_rig import Rig, SetClock, check_rejected, make_rig

LATE_REPORTS: list[dict[str, Any]] = [{}, {"progress": 50}, {"status": "completed", "result": 1}]


@pytest.fixture
async def rig() -> Rig:
    rig = make_rig(now=SetClock())
    await rig.tasks.create("k", id="t", worker="me", steps=[StepPlan("a", 3), StepPlan("b")])
    return rig


async def report(rig: Rig, lease: str | None = None, **values: Any) -> Any:
    lease = (await rig.tasks.get("t")).lease if lease is None else lease
    return await rig.tasks.report("t", Report(lease=lease, **values))


async def test_a_report_is_applied_in_one_transaction(rig: Rig) -> None:
    task = await report(
        rig,
        step=StepReport("a", "completed", message="done"),
        progress=80,
        text="text",
        fields={"x": 1},
        status="completed",
        result={"n": 1},
    )
    assert (task.status, task.progress, task.version) == (Status.COMPLETED, 100, 6)
    rows = [row for row in await rig.store.unpublished(99) if row.version > 2]
    assert [row.message.type for row in rows] == ["progress", "progress", "progress", "complete"]
    assert [row.message.data["progress"] for row in rows] == [0, 75, 80, 100]
    assert (await rig.tasks.text("t"), await rig.tasks.result("t")) == ("text", {"n": 1})


async def test_a_rejected_report_changes_nothing(rig: Rig) -> None:
    before = await rig.tasks.get("t")
    await check_rejected(InvalidField, "progress", lambda: report(rig, step=StepReport("a"), progress=101))
    await check_rejected(
        InvalidField, "status", lambda: report(rig, step=StepReport("a"), fields={"status": "x"})
    )
    await check_rejected(InvalidField, "error", lambda: report(rig, progress=50, status="failed"))
    await check_rejected(InvalidField, "error", lambda: report(rig, progress=50, error=ReportedFailure("no")))
    await check_rejected(InvalidField, "result", lambda: report(rig, progress=50, result=1))
    for code in ("", "x" * 65, "two\nlines"):
        failure = ReportedFailure("no", code=code)
        await check_rejected(InvalidField, "error.code", partial(report, rig, status="failed", error=failure))
    await check_rejected(InvalidField, "lease_seconds", lambda: report(rig, progress=1, lease_seconds=0))
    await check_rejected(LeaseLost, "lease", lambda: report(rig, lease="another", progress=50))
    await check_rejected(LeaseLost, "lease", lambda: report(rig, lease="", status="completed"))
    assert await rig.tasks.get("t") == before


async def test_a_report_on_a_pending_task_is_rejected(rig: Rig) -> None:
    await rig.tasks.create("k", id="waits")
    for values in ({"status": "failed", "error": ReportedFailure("no")}, {"status": "cancelled"}, {}):
        with pytest.raises(LeaseLost):
            await rig.tasks.report("waits", Report(lease="", **values))
    assert (await rig.tasks.get("waits")).version == 1


async def test_each_report_renews_the_lease(autojump_clock: trio.testing.MockClock) -> None:
    rig = make_rig()
    lease = (await rig.tasks.create("k", id="t", worker="w", timeout_seconds=1000)).lease
    reports: list[tuple[dict[str, Any], float]] = [
        ({}, 30),
        ({"progress": 5}, 30),
        ({"lease_seconds": 100}, 100),
    ]
    for values, seconds in reports:
        await trio.sleep(20)
        version = (await rig.tasks.get("t")).version
        task = await rig.tasks.report("t", Report(lease=lease, **values))
        assert task == await rig.tasks.get("t")
        assert task.lease_until is not None
        assert (task.lease_until - rig.tasks.now()).total_seconds() == seconds
        assert task.version == version + ("progress" in values)


REPORTS: list[dict[str, Any]] = [
    {},
    {"lease_seconds": 5},
    {"progress": 5},
    {"step": StepReport("a", "completed"), "progress": 5, "text": "x", "fields": {"y": 1}},
    {"status": "completed", "result": {"n": 1}},
    {"status": "failed", "error": ReportedFailure("no")},
    {"status": "cancelled"},
    {"step": StepReport("a"), "message": "all of it", "status": "completed", "result": "x" * 100_000},
]


@pytest.mark.parametrize("values", REPORTS)
async def test_a_report_is_one_call_of_the_store(values: dict[str, Any]) -> None:
    store = CountingStore()
    tasks = make_rig(store=store, now=SetClock()).tasks
    task = await tasks.create("k", id="t", worker="me", steps=[StepPlan("a")])
    store.calls.clear()
    reported = await tasks.report("t", Report(lease=task.lease, **values))
    assert store.calls == ["change"]
    assert reported == await tasks.get("t")


@pytest.mark.parametrize("values", [{}, {"lease_seconds": 5}])
async def test_a_heartbeat_publishes_nothing(rig: Rig, values: dict[str, Any]) -> None:
    before = await rig.tasks.get("t")
    rows = await rig.store.unpublished(99)
    depth = rig.metric("task_outbox_depth")
    task = await report(rig, **values)
    assert attrs.evolve(task, lease_until=before.lease_until) == before
    assert await rig.store.unpublished(99) == rows
    assert rig.metric("task_outbox_depth") == depth
    assert rig.metrics.counts == dict(await rig.store.counts())


def test_the_changes_of_a_report_depend_on_task_and_time_alone() -> None:
    task = operations.create(id="t", kind="k", now=NOON, timeout_seconds=60).task
    task = operations.start(task, NOON, worker="w", lease="lease", lease_seconds=30).task

    def completion(task: Task, now: datetime) -> Change:
        return operations.complete(task, now, result=b"1")

    report = Report(lease="lease", step=StepReport("a"), progress=5, text="x", status="completed", result=1)
    changes = report.changes(task, NOON, completion)
    assert list(changes) == list(report.changes(task, NOON, completion))
    assert [change.message and change.message.cause for change in changes] == [
        Cause.STEP_STARTED,
        Cause.UPDATED,
        Cause.COMPLETED,
    ]
    [renewed] = Report(lease="lease", lease_seconds=9).changes(task, NOON, completion)
    assert (renewed.message, renewed.publications) == (None, ())
    assert renewed.task == attrs.evolve(task, lease_until=NOON + timedelta(seconds=9))


async def test_a_report_on_a_cancelled_task_returns_it_unchanged(rig: Rig) -> None:
    lease = (await rig.tasks.get("t")).lease
    cancelled = await rig.tasks.cancel("t")
    for values in LATE_REPORTS:
        assert await report(rig, lease=lease, **values) == cancelled


async def test_a_report_on_an_ended_task_is_rejected(rig: Rig) -> None:
    lease = (await rig.tasks.get("t")).lease
    await rig.tasks.fail("t", "so it is")
    for values in LATE_REPORTS:
        await check_rejected(InvalidTransition, "status", partial(report, rig, lease, **values))


async def test_steps_are_reported_by_their_status(rig: Rig) -> None:
    task = await report(rig, step=StepReport("a", progress=50))
    assert (task.steps[0].status, task.progress) == (StepStatus.RUNNING, 37.5)
    task = await report(rig, step=StepReport("b", "skipped", message="not needed"))
    assert task.steps[1].status is StepStatus.SKIPPED
    task = await report(rig, step=StepReport("a", "failed", error="no answer"))
    assert (task.steps[0].status, task.steps[0].error) == (StepStatus.FAILED, "no answer")
    task = await report(rig, step=StepReport("new", weight=4))
    assert (task.steps[2].status, task.steps[2].weight) == (StepStatus.RUNNING, 4)
    await check_rejected(InvalidTransition, "step", lambda: report(rig, step=StepReport("a")))
