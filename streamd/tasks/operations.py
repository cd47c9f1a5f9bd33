"""What can be done with a task: pure functions from a task to what it becomes.

Each checks the tables of :mod:`.model`, and makes the next version with the one message that tells of it.
None of them looks at a clock or a store. Progress never falls: a smaller figure than the present one is
taken as "still there".
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import msgspec

from ..errors import InvalidField, InvalidTransition
from .messages import COMPLETE, EDUCATIONAL, ERROR, PROGRESS, RESERVED_FIELDS, STATUS, as_number, message_of
from .model import (
    STEP_TRANSITIONS,
    TRANSITIONS,
    Cause,
    Change,
    Status,
    Step,
    StepPlan,
    StepStatus,
    Task,
    TaskError,
)

Operation = Callable[[Task], Sequence[Change]]
"""What is done with a task in one transaction: its changes, in order, each from the one before."""

UNSHOWN: Final = object()
"""In the place of a result that is too large for a message."""

UPDATE_TYPES = (PROGRESS, EDUCATIONAL, STATUS)
"""Types of message that the work itself may choose; the others begin and end a task."""

CANCELLED = "cancelled"
STALLED = "stalled"
TIMEOUT = "timeout"
INTERNAL = "internal"

_ALMOST = 99.0  # the most that steps make of a task's progress (%)
_MESSAGE_CHARS_MAX = 2000  # of a message, stage or error: sentences for people, not documents


def fit(sentence: str) -> str:
    """A sentence as it can be said: what work raises may be longer, or no text at all."""
    return sentence.encode(errors="replace").decode()[:_MESSAGE_CHARS_MAX]


def create(
    *,
    id: str,
    kind: str,
    now: datetime,
    timeout_seconds: float,
    owner: str = "",
    message: str = "",
    steps: Sequence[StepPlan] = (),
) -> Change:
    """A task that waits for a worker."""
    task = Task(
        id=id,
        kind=kind,
        owner=owner,
        message=_text(message, "message"),
        steps=tuple(Step(plan.name, weight=_weight(plan.weight)) for plan in steps),
        created_at=now,
        updated_at=now,
        deadline=now + timedelta(seconds=timeout_seconds),
    )
    return Change(task=task, message=message_of(task, STATUS, Cause.CREATED, {}))


def start(task: Task, now: datetime, *, worker: str, lease: str, lease_seconds: float) -> Change:
    """A worker has taken it up.

    Raises:
        InvalidTransition: it is not pending.
    """
    started = _next(
        _moved(task, Status.RUNNING),
        now,
        started_at=now,
        worker=worker,
        lease=lease,
        lease_seconds=lease_seconds,
        lease_until=now + timedelta(seconds=lease_seconds),
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
    """The work says how far it is.

    Raises:
        InvalidTransition: it is not running.
        InvalidField: a value is wrong, or a further field has a name that is taken.
    """
    _must_run(task)
    if type not in UPDATE_TYPES:
        raise InvalidField(f"type must be one of {', '.join(UPDATE_TYPES)}; got {type!r}", field="type")
    fields = _further(fields)
    changed = _next(
        task,
        now,
        progress=max(task.progress, _percent(progress)) if progress is not None else task.progress,
        step=task.step if step is None else _text(step, "stage"),
        message=task.message if message is None else _text(message, "message"),
        details={**task.details, **fields} if fields else task.details,
        text_bytes=task.text_bytes + _size(text),
    )
    if text:
        fields["text_delta"] = text
    return Change(task=changed, message=message_of(changed, type, Cause.UPDATED, fields), text=text)


def start_step(
    task: Task, now: datetime, name: str, *, weight: float | None = None, message: str = ""
) -> Change:
    """A step begins; one that was not planned is added.

    Raises:
        InvalidTransition: the task is not running, or the step began before.
        InvalidField: the name or the weight cannot be one.
    """
    _must_run(task)
    if not _text(name, "step") or not name.isprintable():
        raise InvalidField("a step needs a name of printable text", field="step")
    known = task.find_step(name)
    step = known or Step(name)
    if weight is not None:
        step = attrs.evolve(step, weight=_weight(weight))
    step = attrs.evolve(_step_moved(step, StepStatus.RUNNING), message=_text(message, "message"))
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
    """A step says how far it is.

    Raises:
        InvalidTransition: it is not running.
    """
    step = _running_step(task, name)
    step = attrs.evolve(
        step,
        progress=step.progress if progress is None else max(step.progress, _percent(progress)),
        message=step.message if message is None else _text(message, "message"),
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
    """A step is over: completed, failed or skipped; each counts as done in the task's progress.

    Raises:
        InvalidTransition: the task is not running, or the step cannot end that way.
    """
    step = _known_step(task, name)
    step = attrs.evolve(
        _step_moved(step, status),
        progress=100.0 if status is StepStatus.COMPLETED else step.progress,
        message=step.message if message is None else _text(message, "message"),
        error=_text(error, "error"),
    )
    return _with_step(task, now, step, Cause.STEP_ENDED, fields)


def complete(
    task: Task, now: datetime, *, result: bytes, message: str | None = None, shown_result: Any = UNSHOWN
) -> Change:
    """The work is done.

    Args:
        result: JSON.
        shown_result: for the message; ``UNSHOWN`` leaves it to be fetched.

    Raises:
        InvalidTransition: the task is not running.
    """
    steps = tuple(
        attrs.evolve(step, status=StepStatus.COMPLETED, progress=100.0)
        if step.status is StepStatus.RUNNING  # whoever worked on it did not say so, and is done all the same
        else step
        for step in task.steps
    )
    ended = _ended(
        task,
        Status.COMPLETED,
        now,
        steps=steps,
        progress=100.0,
        eta_seconds=0.0,
        message=task.message if message is None else _text(message, "message"),
        has_result=True,
    )
    fields = {} if shown_result is UNSHOWN else {"result": shown_result}
    end = message_of(ended, COMPLETE, Cause.COMPLETED, fields, _ended_steps(task, ended))
    return Change(task=ended, message=end, result=result)


def fail(task: Task, now: datetime, *, code: str, detail: str) -> Change:
    """The work cannot be done.

    Raises:
        InvalidTransition: the task has ended.
    """
    return _end_with_error(task, Status.FAILED, now, TaskError(code, _text(detail, "error")))


def cancel(task: Task, now: datetime, *, detail: str = "") -> Change:
    """Nobody wants it any more.

    Raises:
        InvalidTransition: the task has ended.
    """
    error = TaskError(CANCELLED, _text(detail, "message") or "it was cancelled")
    return _end_with_error(task, Status.CANCELLED, now, error)


def renew_lease(task: Task, until: datetime) -> Change:
    """Extend the lease of a running task; the version stays, and nothing is published."""
    return Change(task=attrs.evolve(task, lease_until=until))


# --- their parts ------------------------------------------------------------------------------


def _next(task: Task, now: datetime, **changes: Any) -> Task:
    changed = attrs.evolve(task, version=task.version + 1, updated_at=now, **changes)
    if changed.progress > task.progress and changed.started_at is not None:
        elapsed = (now - changed.started_at).total_seconds()
        remaining = (100.0 - changed.progress) / changed.progress
        changed = attrs.evolve(changed, eta_seconds=round(max(0.0, elapsed) * remaining, 1))
    return changed


def _moved(task: Task, status: Status) -> Task:
    if status not in TRANSITIONS[task.status]:
        raise InvalidTransition(
            f"the task is {task.status.value} and cannot become {status.value}", field="status"
        )
    return attrs.evolve(task, status=status)


def _must_run(task: Task) -> None:
    if task.status is not Status.RUNNING:
        raise InvalidTransition(f"the task is {task.status.value}, not running", field="status")


def _ended(task: Task, status: Status, now: datetime, **changes: Any) -> Task:
    return attrs.evolve(_next(_moved(task, status), now, ended_at=now, **changes), lease="", lease_until=None)


def _end_with_error(task: Task, status: Status, now: datetime, error: TaskError) -> Change:
    steps = tuple(
        attrs.evolve(step, status=StepStatus.FAILED, error=error.detail)
        if step.status is StepStatus.RUNNING
        else step
        for step in task.steps
    )
    ended = _ended(task, status, now, error=error, eta_seconds=None, message=error.detail, steps=steps)
    cause = Cause.CANCELLED if status is Status.CANCELLED else Cause.FAILED
    fields = {"error": error.detail, "code": error.code}
    return Change(task=ended, message=message_of(ended, ERROR, cause, fields, _ended_steps(task, ended)))


def _ended_steps(before: Task, after: Task) -> tuple[Step, ...]:
    """Return the steps that were running when the task ended, as they are after its end."""
    return tuple(
        now for was, now in zip(before.steps, after.steps, strict=True) if was.status is StepStatus.RUNNING
    )


def _step_moved(step: Step, status: StepStatus) -> Step:
    if status not in STEP_TRANSITIONS[step.status]:
        raise InvalidTransition(
            f"step {step.name!r} is {step.status.value} and cannot become {status.value}", field="step"
        )
    return attrs.evolve(step, status=status)


def _known_step(task: Task, name: str) -> Step:
    _must_run(task)
    step = task.find_step(name)
    if step is None:
        raise InvalidTransition(f"step {name!r} is not known", field="step")
    return step


def _running_step(task: Task, name: str) -> Step:
    step = _known_step(task, name)
    if step.status is not StepStatus.RUNNING:
        raise InvalidTransition(f"step {name!r} is {step.status.value}, not running", field="step")
    return step


def _with_step(
    task: Task, now: datetime, step: Step, cause: Cause, fields: Mapping[str, Any] | None = None
) -> Change:
    """The task with one of its steps changed, and its progress rolled up from all of them."""
    fields = _further(fields)
    steps = tuple(step if known.name == step.name else known for known in task.steps)
    changed = _next(
        task,
        now,
        steps=steps,
        progress=max(task.progress, roll_up(steps)),
        message=step.error or step.message or task.message,
        details={**task.details, **fields} if fields else task.details,
    )
    shown = {"step_status": step.status.value}
    if step.error:
        shown["step_error"] = step.error
    message = message_of(changed, PROGRESS, cause, shown | fields, (step,))
    # The message speaks of this step, also where others run beside it.
    message.data.update(step=step.name, stage=step.name, step_progress=as_number(step.progress))
    return Change(task=changed, message=message)


def roll_up(steps: Sequence[Step]) -> float:
    """The progress of a task from that of its steps, by their weights.

    It stays below 100: only the end of the task is that, and further steps may be added before.
    """
    total = sum(step.weight for step in steps)
    done = sum(step.weight * (100.0 if step.status.ended else step.progress) for step in steps)
    return min(_ALMOST, done / total) if total else 0.0


def _further(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    if fields and (taken := RESERVED_FIELDS.intersection(fields)):
        raise InvalidField(f"{min(taken)!r} is one of the message's own fields", field=min(taken))
    if not fields:
        return {}
    try:
        # A copy: what the work goes on filling must not change what was said.
        return msgspec.json.decode(msgspec.json.encode(fields), type=dict[str, Any])
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidField(f"fields must be JSON values: {error}", field="fields") from error


def _percent(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise InvalidField(f"progress must be a number from 0 to 100, got {value!r}", field="progress")
    return float(value)


def _weight(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1_000_000:
        raise InvalidField(
            f"a weight must be more than 0 and at most a million, got {value!r}", field="weight"
        )
    return float(value)


def _size(text: str, field: str = "text") -> int:
    """Bytes of some text in UTF-8."""
    if not isinstance(text, str):
        raise InvalidField(f"{field} must be text", field=field)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidField(f"{field} holds what UTF-8 cannot", field=field) from None


def _text(value: str, field: str) -> str:
    _size(value, field)
    if len(value) > _MESSAGE_CHARS_MAX:
        raise InvalidField(f"{field} may have at most {_MESSAGE_CHARS_MAX} characters", field=field)
    return value
