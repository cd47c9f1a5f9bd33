"""What a worker elsewhere says of its task, in one message."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import attrs
from msgspec import Meta, Struct, structs

from ..errors import InvalidField, InvalidTransition
from . import operations
from .checks import check_lease_seconds
from .messages import PROGRESS
from .model import Change, Status, StepStatus, Task
from .tasks import Tasks

_CODE_CHARS_MAX = 64


class StepReport(Struct, forbid_unknown_fields=True):
    """One step: `running` starts it, or says how far it is; `completed`, `failed` and `skipped` end it."""

    name: str
    status: Literal["running", "completed", "failed", "skipped"] = "running"
    progress: float | None = None
    message: str | None = None
    error: str = ""
    weight: float | None = None


class Failure(Struct, forbid_unknown_fields=True):
    """Why the work cannot be done."""

    detail: Annotated[str, Meta(description="A plain sentence, shown to whoever follows the task.")]
    code: str = "failed"


class Report(Struct, forbid_unknown_fields=True):
    """What a worker says of its task. All of it holds, or nothing; with the lease alone it is a heartbeat."""

    lease: str
    lease_seconds: Annotated[float, Meta(description="How long to hold the task this time (s).")] | None = (
        None
    )
    progress: float | None = None
    stage: str | None = None
    message: str | None = None
    text: Annotated[str, Meta(description="Appended to the task's text.")] | None = None
    type: Literal["progress", "educational", "status"] = PROGRESS
    fields: Annotated[dict[str, Any], Meta(description="Further fields of the message.")] = {}
    step: StepReport | None = None
    status: Literal["completed", "failed", "cancelled"] | None = None
    result: Any = None
    error: Failure | None = None


async def perform_report(tasks: Tasks, task_id: str, report: Report) -> Task:
    """Do what a worker reports, in one transaction, and let it hold the task for longer.

    A task that was cancelled meanwhile is returned as it is, whatever was reported: the worker is to stop.

    Raises:
        InvalidField, TooLarge: a value cannot be accepted.
        InvalidTransition: the task has ended otherwise, or its steps do not allow that.
        LeaseLost: the task is not that worker's.
        NotFound, Gone: there is no such task, or not any more.
    """
    _check(report)
    report = _say_once(report)
    check_lease_seconds(report.lease_seconds, tasks.settings)
    end = None
    if report.status == "completed":
        task = await tasks.get(task_id)
        end = tasks.completion(task.kind, report.result, message=report.message)

    def change(task: Task) -> Sequence[Change]:
        now = tasks.now()
        if task.status is Status.CANCELLED:
            return []
        if task.status.ended:
            raise InvalidTransition(f"the task is {task.status.value}", field="status")
        task = attrs.evolve(task, lease_until=_renewed(task, report, now))
        changes: list[Change] = []
        if report.step is not None:
            changes += _report_step(task, report.step, tasks)
        if _says_something(report):
            before = changes[-1].task if changes else task
            changes.append(
                operations.update(
                    before,
                    now,
                    progress=report.progress,
                    stage=report.stage,
                    message=report.message,
                    text=report.text or "",
                    type=report.type,
                    fields=report.fields,
                )
            )
        before = changes[-1].task if changes else task
        if end is not None:
            changes.append(end(before))
        elif report.status == "failed":
            assert report.error is not None
            changes.append(operations.fail(before, now, code=report.error.code, detail=report.error.detail))
        elif report.status == "cancelled":
            changes.append(operations.cancel(before, now, detail=report.message or ""))
        return changes

    task = await tasks.perform(task_id, change, lease=report.lease)
    if task.status is Status.RUNNING and report.step is None and not _says_something(report):
        until = _renewed(task, report, tasks.now())
        await tasks.store.renew([task_id], until)
        task = attrs.evolve(task, lease_until=until)
    return task


def _renewed(task: Task, report: Report, now: datetime) -> datetime:
    return now + timedelta(seconds=report.lease_seconds or task.lease_seconds)


def _say_once(report: Report) -> Report:
    """A message beside a step is the step's own, unless it has one or the task ends: one event tells both."""
    step, message = report.step, report.message
    if step is None or step.message is not None or message is None or report.status is not None:
        return report
    return structs.replace(report, step=structs.replace(step, message=message), message=None)


def _says_something(report: Report) -> bool:
    """Whether there is an update in it, beside a step and an end."""
    if report.progress is not None or report.stage is not None or report.text or report.fields:
        return True
    return report.message is not None and report.status is None


def _report_step(task: Task, step: StepReport, tasks: Tasks) -> list[Change]:
    now, name = tasks.now(), step.name
    known = task.find_step(name)
    changes: list[Change] = []
    if known is None or known.status is StepStatus.PENDING:
        started = operations.start_step(task, now, name, weight=step.weight, message=step.message or "")
        changes.append(started)
        task = started.task
        if step.status == "running" and step.progress is None:
            return changes
    if step.status == "running":
        changes.append(operations.update_step(task, now, name, progress=step.progress, message=step.message))
    else:
        ended = StepStatus(step.status)
        changes.append(operations.end_step(task, now, name, ended, message=step.message, error=step.error))
    return changes


def _check(report: Report) -> None:
    if report.status == "failed" and report.error is None:
        raise InvalidField("a task that failed needs an error with a detail", field="error")
    if report.error is not None and report.status != "failed":
        raise InvalidField("an error is only said of a task with status failed", field="error")
    if report.result is not None and report.status != "completed":
        raise InvalidField("a result is only said of a task with status completed", field="result")
    if report.error is not None and not (
        0 < len(report.error.code) <= _CODE_CHARS_MAX and report.error.code.isprintable()
    ):
        raise InvalidField(
            f"a code is printable text of 1 to {_CODE_CHARS_MAX} characters", field="error.code"
        )
