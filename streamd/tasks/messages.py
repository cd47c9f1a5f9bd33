"""The standard message: what every task's stream says, unless its kind says it in another shape.

An SSE event of type ``progress``, ``complete``, ``error``, ``educational`` or ``status``, whose data has the
same fields each time; further ones pass through.
"""

from datetime import datetime
from typing import Any, Final

from ..events.control import format_time
from .model import Message, Step, Task

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
"""Fields that a program cannot pass along under these names: they have their meaning."""


def make_message(task: Task, type: str, /, **fields: Any) -> Message:
    """What is said of a task at its present version.

    Args:
        fields: further fields; they come after the standard ones, and never replace them.
    """
    standard: dict[str, Any] = {
        "taskId": task.id,
        "version": task.version,
        "status": task.status.value,
        "step": task.stage,
        "stage": task.stage,
        "progress": as_number(task.progress),
        "message": task.message,
        "eta_seconds": task.eta_seconds,
        "timestamp": format_time(task.updated_at),
    }
    return Message(type, standard | {name: fields[name] for name in fields if name not in standard})


def make_snapshot(task: Task, text: str) -> Message:
    """The present state of a task, for those who come late.

    Args:
        text: all that it has streamed so far.
    """
    return make_message(
        task,
        STATUS,
        **{
            **task.details,
            "snapshot": True,
            "kind": task.kind,
            "steps": [step_fields(step) for step in task.steps],
            "text": text,
            "deadline": format_time(task.deadline),
            "created_at": format_time(task.created_at),
            "started_at": format_optional(task.started_at),
            "ended_at": format_optional(task.ended_at),
            **({"error": task.error.detail, "code": task.error.code} if task.error else {}),
        },
    )


def step_fields(step: Step) -> dict[str, Any]:
    """A step as JSON."""
    return {
        "name": step.name,
        "status": step.status.value,
        "progress": as_number(step.progress),
        "weight": as_number(step.weight),
        "message": step.message,
        "error": step.error,
    }


def task_fields(task: Task) -> dict[str, Any]:
    """A task as JSON, for answers; its lease and its input are not shown."""
    return {
        "id": task.id,
        "kind": task.kind,
        "owner": task.owner,
        "status": task.status.value,
        "progress": as_number(task.progress),
        "stage": task.stage,
        "message": task.message,
        "steps": [step_fields(step) for step in task.steps],
        "details": task.details,
        "eta_seconds": task.eta_seconds,
        "error": {"code": task.error.code, "detail": task.error.detail} if task.error else None,
        "worker": task.worker,
        "created_at": format_time(task.created_at),
        "started_at": format_optional(task.started_at),
        "updated_at": format_time(task.updated_at),
        "ended_at": format_optional(task.ended_at),
        "deadline": format_time(task.deadline),
        "version": task.version,
        "has_result": task.has_result,
    }


def standard(task: Task, message: Message) -> Message:  # noqa: ARG001 - kinds may look at the task
    """The message as it is: how a kind presents its messages unless it says otherwise."""
    return message


def as_number(value: float) -> float:
    """Rounded to a tenth, and whole where that is whole, as people write it."""
    rounded = round(value, 1)
    return int(rounded) if rounded.is_integer() else rounded


def format_optional(moment: datetime | None) -> str | None:
    """RFC 3339, or null."""
    return None if moment is None else format_time(moment)
