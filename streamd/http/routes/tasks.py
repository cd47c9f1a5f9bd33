"""``/tasks``: make, list, follow, work on and cancel long pieces of work."""

from typing import Any, Final

import msgspec
from quart import Blueprint, request
from quart.utils import encode_headers
from quart_schema import document_headers, document_querystring, document_request, document_response
from quart_trio.wrappers import TrioResponse

from ...connections import Group
from ...errors import InvalidField
from ...tasks import Status, StepPlan, Task, task_fields, topic_of
from ...tasks.messages import as_number, format_optional
from ...tasks.reports import Report, perform_report
from ...tasks.stream import Opening, TaskSource, open_task
from ...transports import open_stream
from ...transports.asgi import Scope, Send
from ...transports.sse import serve_sse
from .. import schema
from ..problems import document_problems
from ..requests import parse_cursor, parse_limit, read_json
from ..responses import EventStream, current_runtime

tasks = Blueprint("streamd_tasks", __name__)

_LIMIT: Final = 100
_WORKER_CHARS_MAX: Final = 128


class NewTask(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done. With `worker` the caller works on it, and reports by the `lease` of the answer."""

    kind: str
    id: str | None = None
    owner: str = ""
    input: Any = None
    steps: list[schema.NewStep] = []
    timeout_seconds: float | None = None
    message: str = ""
    worker: str | None = None
    lease_seconds: float | None = None


class Claim(msgspec.Struct, forbid_unknown_fields=True):
    """What a worker takes up: the oldest pending task of these kinds."""

    kinds: list[str]
    worker: str
    lease_seconds: float | None = None
    wait_seconds: float = 0.0


class Cancel(msgspec.Struct, forbid_unknown_fields=True):
    """Why, for those who follow it."""

    message: str = ""


@tasks.post("/tasks")
@document_request(NewTask)
@document_response(schema.Task, 201)
@document_problems(400, 409, 413, 415, 503)
async def create_task() -> TrioResponse:
    """Make a task; one of a kind that the server works on begins by itself."""
    runtime = current_runtime()
    settings = runtime.broker.settings
    body = await read_json(request, NewTask, settings.events, settings.tasks.max_body_bytes)
    known = runtime.tasks.kinds.get(body.kind)
    if known is not None and known.private:
        raise InvalidField(
            f"tasks of kind {body.kind!r} are not made here, but by their service", field="kind"
        )
    task = await runtime.tasks.create(
        body.kind,
        id=body.id,
        owner=body.owner,
        input=body.input,
        steps=[StepPlan(step.name, step.weight) for step in body.steps],
        timeout_seconds=body.timeout_seconds,
        message=body.message,
        worker=_check_worker(body.worker) if body.worker is not None else None,
        lease_seconds=body.lease_seconds,
    )
    return _answer(task, 201, lease=body.worker is not None, Location=f"/tasks/{task.id}")


@tasks.get("/tasks")
@document_querystring(schema.TasksQuery)
@document_response(schema.Tasks, 200)
@document_problems(400)
async def list_tasks() -> TrioResponse:
    """Tasks, the newest first."""
    runtime = current_runtime()
    found = await runtime.tasks.list(
        kind=request.args.get("kind"),
        status=_parse_status(request.args.get("status")),
        owner=request.args.get("owner"),
        limit=parse_limit(request, runtime.broker.settings.tasks.max_listed),
    )
    return _json({"tasks": [task_fields(task) for task in found]})


@tasks.get("/tasks/<task_id>")
@document_response(schema.Task, 200)
@document_problems(404, 410)
async def get_task(task_id: str) -> TrioResponse:
    """A task as it is now; HEAD has ``Task-Status``, ``Task-Progress`` and ``ETag``, as GET does."""
    return _answer(await current_runtime().tasks.get(task_id), 200)


@tasks.get("/tasks/<task_id>/events")
@document_headers(schema.ResumeHeaders)
@document_response(schema.EventStreamText, 200)
@document_response(schema.Nothing, 204)
@document_problems(400, 404, 410, 429, 503)
async def follow_task(task_id: str) -> TrioResponse:
    """Its present state, then everything that happens to it, until its end."""
    return await task_stream(task_id)


@tasks.get("/tasks/<task_id>/result")
@document_response(schema.AnyJson, 200)
@document_problems(404, 409, 410)
async def get_result(task_id: str) -> TrioResponse:
    """What it came to, a JSON value; 409 with ``Retry-After`` until it has ended."""
    return _json(await current_runtime().tasks.result(task_id))


@tasks.post("/tasks/<task_id>/cancel")
@document_response(schema.Task, 200)
@document_problems(400, 404, 409, 410)
async def cancel_task(task_id: str) -> TrioResponse:
    """End a task that nobody wants any more; its worker is told at its next report."""
    runtime = current_runtime()
    body = Cancel()
    if request.mimetype:
        body = await read_json(request, Cancel, runtime.broker.settings.events)
    return _answer(await runtime.tasks.cancel(task_id, message=body.message), 200)


@tasks.patch("/tasks/<task_id>")
@document_request(Report)
@document_response(schema.Task, 200)
@document_problems(400, 404, 409, 410, 413, 415)
async def report_on_task(task_id: str) -> TrioResponse:
    """A worker says how far it is, or how it ended; `cancelled` in the answer tells it to stop."""
    runtime = current_runtime()
    report = await read_json(request, Report, runtime.broker.settings.events)
    return _answer(await perform_report(runtime.tasks, task_id, report), 200, lease=True)


@tasks.post("/tasks/claim")
@document_request(Claim)
@document_response(schema.Task, 200)
@document_response(schema.Nothing, 204)
@document_problems(400, 413, 415)
async def claim_task() -> TrioResponse:
    """Take up the oldest pending task; the `lease` of the answer is the key to report on it."""
    runtime = current_runtime()
    body = await read_json(request, Claim, runtime.broker.settings.events)
    if not body.kinds or len(body.kinds) > _LIMIT:
        raise InvalidField(f"kinds must name 1 to {_LIMIT} kinds", field="kinds")
    for kind in body.kinds:
        known = runtime.tasks.kinds.get(kind)
        if known is not None and known.work is not None:
            raise InvalidField(f"tasks of kind {kind!r} are worked on by the server itself", field="kinds")
    most = runtime.broker.settings.tasks.max_claim_wait_seconds
    if not 0 <= body.wait_seconds <= most:
        raise InvalidField(f"wait_seconds must be from 0 to {most:g}", field="wait_seconds")
    task = await runtime.tasks.claim(
        body.kinds,
        _check_worker(body.worker),
        lease_seconds=body.lease_seconds,
        wait_seconds=body.wait_seconds,
    )
    if task is None:
        return TrioResponse(b"", status=204)
    return _answer(task, 200, lease=True, input=True)


# --- for other views --------------------------------------------------------------------------


async def task_stream(
    task_id: str,
    *,
    kind: str | None = None,
    group: Group | None = None,
    heartbeat_seconds: float | None = None,
) -> EventStream:
    """The stream of a task, for a view to return: its present state, what comes after it, and its end.

    A client that brings a cursor goes on from there; one that has the end already is answered 204, which
    stops a browser's reconnecting (WHATWG HTML 9.2.3).

    Args:
        kind: that it must be of; None for any.
        group: connections that share bounds and an account with this one.
        heartbeat_seconds: quiet time before a heartbeat (s); None for ``tasks.heartbeat_seconds``.

    Raises:
        NotFound, Gone: there is no such task, or not any more.
        InvalidField: the cursor is none.
        Unavailable: what is stored of it could not be published in time.
    """
    runtime = current_runtime()
    await runtime.tasks.get(task_id, kind=kind)
    cursor = parse_cursor(request, "last_event_id")
    opening = await open_task(runtime.tasks, task_id, cursor, runtime.broker.log.head)
    if heartbeat_seconds is None:
        heartbeat_seconds = runtime.broker.settings.tasks.heartbeat_seconds
    return TaskStream(task_id, opening, group=group, heartbeat_seconds=heartbeat_seconds)


def task_headers(task: Task) -> dict[str, str]:
    """Status, progress and version of a task, as headers."""
    return {
        "Task-Status": task.status.value,
        "Task-Progress": str(as_number(task.progress)),
        "ETag": f'"{task.version}"',
    }


class TaskStream(EventStream):
    """The response that :func:`task_stream` makes."""

    def __init__(self, task_id: str, opening: Opening, **options: Any) -> None:
        super().__init__(topic_of(task_id), **options)
        self._tasks = current_runtime().tasks
        self._task_id = task_id
        self._begin: Opening | None = opening
        self._start_after(opening.after)
        if opening.over:
            self.status_code = 204

    async def _serve_log(self, scope: Scope, send: Send) -> None:
        opening, self._begin = self._begin, None  # the stream may last for long
        assert opening is not None
        broker = self._broker
        with open_stream(broker, "sse", self._request) as (connection, subscription):
            source = TaskSource(
                self._tasks,
                self._task_id,
                subscription,
                connection.send_queue,
                opening.view,
                opening.end,
            )
            del opening
            headers = encode_headers(self.headers)
            with source:
                await serve_sse(broker, connection, source, scope, send, headers)


def _answer(
    task: Task, status: int, *, lease: bool = False, input: bool = False, **headers: str
) -> TrioResponse:
    fields = task_fields(task) | {
        "cancelled": task.status is Status.CANCELLED,
        "eventsUrl": f"/tasks/{task.id}/events",
        "resultUrl": f"/tasks/{task.id}/result",
    }
    if lease and task.lease:
        fields |= {"lease": task.lease, "lease_until": format_optional(task.lease_until)}
    if input:
        fields["input"] = msgspec.Raw(task.raw_input)
    return _json(fields, status, task_headers(task) | headers)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> TrioResponse:
    response = TrioResponse(msgspec.json.encode(value), status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers or {})
    return response


def _parse_status(text: str | None) -> Status | None:
    try:
        return Status(text) if text else None
    except ValueError:
        known = ", ".join(Status)
        raise InvalidField(f"status must be one of {known}; got {text!r}", field="status") from None


def _check_worker(worker: str) -> str:
    if (
        not worker
        or len(worker) > _WORKER_CHARS_MAX
        or not worker.isprintable()
        or worker.startswith("local:")
    ):
        raise InvalidField(
            f"worker must be 1 to {_WORKER_CHARS_MAX} printable characters, and not begin with 'local:'",
            field="worker",
        )
    return worker
