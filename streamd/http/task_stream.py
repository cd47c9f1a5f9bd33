"""The stream of one task as a response, and a task's state as headers."""

from ..connections import Connection, Group
from ..events import Selectors
from ..hub import Subscription
from ..tasks import Task, Tasks, as_percent, topic_of
from ..tasks.stream import Opening, TaskSource, open_task
from ..transports import StreamRequest
from ..transports.sse import EVENT_STREAM
from .callers import current_caller, find_task
from .conditions import task_etag
from .current import current_runtime, request_or_upgrade
from .requests import identity_of
from .responses import EventStream
from .stream_cursor import stream_cursor


async def task_stream(
    task_id: str,
    *,
    kind: str | None = None,
    group: Group | None = None,
    heartbeat_seconds: float | None = None,
    content_type: str = EVENT_STREAM,
) -> EventStream:
    """Build the response with which a view streams a task: its current state, each change, and its end.

    A client that sends a cursor resumes there. A client whose cursor is at or past the task's last message
    gets 204, which stops a browser's EventSource from reconnecting (WHATWG HTML section 9.2.3).

    Args:
        task_id: of the task.
        kind: the kind it must have; None for any.
        group: connections that share limits and statistics with this one.
        heartbeat_seconds: interval of heartbeats on a quiet stream (s); None for
            ``connections.heartbeat_seconds``.
        content_type: the ``Content-Type``, as for :class:`~streamd.http.EventStream`.

    Raises:
        Unauthorized: the caller has no token.
        NotFound: there is no such task of that kind, or not for this caller.
        Gone: the task was deleted.
        InvalidField: the cursor is not an event id.
        Unavailable: the task's stored messages were not published in time.
    """
    runtime = current_runtime()
    await find_task(task_id, kind=kind)
    cursor = stream_cursor()
    opening = await open_task(runtime.tasks, task_id, cursor, runtime.broker.log.head)
    if heartbeat_seconds is None:
        heartbeat_seconds = runtime.settings.connections.heartbeat_seconds
    stream_request = StreamRequest(
        selectors=Selectors(topics=(topic_of(task_id),)),
        after=opening.after,
        heartbeat_seconds=heartbeat_seconds,
        identity=identity_of(await current_caller(), request_or_upgrade().remote_addr),
        group=group,
    )
    return TaskStream(stream_request, runtime.tasks, task_id, opening, content_type)


def task_headers(task: Task) -> dict[str, str]:
    """Build the headers ``Task-Status``, ``Task-Progress`` and ``ETag`` (the task's version)."""
    return {
        "Task-Status": task.status.value,
        "Task-Progress": str(as_percent(task.progress)),
        "ETag": task_etag(task),
    }


class TaskStream(EventStream):
    """The response that :func:`task_stream` builds."""

    def __init__(
        self, stream_request: StreamRequest, tasks: Tasks, task_id: str, opening: Opening, content_type: str
    ) -> None:
        super().__init__(stream_request, content_type=content_type)
        self._tasks = tasks
        self._task_id = task_id
        self._begin: Opening | None = opening
        if opening.over:
            self.status_code = 204

    def _open_source(self, connection: Connection, subscription: Subscription) -> TaskSource:
        opening, self._begin = self._begin, None  # free the snapshot: the stream may last for hours
        assert opening is not None
        queue = connection.send_queue
        return TaskSource(self._tasks, self._task_id, subscription, queue, opening.frames, opening.end)

    _open_poll = _open_source
