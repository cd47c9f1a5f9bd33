"""The last message of a task says how it ended, in its stream, its snapshot and the stored task."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from streamd.tasks import Kind, Progress, StepFailed, StepPlan, WorkFailed, step, task_fields
from streamd.tasks.reports import Report, ReportedFailure
from tests.support.task_rig import Rig, SetClock, make_rig, running
from tests.support.task_stores import STORES


async def work(progress: Progress) -> Any:
    """Do one step, then end as the input says."""
    async with step("write", message="Writing section 3"):
        if progress.input == "lose":
            raise StepFailed("the pen is gone")
    await progress.update(message="Checking it")
    match progress.input:
        case "fail":
            raise WorkFailed("the paper is gone", code="no-paper")
        case "break":
            raise ZeroDivisionError
        case "count":
            progress.complete("The report is complete: 3 pages")
    return {"pages": 3}


@pytest.fixture(params=["memory", "sqlite:memory", "redis"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """Run kinds that work here, with and without a sentence of their own, and one that works elsewhere."""
    kinds = [
        Kind(name="report", work=work, completion_message="The report is complete"),
        Kind(name="plain", work=work),
        Kind(
            name="import",
            completion_message="The import is complete",
            cancellation_message="The import was cancelled",
        ),
    ]
    with structlog.testing.capture_logs():
        async with STORES[request.param](tmp_path) as store:
            async with running(make_rig(store=store, kinds=kinds, now=SetClock())) as rig:
                yield rig


async def last_message(rig: Rig, task_id: str) -> str:
    """Return the last message, which stream, snapshot, stored end and task agree about."""
    task = await rig.ended(task_id)
    view = await rig.tasks.view(task_id)
    assert view.end is not None
    assert view.message is not None
    data = (await rig.data_of(task_id))[-1]
    assert data == view.end.data
    said = {fields["message"] for fields in (data, view.message.data, task_fields(task))}
    if task.error is not None:
        said |= {task.error.detail, data["error"], view.message.data["error"]}
    [sentence] = said
    assert (data["progress"] == 100) is (task.error is None)
    assert view.message.data["progress"] == data["progress"]
    return str(sentence)


@pytest.mark.parametrize(
    ("kind", "input", "sentence"),
    [
        ("report", "", "The report is complete"),
        ("report", "lose", "The report is complete"),
        ("report", "count", "The report is complete: 3 pages"),
        ("report", "fail", "the paper is gone"),
        ("report", "break", "something went wrong while this was worked on"),
        ("plain", "", "The task is complete"),
        ("plain", "fail", "the paper is gone"),
    ],
)
async def test_work_here(rig: Rig, kind: str, input: str, sentence: str) -> None:
    await rig.tasks.create(kind, id="t", input=input)
    assert await last_message(rig, "t") == sentence


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        ({"status": "completed"}, "The import is complete"),
        ({"status": "completed", "message": " "}, "The import is complete"),
        ({"status": "completed", "message": "2817 rows are in"}, "2817 rows are in"),
        ({"status": "failed", "error": ReportedFailure("the disk is full")}, "the disk is full"),
        ({"status": "failed", "error": ReportedFailure("")}, "The task failed"),
        ({"status": "cancelled"}, "The import was cancelled"),
        ({"status": "cancelled", "message": " "}, "The import was cancelled"),
        ({"status": "cancelled", "message": "my host goes down"}, "my host goes down"),
    ],
)
async def test_work_elsewhere(rig: Rig, report: dict[str, Any], sentence: str) -> None:
    task = await rig.tasks.create("import", id="t", worker="w", steps=[StepPlan("read")])
    await rig.tasks.report("t", Report(lease=task.lease, progress=50, message="reading"))
    await rig.tasks.report("t", Report(lease=task.lease, **report))
    assert await last_message(rig, "t") == sentence


@pytest.mark.parametrize(
    ("kind", "reason", "sentence"),
    [
        ("import", "not wanted any more", "not wanted any more"),
        ("import", "", "The import was cancelled"),
        ("import", " ", "The import was cancelled"),
        ("unknown", "", "The task was cancelled"),
    ],
)
async def test_a_cancelled_task_has_the_reason_of_its_caller(
    rig: Rig, kind: str, reason: str, sentence: str
) -> None:
    await rig.tasks.create(kind, id="t", message="waiting")
    await rig.tasks.cancel("t", message=reason)
    assert await last_message(rig, "t") == sentence


async def test_a_task_whose_steps_all_failed_shows_what_they_had_reached(rig: Rig) -> None:
    task = await rig.tasks.create("import", id="t", worker="w", steps=[StepPlan("a"), StepPlan("b", 3)])
    for name in "ab":
        async with Progress(task, partial(rig.tasks.perform, "t"), rig.tasks.now).step(name) as running:
            await running.update(20)
            raise StepFailed("away")
    await rig.tasks.fail("t", "both sources are away")
    assert await last_message(rig, "t") == "both sources are away"
    assert [data["progress"] for data in await rig.data_of("t")] == [0, 0, 0, 5, 5, 5, 20, 20, 20]
