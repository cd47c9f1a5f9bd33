"""The standard message of task streams, and a task as JSON.

The standard message is an SSE event of type ``progress``, ``complete``, ``error``, ``educational`` or
``status``. Its data always has the same fields, followed by the program's further fields. A kind may present
its messages in another shape (:attr:`.kinds.Kind.present`).

=================  ============================================================================
``step``           number of the current step, from 1; null before any step, and for a name that
                   the work chose and that is no step
``step_name``      its name; empty before any step
``steps``          the number of steps
``progress``       0 to 100, with one decimal, rounded down; 100 only in the message ``complete``
``message``        a sentence for people; the last one tells how the task ended
``eta_seconds``    estimated time from ``timestamp`` to the end (s); null if unknown
=================  ============================================================================

A message about one step has that step's number and name, and ``step_status``, ``step_progress`` and, if it
failed, ``step_error``. A snapshot and a task as JSON have all steps in ``step_list``.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ..errors import InvalidField
from ..events.control import format_time
from ..json import MESSAGE_ENVELOPE, encode_json
from .model import Cause, Message, Publication, Step, Task

PROGRESS: Final = "progress"
COMPLETE: Final = "complete"
ERROR: Final = "error"
EDUCATIONAL: Final = "educational"
STATUS: Final = "status"

_FLOAT_ERROR: Final = 1e-6  # of ten times a percentage: far more than the errors of sums and products

RESERVED_FIELDS: Final = frozenset(
    {
        "taskId",
        "version",
        "status",
        "step",
        "step_name",
        "steps",
        "progress",
        "message",
        "eta_seconds",
        "timestamp",
        "snapshot",
        "kind",
        "step_list",
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

_REDUCED_FIELDS: Final = ("taskId", "version", "status", "progress", "timestamp", "code")
_REDUCED_DATA_BYTES: Final = 800  # of the data of a reduced event

EVENT_TYPE_BYTES_MAX: Final = 64
"""Maximum size of a kind's event type, so that a reduced event has room for it."""

REDUCED_EVENT_BYTES: Final = 1000
"""Maximum size of a reduced event: its data, the topic of its task (134 at most) and its type."""


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
    task: Task,
    type: str,
    cause: Cause,
    fields: Mapping[str, Any],
    steps: tuple[Step, ...] = (),
    *,
    step: str | None = None,
) -> Message:
    """Build the standard message of one operation.

    Args:
        task: the task after the operation.
        type: the SSE event type.
        cause: the operation.
        fields: further fields; none has the name of a standard one.
        steps: the steps that the operation changed.
        step: name of the step that the message is about; None for the current one.
    """
    data: dict[str, Any] = {
        "taskId": task.id,
        "version": task.version,
        "status": task.status.value,
        **_position(task, task.step if step is None else step),
        "progress": as_percent(task.progress),
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
        # A task of an earlier version may have details whose names are reserved now.
        **{name: value for name, value in task.details.items() if name not in RESERVED_FIELDS},
        "snapshot": True,
        "kind": task.kind,
        "step_list": step_list(task),
        "text": text,
        "deadline": format_time(task.deadline),
        "created_at": format_time(task.created_at),
        "started_at": format_optional(task.started_at),
        "ended_at": format_optional(task.ended_at),
    }
    if task.error is not None:
        fields |= {"error": task.error.detail, "code": task.error.code}
    return message_of(task, STATUS, Cause.SNAPSHOT, fields)


def step_list(task: Task) -> list[dict[str, Any]]:
    """Build the JSON fields of all steps of a task, in their order."""
    return [
        {
            "step": number,
            "name": step.name,
            "status": step.status.value,
            "progress": as_percent(step.progress),
            "weight": int(step.weight) if step.weight.is_integer() else step.weight,
            "message": step.message,
            "error": step.error,
        }
        for number, step in enumerate(task.steps, 1)
    ]


def _position(task: Task, name: str) -> dict[str, Any]:
    return {"step": task.number_of(name), "step_name": name, "steps": len(task.steps)}


def task_fields(task: Task) -> dict[str, Any]:
    """Build the JSON fields of a task for HTTP answers; they do not include its lease."""
    return {
        "id": task.id,
        "kind": task.kind,
        "owner": task.owner,
        "status": task.status.value,
        "progress": as_percent(task.progress),
        **_position(task, task.step),
        "message": task.message,
        "step_list": step_list(task),
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


def reduce_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the fields of a message that fit into a reduced one, first of all those that clients need."""
    reduced: dict[str, Any] = {}
    for name in dict.fromkeys((*_REDUCED_FIELDS, *data)):
        if name not in data:
            continue
        longer = {**reduced, name: data[name]}
        try:
            size = len(encode_json(longer, "data", envelope=MESSAGE_ENVELOPE))
        except InvalidField:  # of a task that an earlier version stored
            continue
        if size <= _REDUCED_DATA_BYTES:
            reduced = longer
    return reduced


def standard(task: Task, message: Message) -> tuple[Publication, ...]:
    """Publish the standard message on the task's own topic: the default of :attr:`.kinds.Kind.present`."""
    return (Publication((task.topic,), message),)


def as_percent(value: float) -> float:
    """Round a percentage down to one decimal, and to an integer where that is exact.

    Nothing below 100 is shown as 100. A sum such as 28.999999999999996 is shown as 29.
    """
    tenths = math.floor(10 * value + _FLOAT_ERROR)
    if value < 100:
        tenths = min(tenths, 999)
    return tenths // 10 if tenths % 10 == 0 else tenths / 10


def format_optional(moment: datetime | None) -> str | None:
    """Format a time as RFC 3339, and None as None."""
    return None if moment is None else format_time(moment)
