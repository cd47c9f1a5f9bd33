"""The standard message of task streams, and a task as JSON.

The standard message is an SSE event of type ``progress``, ``complete``, ``error``, ``educational`` or
``status``. Its data always has the same fields, followed by the program's further fields. A kind may present
its messages in another shape (:attr:`.kinds.Kind.present`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ..events.control import format_time
from .model import Cause, Message, Publication, Step, Task

PROGRESS: Final = "progress"
COMPLETE: Final = "complete"
ERROR: Final = "error"
EDUCATIONAL: Final = "educational"
STATUS: Final = "status"

RESERVED_FIELDS: Final = frozenset(
    {
        "taskId",
        "version",
        "status",
        "step",
        "stage",
        "progress",
        "message",
        "eta_seconds",
        "timestamp",
        "snapshot",
        "kind",
        "steps",
        "text",
        "deadline",
        "created_at",
        "started_at",
        "ended_at",
        "error",
        "code",
        "result",
        "text_delta",
        "step_status",
        "step_progress",
        "step_error",
    }
)
"""Names of the standard message's own fields, which a program's further fields must not use."""


def make_message(task: Task, type: str, /, **fields: Any) -> Message:
    """Build the standard message for a task's current version.

    Args:
        task: the task after the change.
        type: the SSE event type.
        fields: further fields; they follow the standard ones and never replace them.
    """
    message = message_of(task, type, Cause.UPDATED, {})
    message.data.update({name: value for name, value in fields.items() if name not in message.data})
    return message


def message_of(
    task: Task, type: str, cause: Cause, fields: Mapping[str, Any], steps: tuple[Step, ...] = ()
) -> Message:
    """Build the standard message of one operation.

    Args:
        task: the task after the operation.
        type: the SSE event type.
        cause: the operation.
        fields: further fields; none has the name of a standard one.
        steps: the steps that the operation changed.
    """
    data: dict[str, Any] = {
        "taskId": task.id,
        "version": task.version,
        "status": task.status.value,
        "step": task.step,
        "stage": task.step,
        "progress": as_number(task.progress),
        "message": task.message,
        "eta_seconds": task.eta_seconds,
        "timestamp": format_time(task.updated_at),
    }
    data.update(fields)
    return Message(type, data, cause, steps)


def make_snapshot(task: Task, text: str) -> Message:
    """Build the snapshot message: the current state of a task, for a new follower.

    Args:
        text: the whole text that the task has streamed so far.
    """
    fields = {
        **task.details,
        "snapshot": True,
        "kind": task.kind,
        "steps": [step_fields(step) for step in task.steps],
        "text": text,
        "deadline": format_time(task.deadline),
        "created_at": format_time(task.created_at),
        "started_at": format_optional(task.started_at),
        "ended_at": format_optional(task.ended_at),
    }
    if task.error is not None:
        fields |= {"error": task.error.detail, "code": task.error.code}
    return message_of(task, STATUS, Cause.SNAPSHOT, fields)


def step_fields(step: Step) -> dict[str, Any]:
    """Build the JSON fields of a step."""
    return {
        "name": step.name,
        "status": step.status.value,
        "progress": as_number(step.progress),
        "weight": as_number(step.weight),
        "message": step.message,
        "error": step.error,
    }


def task_fields(task: Task) -> dict[str, Any]:
    """Build the JSON fields of a task for HTTP answers; they do not include its lease."""
    return {
        "id": task.id,
        "kind": task.kind,
        "owner": task.owner,
        "status": task.status.value,
        "progress": as_number(task.progress),
        "stage": task.step,
        "message": task.message,
        "steps": [step_fields(step) for step in task.steps],
        "details": task.details,
        "eta_seconds": task.eta_seconds,
        "error": {"code": task.error.code, "detail": task.error.detail} if task.error else None,
        "worker": task.public_worker,
        "created_at": format_time(task.created_at),
        "started_at": format_optional(task.started_at),
        "updated_at": format_time(task.updated_at),
        "ended_at": format_optional(task.ended_at),
        "deadline": format_time(task.deadline),
        "version": task.version,
        "has_result": task.has_result,
    }


def standard(task: Task, message: Message) -> tuple[Publication, ...]:
    """Publish the standard message on the task's own topic: the default of :attr:`.kinds.Kind.present`."""
    return (Publication((task.topic,), message),)


def as_number(value: float) -> float:
    """Round to one decimal, and to an integer where that is exact."""
    rounded = round(value, 1)
    return int(rounded) if rounded.is_integer() else rounded


def format_optional(moment: datetime | None) -> str | None:
    """Format a time as RFC 3339, and None as None."""
    return None if moment is None else format_time(moment)
