"""The operations on steps: pure functions, as those on tasks in :mod:`.operations`.

Every change of a step rolls the task's progress up from all of its steps, by their weights, and makes a
message about that step.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs

from ..characters import quoted
from ..errors import InvalidTransition
from .checks import check_percent, check_weight, copy_fields
from .messages import PROGRESS, as_percent, message_of
from .model import Cause, Change, Step, Task
from .sentences import check_sentence, check_step_name, default_blank, fit
from .states import STEP_ENDS, StepEvent, StepStatus, TaskEvent, next_status, next_step_status
from .versions import next_version

_STEP_FAILED_MESSAGE: Final = "The step failed"
_STEP_MESSAGES: Final = {
    StepStatus.RUNNING: "is running",
    StepStatus.COMPLETED: "is complete",
    StepStatus.SKIPPED: "was skipped",
    StepStatus.FAILED: "failed",
}
_STEPS_PERCENT_MAX: Final = 99.0  # of steps alone: more of them may still be added
_DONE: Final = (StepStatus.COMPLETED, StepStatus.SKIPPED)


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
        step = attrs.evolve(step, weight=check_weight(weight))
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
        progress=step.progress if progress is None else max(step.progress, check_percent(progress)),
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
        raise InvalidTransition(f"step {quoted(name)} cannot end as {status.value}", field="step")
    step = attrs.evolve(
        step,
        status=next_step_status(name, step.status, STEP_ENDS[status]),
        progress=100.0 if status is StepStatus.COMPLETED else step.progress,
        message=step.message if message is None else check_sentence(message, "message"),
        error=default_blank(error, "error", _STEP_FAILED_MESSAGE if status is StepStatus.FAILED else ""),
    )
    return _with_step(task, now, step, Cause.STEP_ENDED, fields)


def _known_step(task: Task, name: str) -> Step:
    next_status(task.status, TaskEvent.MOVE_STEP)
    step = task.find_step(name)
    if step is None:
        raise InvalidTransition(f"step {quoted(name)} is not known", field="step")
    return step


def _with_step(
    task: Task, now: datetime, step: Step, cause: Cause, fields: Mapping[str, Any] | None = None
) -> Change:
    """Replace one step of a task, and roll the task's progress up from all of them."""
    fields = copy_fields(fields)
    steps = tuple(step if known.name == step.name else known for known in task.steps)
    current = _current_step(task, steps)
    said = _step_message(step)
    if current is None or current.name == step.name:
        task_message = said
    else:  # a parallel step is the current one; the task's message is about it, or about the whole task
        task_message = task.message if current.name == task.step else _step_message(current)
    changed = next_version(
        task,
        now,
        step=task.step if current is None else current.name,
        steps=steps,
        progress=max(task.progress, _roll_up(steps)),
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


def _roll_up(steps: Sequence[Step]) -> float:
    """Return the progress of a task from that of its steps, by their weights."""
    total = sum(step.weight for step in steps)
    done = sum(step.weight * (100.0 if step.status in _DONE else step.progress) for step in steps)
    return min(_STEPS_PERCENT_MAX, done / total) if total else 0.0
