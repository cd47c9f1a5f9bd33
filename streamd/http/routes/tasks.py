"""``/tasks``: create, list, follow, claim, report on and cancel tasks."""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import msgspec
from quart import Blueprint, request
from quart_schema import document_headers, document_querystring, document_request, document_response
from quart_trio.wrappers import TrioResponse

from ...auth import Caller, sees_all_tasks
from ...characters import check_text, quoted
from ...errors import Forbidden, InvalidBody, InvalidField, TooLarge
from ...json import EncodedJson, decode_shape, is_large
from ...tasks import Status, StepPlan, Task, task_fields
from ...tasks.messages import format_optional
from ...tasks.model import LOCAL
from ...tasks.reports import Report
from ...turns import Steps, one_step, request_turns, run_at_once
from .. import schema
from ..callers import demand_task, demand_tasks, find_task_of, is_visible
from ..conditions import Conditions, conditional_answer, document_conditions
from ..current import current_runtime
from ..hot.answer import HTTPAnswer, json_answer
from ..hot.request import HTTPRequest
from ..hot.view import hot
from ..idempotency import document_idempotency, idempotency_key
from ..json import json_response
from ..problems import document_problems
from ..requests import parse_limit, read_json, read_reason
from ..stream_routes import stream_route
from ..task_stream import task_headers, task_stream
from ..urls import public_url

tasks = Blueprint("streamd_tasks", __name__)

_CLAIMED_KINDS_MAX: Final = 100  # names in one claim, each a parameter of a query
_LISTED_MAX: Final = 1000  # tasks in one answer
_DESCRIBED_AT_ONCE: Final = 50  # tasks and steps of tasks, by the event loop: about a millisecond
_WORKER_CHARS_MAX: Final = 128
_NULL: Final = msgspec.Raw(b"null")


class NewTask(msgspec.Struct, forbid_unknown_fields=True):
    """A new task. With `worker` the caller starts it at once, and reports by the `lease` of the answer."""

    kind: str
    id: str | None = None
    owner: str = ""
    input: msgspec.Raw = msgspec.field(default_factory=lambda: _NULL)
    steps: list[schema.NewStep] = []
    timeout_seconds: float | None = None
    message: str = ""
    worker: str | None = None
    lease_seconds: float | None = None


class ReportBody(Report):
    """A report as it is read: its values of any shape stay JSON, as decoding large ones takes long."""

    fields: msgspec.Raw = msgspec.Raw(b"{}")  # type: ignore[assignment] # read as JSON
    result: msgspec.Raw = _NULL

    def decode(self, max_fields_bytes: int) -> Report:
        """Decode the further fields, if they are small enough, but not the result.

        Raises:
            InvalidBody: the fields are no object.
            TooLarge: they exceed ``max_fields_bytes``.
        """
        raw_fields = _compact(self.fields)
        if len(raw_fields) > max_fields_bytes:
            raise TooLarge(f"fields may have at most {max_fields_bytes} bytes as JSON", field="fields")
        try:
            fields: dict[str, Any] = decode_shape(raw_fields, dict[str, Any], noun="fields")
        except InvalidBody as error:
            raise InvalidBody(error.detail, field="fields") from error
        raw_result = _compact(self.result)
        result = None if raw_result == b"null" else EncodedJson(raw_result)
        return Report(**msgspec.structs.asdict(self) | {"fields": fields, "result": result})


class Claim(msgspec.Struct, forbid_unknown_fields=True):
    """A worker's claim of the oldest pending task of some kinds."""

    kinds: list[str]
    worker: str
    lease_seconds: float | None = None
    wait_seconds: float = 0.0


@tasks.post("/tasks")
@document_request(NewTask)
@document_response(schema.TaskSchema, 201)
@document_problems(400, 401, 403, 413, 415, 503, 504)
@document_idempotency
async def create_task() -> TrioResponse:
    """Create a task; the server starts it if it works on the kind itself."""
    runtime = current_runtime()
    settings = runtime.settings
    key = idempotency_key()
    caller = await demand_tasks()
    body = await read_json(NewTask, max_bytes=settings.tasks.max_body_bytes, envelope=1)
    known = runtime.tasks.kinds.get(body.kind)
    if known is not None and known.private:
        raise InvalidField(
            f"tasks of kind {quoted(body.kind)} are not made here, but by their service", field="kind"
        )
    task = await runtime.tasks.create(
        body.kind,
        id=body.id,
        owner=_owner(caller, body.owner),
        input=await _read_input(body.input, has_key=key is not None),
        steps=[StepPlan(step.name, step.weight) for step in body.steps],
        timeout_seconds=body.timeout_seconds,
        message=body.message,
        worker=_check_worker(body.worker) if body.worker is not None else None,
        lease_seconds=body.lease_seconds,
        idempotency_key=key,
    )
    return _answer(task, 201, lease=body.worker is not None, Location=public_url(f"/tasks/{task.id}"))


@tasks.get("/tasks")
@document_querystring(schema.TasksQuery)
@document_response(schema.TasksSchema, 200)
@document_problems(400, 401, 403, 503)
async def list_tasks() -> TrioResponse:
    """List tasks, the newest first."""
    runtime = current_runtime()
    caller = await demand_tasks()
    owner = request.args.get("owner")
    if not sees_all_tasks(caller):
        owner = _owner(caller, owner or "")
    found = await runtime.tasks.list(
        kind=request.args.get("kind"),
        status=_parse_status(request.args.get("status")),
        owner=owner,
        limit=parse_limit(request, _LISTED_MAX),
    )
    own = [task for task in found if is_visible(runtime.access, caller, task, runtime.tasks)]
    steps = _listing_steps(own, public_url(""))
    is_long = sum(1 + len(task.steps) for task in own) > _DESCRIBED_AT_ONCE
    listing = await request_turns().run(steps) if is_long else run_at_once(steps)
    return json_response(msgspec.Raw(listing))


@tasks.get("/tasks/<task_id>")
@document_conditions
@document_response(schema.TaskSchema, 200)
@document_response(schema.Nothing, 304)
@document_problems(401, 404, 410, 503)
@hot
async def get_task(request: HTTPRequest, task_id: str) -> HTTPAnswer:
    """Get a task; HEAD has ``Task-Status``, ``Task-Progress`` and ``ETag``, as GET does."""
    return conditional_answer(request.headers, _describe_to(request, await _find_task(request, task_id)))


@stream_route(tasks, "/tasks/<task_id>/events")
@document_querystring(schema.FollowQuery)
@document_headers(schema.ResumeHeaders)
@document_response(schema.EventStreamText, 200)
@document_response(schema.Nothing, 204)
@document_problems(400, 401, 404, 410, 429, 503)
async def follow_task(task_id: str) -> TrioResponse:
    """Stream a task: its current state, each change, and its end."""
    return await task_stream(task_id)


@tasks.get("/tasks/<task_id>/result")
@document_response(schema.AnyJson, 200)
@document_problems(401, 404, 409, 410, 503)
async def get_result(task_id: str) -> TrioResponse:
    """Get the result of a task, a JSON value; 409 with ``Retry-After`` until it has ended."""
    await demand_task(task_id)
    return json_response(await current_runtime().tasks.result(task_id))


@tasks.post("/tasks/<task_id>/cancel")
@document_request(schema.CancelSchema)
@document_conditions
@document_response(schema.TaskSchema, 200)
@document_problems(400, 401, 404, 409, 410, 413, 415, 503, 504)
async def cancel_task(task_id: str) -> TrioResponse:
    """Cancel a task; its worker learns of it at its next report."""
    await demand_task(task_id)
    reason = await read_reason()
    check = Conditions.of_request().check_task
    return _answer(await current_runtime().tasks.cancel(task_id, message=reason, check=check), 200)


@tasks.patch("/tasks/<task_id>")
@document_request(Report)
@document_conditions
@document_response(schema.TaskSchema, 200)
@document_problems(400, 401, 404, 409, 410, 413, 415, 503, 504)
@hot
async def report_on_task(request: HTTPRequest, task_id: str) -> HTTPAnswer:
    """Report progress or the end of a task; `cancelled` in the answer tells the worker to stop."""
    if not request.runtime.access.is_open:
        await _find_task(request, task_id)
    body = await request.read_json(ReportBody, envelope=1)
    report = body.decode(request.runtime.settings.tasks.max_details_bytes)
    check = Conditions.of(request.headers).check_task
    return _describe_to(request, await request.runtime.tasks.report(task_id, report, check=check), lease=True)


@tasks.post("/tasks/claim")
@document_request(Claim)
@document_response(schema.ClaimedSchema, 200)
@document_response(schema.Nothing, 204)
@document_problems(400, 401, 403, 413, 415, 503, 504)
@hot
async def claim_task(request: HTTPRequest) -> HTTPAnswer:
    """Claim the oldest pending task; the worker reports by the `lease` of the answer."""
    runtime = request.runtime
    runtime.access.demand_all_tasks(await request.identify())
    body = await request.read_json(Claim)
    if not body.kinds or len(body.kinds) > _CLAIMED_KINDS_MAX:
        raise InvalidField(f"kinds must name 1 to {_CLAIMED_KINDS_MAX} kinds", field="kinds")
    maximum = runtime.settings.poll.max_wait_seconds
    if not 0 <= body.wait_seconds <= maximum:
        raise InvalidField(f"wait_seconds must be from 0 to {maximum:g}", field="wait_seconds")
    claim = partial(
        runtime.tasks.claim,
        body.kinds,
        _check_worker(body.worker),
        lease_seconds=body.lease_seconds,
        wait_seconds=body.wait_seconds,
    )
    claimed = await (request.until_disconnect(claim) if body.wait_seconds else claim())
    if claimed is None:
        return HTTPAnswer(204, body=None)
    return _describe_to(request, claimed.task, lease=True, raw_input=claimed.raw_input)


async def _find_task(request: HTTPRequest, task_id: str) -> Task:
    """Return a task that the caller of a request may use.

    Raises:
        Unauthorized, NotFound, Gone: see :func:`~..callers.find_task_of`.
    """
    runtime = request.runtime
    return await find_task_of(runtime.access, await request.identify(), task_id, runtime.tasks)


def _describe_to(
    request: HTTPRequest, task: Task, *, lease: bool = False, raw_input: bytes | None = None
) -> HTTPAnswer:
    """Build the answer to a request that describes a task."""
    return json_answer(_fields(request.root_path, task, lease, raw_input), 200, task_headers(task))


def _compact(value: msgspec.Raw) -> bytes:
    """Return a checked value without white space."""
    return msgspec.json.format(bytes(value), indent=-1)


async def _read_input(raw: msgspec.Raw, *, has_key: bool) -> Any:
    """Return a task's input: its value, or JSON if it is large.

    Args:
        raw: the input, which was checked.
        has_key: the request has an idempotency key, so that the order of members should have no meaning.
    """
    if not is_large(bytes(raw)):
        return msgspec.json.decode(raw)
    if not has_key:
        return EncodedJson(_compact(raw))
    return EncodedJson(await request_turns().run(one_step(partial(_sort_members, raw))))


def _sort_members(raw: msgspec.Raw) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(raw), order="sorted")


def _answer(task: Task, status: int, *, lease: bool = False, **headers: str) -> TrioResponse:
    return json_response(_fields(public_url(""), task, lease), status, task_headers(task) | headers)


def _fields(prefix: str, task: Task, lease: bool, raw_input: bytes | None = None) -> dict[str, Any]:
    """Build the members that describe a task.

    Args:
        prefix: of the URLs.
        task: the task.
        lease: with the lease of its worker.
        raw_input: JSON of the input; None to leave it out.
    """
    fields = _describe(task, prefix)
    if lease and task.lease:
        fields |= {"lease": task.lease, "lease_until": format_optional(task.lease_until)}
    if raw_input is not None:
        fields["input"] = msgspec.Raw(raw_input)
    return fields


def _describe(task: Task, prefix: str) -> dict[str, Any]:
    url = f"{prefix}/tasks/{task.id}"
    return task_fields(task) | {
        "cancelled": task.status is Status.CANCELLED,
        "statusUrl": url,
        "eventsUrl": f"{url}/events",
        "resultUrl": f"{url}/result",
        "cancelUrl": f"{url}/cancel",
    }


def _listing_steps(tasks: Iterable[Task], prefix: str) -> Steps[bytes]:
    """Encode the JSON that lists tasks, in a step for each."""
    described = []
    for task in tasks:
        described.append(msgspec.json.encode(_describe(task, prefix)))
        yield
    return b'{"tasks":[' + b",".join(described) + b"]}"


def _owner(caller: Caller, named: str) -> str:
    """Return the owner of the tasks of a request.

    Raises:
        Forbidden: the caller may use its own tasks only, and names another owner, or has no user.
    """
    if sees_all_tasks(caller):
        return named
    if not caller.user:
        raise Forbidden("the token names no user, who would own the tasks", field="Authorization")
    if named not in ("", caller.user):
        raise Forbidden("the token grants the tasks of its own user only", field="owner")
    return caller.user


def _parse_status(text: str | None) -> Status | None:
    try:
        return None if text is None else Status(text)
    except ValueError:
        known = ", ".join(Status)
        raise InvalidField(f"status must be one of {known}; got {quoted(text)}", field="status") from None


def _check_worker(worker: str) -> str:
    if worker.startswith(LOCAL):
        raise InvalidField(f"worker must not begin with {LOCAL!r}", field="worker")
    return check_text(worker, "worker", max_chars=_WORKER_CHARS_MAX)
