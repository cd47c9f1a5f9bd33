"""How an analysis is spoken of: the standard messages in this service's own shape."""

from typing import Any, Final

from ...tasks import Message, Publication, Status, Task

PREFIX: Final = "/api/brand-monitor"

_PROGRESS_FIELDS: Final = ("taskId", "status", "progress", "stage", "message", "eta_seconds", "timestamp")
_ERROR_FIELDS: Final = ("taskId", "status", "error", "code", "progress", "stage", "message", "timestamp")


def present(task: Task, message: Message) -> list[Publication]:
    """Publish each message on the task's own topic alone, in this service's shape."""
    return [Publication((task.topic,), shape_message(task, message))]


def shape_message(task: Task, message: Message) -> Message:
    """A standard message as ``progress`` or ``error``.

    The snapshot of an analysis that has ended is a ``status`` event: its last message follows at once, and a
    client that stops at the first ``progress`` with the status ``completed`` finds the result there.
    """
    data = message.data
    if data.get("snapshot"):
        return Message("status" if task.status.ended else "progress", _pick(data, _PROGRESS_FIELDS))
    if task.status in (Status.FAILED, Status.CANCELLED):
        return Message("error", _pick(data, _ERROR_FIELDS))
    fields = _pick(data, _PROGRESS_FIELDS)
    if task.status is Status.COMPLETED:
        fields["message"] = "The analysis is complete"
        if "result" in data:
            fields["result"] = data["result"]
        else:
            fields["resultUrl"] = result_url(task.id)  # it is too large for an event
    return Message("progress", fields)


def _pick(data: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: data[name] for name in names if name in data}


def progress_url(task_id: str) -> str:
    """Where an analysis is followed."""
    return f"{PREFIX}/progress/{task_id}"


def result_url(task_id: str) -> str:
    """Where its result is."""
    return f"{PREFIX}/analyses/{task_id}"


def health_fields(statistics: dict[str, Any]) -> dict[str, Any]:
    """What the statistics of the service's connections say of its health.

    ``connectionHealth`` is of the connections there are, ``averageConnectionTime`` (s) and
    ``connectionErrors`` of all since the start.
    """
    by_health = statistics["by_health"]
    well = not by_health["unhealthy"] and not by_health["stale"]
    return {
        "status": "healthy" if well else "degraded",
        "totalConnections": statistics["total"],
        "activeConnections": statistics["active"],
        "connectionHealth": {state: by_health[state] for state in ("healthy", "unhealthy", "stale")},
        "averageConnectionTime": statistics["average_connection_seconds"],
        "connectionErrors": statistics["errors"],
    }
