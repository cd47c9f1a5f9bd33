"""The operations on tasks: pure functions from a task to its next version and the message of the change.

Each operation looks up :mod:`.states` for the status that follows, and never reads a clock or a store. The
rules that couple a task with its steps, its lease and its progress are stated there. ``now`` is steady time
(:mod:`streamd.clock`); the times of a task are ``now`` plus its offset.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import msgspec

from ..errors import InvalidField, InvalidTransition
from ..json import encode_json
from .messages import COMPLETE, EDUCATIONAL, ERROR, PROGRESS, RESERVED_FIELDS, STATUS, as_percent, message_of
from .model import Cause, Change, Step, StepPlan, Task, TaskError
from .sentences import check_code, check_sentence, check_step_name, check_streamed, default_blank, fit
from .states import (
    STEP_ENDS,
    STEP_EVENT_AT_END,
    StepEvent,
    StepStatus,
    TaskEvent,
    next_status,
    next_step_status,
)

Operation = Callable[[Task], Sequence[Change]]
"""Build the changes of one transaction, in order, each from the task after the one before."""

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
_STEP_FAILED_MESSAGE: Final = "The step failed"

_STEP_MESSAGES: Final = {
    StepStatus.RUNNING: "is running",
    StepStatus.COMPLETED: "is complete",
    StepStatus.SKIPPED: "was skipped",
    StepStatus.FAILED: "failed",
}
_WORKING_PERCENT_MAX: Final = 99.9  # 100 means completed, whatever the work reports before
_STEPS_PERCENT_MAX: Final = 99.0  # of steps alone: more of them may still be added
_WEIGHT_MAX: Final = 1_000_000  # keeps the sum of weights far from the limits of a float
_DONE: Final = (StepStatus.COMPLETED, StepStatus.SKIPPED)
_TENTH: Final = timedelta(seconds=0.1)


# --- operations on the task ---------------------------------------------------------------------


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
        steps=tuple(Step(plan.name, weight=_check_weight(plan.weight)) for plan in steps),
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
    started = _next_version(
        task,
        now,
        status=next_status(task.status, TaskEvent.START),
        started_at=_stamp(task, now),
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
        raise InvalidField(f"type must be one of {', '.join(UPDATE_TYPES)}; got {type!r}", field="type")
    fields = _copy_fields(fields)
    reached = 0.0 if progress is None else min(_check_percent(progress), _WORKING_PERCENT_MAX)
    changed = _next_version(
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


# --- operations on a step -----------------------------------------------------------------------


def start_step(
    task: Task, now: datetime, name: str, *, weight: float | None = None, message: str = ""
) -> Change:
    """Start a step; one that was not planned is added.

    Raises:
        InvalidTransition: the task is not running, or the step began before.
        InvalidField: the name, the weight or the message is invalid.
    """
    next_status(task.status, TaskEvent.MOVE_STEP)
    check_step_name(name, "step")
    known = task.find_step(name)
    step = known or Step(name)
    if weight is not None:
        step = attrs.evolve(step, weight=_check_weight(weight))
    step = attrs.evolve(
        step,
        status=next_step_status(name, step.status, StepEvent.START),
        message=check_sentence(message, "message"),
        started_version=task.version + 1,
    )
    steps = task.steps if known else (*task.steps, step)
    return _with_step(attrs.evolve(task, steps=steps, step=name), now, step, Cause.STEP_STARTED)


def update_step(
    task: Task,
    now: datetime,
    name: str,
    *,
    progress: float | None = None,
    message: str | None = None,
    fields: Mapping[str, Any] | None = None,
) -> Change:
    """Update the progress or the message of a running step.

    Raises:
        InvalidTransition: the step is not running.
        InvalidField: a value is invalid, or a further field has a reserved name.
    """
    step = _known_step(task, name)
    next_step_status(name, step.status, StepEvent.UPDATE)
    step = attrs.evolve(
        step,
        progress=step.progress if progress is None else max(step.progress, _check_percent(progress)),
        message=step.message if message is None else check_sentence(message, "message"),
    )
    return _with_step(attrs.evolve(task, step=name), now, step, Cause.STEP_UPDATED, fields)


def end_step(
    task: Task,
    now: datetime,
    name: str,
    status: StepStatus,
    *,
    message: str | None = None,
    error: str = "",
    fields: Mapping[str, Any] | None = None,
) -> Change:
    """End a step as completed, failed or skipped.

    A completed or skipped step counts as done in the task's progress, a failed one with the progress that it
    had reached.

    Raises:
        InvalidTransition: the task is not running, or the step cannot end with this status.
        InvalidField: a value is invalid, or a further field has a reserved name.
    """
    step = _known_step(task, name)
    if status not in STEP_ENDS:
        raise InvalidTransition(f"step {name!r} cannot end as {status.value}", field="step")
    step = attrs.evolve(
        step,
        status=next_step_status(name, step.status, STEP_ENDS[status]),
        progress=100.0 if status is StepStatus.COMPLETED else step.progress,
        message=step.message if message is None else check_sentence(message, "message"),
        error=default_blank(error, "error", _STEP_FAILED_MESSAGE if status is StepStatus.FAILED else ""),
    )
    return _with_step(task, now, step, Cause.STEP_ENDED, fields)


def roll_up(steps: Sequence[Step]) -> float:
    """Return the progress of a task from that of its steps, by their weights."""
    total = sum(step.weight for step in steps)
    done = sum(step.weight * (100.0 if step.status in _DONE else step.progress) for step in steps)
    return min(_STEPS_PERCENT_MAX, done / total) if total else 0.0


# --- parts --------------------------------------------------------------------------------------


def _stamp(task: Task, now: datetime) -> datetime:
    """Return the time to show for an operation; it is never before that of the operation before."""
    return max(task.updated_at, task.at(now))


def _next_version(task: Task, now: datetime, **changes: Any) -> Task:
    changed = attrs.evolve(task, version=task.version + 1, updated_at=_stamp(task, now), **changes)
    if changed.progress > task.progress and changed.started_at is not None:
        changed = attrs.evolve(changed, eta=_estimate_end(changed, now))
    return attrs.evolve(changed, eta_seconds=_eta_seconds(changed, now))


def _estimate_end(task: Task, now: datetime) -> datetime | None:
    """Estimate the end of a task in steady time, at its average rate so far, but not after its deadline."""
    elapsed_seconds = task.running_seconds(now)
    if elapsed_seconds <= 0:
        return None  # the rate is unknown
    left_seconds = elapsed_seconds * (100.0 - task.progress) / task.progress
    return now + timedelta(seconds=min(left_seconds, (task.deadline - task.at(now)).total_seconds()))


def _eta_seconds(task: Task, now: datetime) -> float | None:
    """Return the estimated time to the end in tenths (s): more than 0, and at most the time to the deadline.

    None if it is unknown: before any progress, and after the estimate has passed.
    """
    if task.eta is None:
        return None
    # The estimate is rounded up, its bound down.
    tenths = min(-((now - task.eta) // _TENTH), (task.deadline - task.updated_at) // _TENTH)
    return tenths / 10 if tenths > 0 else None


def _end(task: Task, now: datetime, event: TaskEvent, *, step_error: str = "", **changes: Any) -> Task:
    """End a task and its running steps, and drop its lease."""
    status = next_status(task.status, event)
    steps = tuple(_end_running_step(step, STEP_EVENT_AT_END[event], step_error) for step in task.steps)
    ended = _next_version(task, now, status=status, steps=steps, ended_at=_stamp(task, now), **changes)
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


def _known_step(task: Task, name: str) -> Step:
    next_status(task.status, TaskEvent.MOVE_STEP)
    step = task.find_step(name)
    if step is None:
        raise InvalidTransition(f"step {name!r} is not known", field="step")
    return step


def _with_step(
    task: Task, now: datetime, step: Step, cause: Cause, fields: Mapping[str, Any] | None = None
) -> Change:
    """Replace one step of a task, and roll the task's progress up from all of them."""
    fields = _copy_fields(fields)
    steps = tuple(step if known.name == step.name else known for known in task.steps)
    current = _current_step(task, steps)
    said = _step_message(step)
    if current is None or current.name == step.name:
        task_message = said
    else:  # a parallel step is the current one; the task's message is about it, or about the whole task
        task_message = task.message if current.name == task.step else _step_message(current)
    changed = _next_version(
        task,
        now,
        step=task.step if current is None else current.name,
        steps=steps,
        progress=max(task.progress, roll_up(steps)),
        message=task_message,
        details={**task.details, **fields} if fields else task.details,
    )
    shown: dict[str, Any] = {
        "message": said,
        "step_status": step.status.value,
        "step_progress": as_percent(step.progress),
    }
    if step.error:
        shown["step_error"] = step.error
    # The message is about this step, even if the task's current step is a parallel one.
    message = message_of(changed, PROGRESS, cause, shown | fields, (step,), step=step.name)
    return Change(task=changed, message=message)


def _current_step(task: Task, steps: Sequence[Step]) -> Step | None:
    """Return the current step; None if the work has named something else, or nothing.

    The current step is the one that reported last. Once it has ended, it is the most recently started step
    that still runs; without one, it stays.
    """
    current = next((step for step in steps if step.name == task.step), None)
    if current is None or not current.status.ended:
        return current
    running = [step for step in steps if step.status is StepStatus.RUNNING]
    return max(running, key=lambda step: step.started_version, default=current)


def _step_message(step: Step) -> str:
    """Return the sentence about a step: its error, its message, or else its status."""
    own = step.error or step.message
    return own if own.strip() else fit(f"The step {step.name} {_STEP_MESSAGES[step.status]}")


def _copy_fields(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    if not fields:
        return {}
    if taken := RESERVED_FIELDS.intersection(fields):
        raise InvalidField(f"{min(taken)!r} is one of the message's own fields", field=min(taken))
    # A copy, because the work may go on changing what it passed.
    return msgspec.json.decode(encode_json(fields, "fields"), type=dict[str, Any])


def _check_percent(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise InvalidField(f"progress must be a number from 0 to 100, got {value!r}", field="progress")
    return float(value)


def _check_weight(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _WEIGHT_MAX:
        raise InvalidField(
            f"a weight must be more than 0 and at most a million, got {value!r}", field="weight"
        )
    return float(value)
