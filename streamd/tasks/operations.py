"""The operations on tasks: pure functions from a task to its next version and the message of the change.

Each operation looks up :mod:`.states` for the status that follows, and never reads a clock or a store. The
rules that couple a task with its steps, its lease and its progress are stated there. ``now`` is steady time
(:mod:`streamd.clock`); the times of a task are ``now`` plus its offset. The operations on steps are in
:mod:`.steps`, and are named here too, so that callers find all operations in one module.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from ..characters import quoted
from ..errors import InvalidField
from .checks import check_percent, check_weight, copy_fields
from .messages import COMPLETE, EDUCATIONAL, ERROR, PROGRESS, STATUS, message_of
from .model import Cause, Change, Step, StepPlan, Task, TaskError
from .sentences import check_code, check_sentence, check_step_name, check_streamed, default_blank
from .states import STEP_EVENT_AT_END, StepEvent, StepStatus, TaskEvent, next_status, next_step_status
from .steps import end_step, start_step, update_step
from .versions import next_version, stamp

__all__ = [
    "CANCELLED",
    "CANCELLED_MESSAGE",
    "COMPLETED_MESSAGE",
    "INTERNAL",
    "STALLED",
    "TIMEOUT",
    "UNSHOWN",
    "UPDATE_TYPES",
    "cancel",
    "complete",
    "create",
    "end_step",
    "fail",
    "renew_lease",
    "start",
    "start_step",
    "update",
    "update_step",
]

UNSHOWN: Final = object()
"""Passed instead of a result that is too large for a message."""

UPDATE_TYPES: Final = (PROGRESS, EDUCATIONAL, STATUS)
"""Types of message that the work may choose; the others report the beginning and the end of a task."""

CANCELLED: Final = "cancelled"
STALLED: Final = "stalled"
TIMEOUT: Final = "timeout"
INTERNAL: Final = "internal"

COMPLETED_MESSAGE: Final = "The task is complete"
"""The last message of a completed task whose kind and worker have none of their own."""

CANCELLED_MESSAGE: Final = "The task was cancelled"
"""The last message of a cancelled task whose kind and caller have none of their own."""

_FAILED_MESSAGE: Final = "The task failed"
_WORKING_PERCENT_MAX: Final = 99.9  # 100 means completed, whatever the work reports before


def create(
    *,
    id: str,
    kind: str,
    now: datetime,
    timeout_seconds: float,
    clock_offset: timedelta = timedelta(),
    owner: str = "",
    message: str = "",
    steps: Sequence[StepPlan] = (),
) -> Change:
    """Create a pending task.

    Raises:
        InvalidField: the message or a step's weight is invalid.
    """
    task = Task(
        id=id,
        kind=kind,
        owner=owner,
        message=check_sentence(message, "message"),
        steps=tuple(Step(plan.name, weight=check_weight(plan.weight)) for plan in steps),
        created_at=now + clock_offset,
        updated_at=now + clock_offset,
        deadline=now + clock_offset + timedelta(seconds=timeout_seconds),
        timeout_seconds=timeout_seconds,
        clock_offset=clock_offset,
    )
    return Change(task=task, message=message_of(task, STATUS, Cause.CREATED, {}))


def start(task: Task, now: datetime, *, worker: str, lease: str, lease_seconds: float) -> Change:
    """Start a pending task, and grant its worker a lease.

    Raises:
        InvalidTransition: the task is not pending.
    """
    started = next_version(
        task,
        now,
        status=next_status(task.status, TaskEvent.START),
        started_at=stamp(task, now),
        started_offset=task.clock_offset,
        worker=worker,
        lease=lease,
        lease_seconds=lease_seconds,
        lease_until=task.at(now) + timedelta(seconds=lease_seconds),
    )
    return Change(task=started, message=message_of(started, STATUS, Cause.STARTED, {}))


def update(
    task: Task,
    now: datetime,
    *,
    progress: float | None = None,
    step: str | None = None,
    message: str | None = None,
    text: str = "",
    type: str = PROGRESS,
    fields: Mapping[str, Any] | None = None,
) -> Change:
    """Update the progress, the step's name, the message or the text of a running task.

    Raises:
        InvalidTransition: the task is not running.
        InvalidField: a value is invalid, or a further field has a reserved name.
    """
    next_status(task.status, TaskEvent.UPDATE)
    if type not in UPDATE_TYPES:
        raise InvalidField(f"type must be one of {', '.join(UPDATE_TYPES)}; got {quoted(type)}", field="type")
    fields = copy_fields(fields)
    reached = 0.0 if progress is None else min(check_percent(progress), _WORKING_PERCENT_MAX)
    changed = next_version(
        task,
        now,
        progress=max(task.progress, reached),
        step=task.step if step is None else check_step_name(step, "step_name", is_optional=True),
        message=task.message if message is None else check_sentence(message, "message"),
        details={**task.details, **fields} if fields else task.details,
        text_bytes=task.text_bytes + len(check_streamed(text).encode()),
    )
    if text:
        fields["text_delta"] = text
    return Change(task=changed, message=message_of(changed, type, Cause.UPDATED, fields), text=text)


def renew_lease(task: Task, until: datetime) -> Change:
    """Extend the lease of a running task, without a new version or a message.

    Args:
        task: the task.
        until: the new end, by the clock of the task's times.

    Raises:
        InvalidTransition: the task is not running.
    """
    next_status(task.status, TaskEvent.RENEW)
    return Change(task=attrs.evolve(task, lease_until=until))


def complete(
    task: Task, now: datetime, *, result: bytes, message: str = "", shown_result: Any = UNSHOWN
) -> Change:
    """Complete a running task.

    Args:
        task: the task.
        now: steady time.
        result: the result to store.
        message: the last message; blank for :data:`COMPLETED_MESSAGE`.
        shown_result: the result for the message, a JSON value; ``UNSHOWN`` leaves it to be fetched.

    Raises:
        InvalidTransition: the task is not running.
        InvalidField: the message is invalid.
    """
    ended = _end(
        task,
        now,
        TaskEvent.COMPLETE,
        progress=100.0,
        message=default_blank(message, "message", COMPLETED_MESSAGE),
        has_result=True,
    )
    fields = {} if shown_result is UNSHOWN else {"result": shown_result}
    end = message_of(ended, COMPLETE, Cause.COMPLETED, fields, _steps_that_ended(task, ended))
    return Change(task=ended, message=end, result=result)


def fail(task: Task, now: datetime, *, code: str, detail: str) -> Change:
    """Fail an unfinished task; the detail is its last message.

    Raises:
        InvalidTransition: the task has ended.
        InvalidField: the code or the detail is invalid.
    """
    error = TaskError(check_code(code, "code"), default_blank(detail, "error", _FAILED_MESSAGE))
    return _end_with_error(task, now, TaskEvent.FAIL, Cause.FAILED, error)


def cancel(task: Task, now: datetime, *, detail: str = "") -> Change:
    """Cancel an unfinished task; the detail is its last message.

    Raises:
        InvalidTransition: the task has ended.
        InvalidField: the detail is invalid.
    """
    error = TaskError(CANCELLED, default_blank(detail, "message", CANCELLED_MESSAGE))
    return _end_with_error(task, now, TaskEvent.CANCEL, Cause.CANCELLED, error)


def _end(task: Task, now: datetime, event: TaskEvent, *, step_error: str = "", **changes: Any) -> Task:
    """End a task and its running steps, and drop its lease."""
    status = next_status(task.status, event)
    steps = tuple(_end_running_step(step, STEP_EVENT_AT_END[event], step_error) for step in task.steps)
    ended = next_version(task, now, status=status, steps=steps, ended_at=stamp(task, now), **changes)
    eta_seconds = 0.0 if event is TaskEvent.COMPLETE else None
    return attrs.evolve(ended, lease="", lease_until=None, eta=None, eta_seconds=eta_seconds)


def _end_running_step(step: Step, event: StepEvent, error: str) -> Step:
    if step.status is not StepStatus.RUNNING:
        return step
    status = next_step_status(step.name, step.status, event)
    progress = 100.0 if status is StepStatus.COMPLETED else step.progress
    return attrs.evolve(step, status=status, progress=progress, error=error)


def _end_with_error(task: Task, now: datetime, event: TaskEvent, cause: Cause, error: TaskError) -> Change:
    ended = _end(task, now, event, step_error=error.detail, error=error, message=error.detail)
    fields = {"error": error.detail, "code": error.code}
    return Change(task=ended, message=message_of(ended, ERROR, cause, fields, _steps_that_ended(task, ended)))


def _steps_that_ended(before: Task, after: Task) -> tuple[Step, ...]:
    """Return the steps that the end of the task ended, as they are after it."""
    return tuple(
        now for was, now in zip(before.steps, after.steps, strict=True) if was.status is StepStatus.RUNNING
    )
