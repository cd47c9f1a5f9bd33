"""The messages of an analysis: the standard messages in this service's shape."""

from collections.abc import Mapping
from typing import Any, Final

from ...tasks import COMPLETE, EDUCATIONAL, PROGRESS, STATUS, Cause, Message, Publication, Status, Task

PREFIX: Final = "/api/brand-monitor"
EVENT_TYPES: Final[Mapping[str, str]] = {
    COMPLETE: PROGRESS,
    EDUCATIONAL: PROGRESS,
    STATUS: PROGRESS,
}
"""The service's event types for the standard ones; see :attr:`streamd.tasks.Kind.event_types`."""

_PROGRESS_FIELDS: Final = ("taskId", "status", "progress", "stage", "message", "eta_seconds", "timestamp")
_ERROR_FIELDS: Final = ("taskId", "status", "error", "code", "progress", "stage", "message", "timestamp")


def present(task: Task, message: Message, *, root_path: str = "") -> list[Publication]:
    """Publish each message as ``progress`` or ``error``, on the task's own topic.

    An ended analysis has no snapshot: its last message alone says how it ended, so a client that stops at the
    first ``progress`` with the status ``completed`` finds the result there.

    Args:
        task, message: see :attr:`streamd.tasks.Kind.present`.
        root_path: the URL prefix for URLs in events, see :attr:`streamd.Streamd.root_path`.
    """
    if message.cause is Cause.SNAPSHOT and task.status.ended:
        return []
    return [Publication((task.topic,), _shape(task, message, root_path))]


def _shape(task: Task, message: Message, root_path: str) -> Message:
    data = message.data | {"stage": message.data["step_name"]}
    if task.status in (Status.FAILED, Status.CANCELLED):
        return Message("error", _pick(data, _ERROR_FIELDS))
    fields = _pick(data, _PROGRESS_FIELDS)
    if task.status is Status.COMPLETED:
        if "result" in data:
            fields["result"] = data["result"]
        else:
            fields["resultUrl"] = root_path + result_url(task.id)  # the result is too large for an event
    return Message("progress", fields)


def _pick(data: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: data[name] for name in names if name in data}


def result_url(task_id: str) -> str:
    """Return the path of an analysis' result, without the URL prefix."""
    return f"{PREFIX}/analyses/{task_id}"
