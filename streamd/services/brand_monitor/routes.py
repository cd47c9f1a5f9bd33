"""``/api/brand-monitor``: ask for an analysis, follow it, fetch or cancel it, and see how the streams do."""

import secrets
from typing import Any, Final

import msgspec
import trio
from quart import Blueprint
from quart_schema import document_request, document_response
from quart_trio.wrappers import TrioResponse

from ...connections import Group
from ...errors import InvalidField, StreamdError, TaskExists
from ...http import (
    EventStream,
    EventStreamText,
    document_problems,
    json_response,
    read_json,
    task_headers,
    task_stream,
)
from ...runtime import Runtime
from ...transports.sse import HEADERS
from .analysis import KIND, STEPS
from .requests import AnalysisBody, pack, parse_analysis
from .settings import BrandMonitorSettings
from .waiting import WaitingRoom
from .wire import PREFIX, health_fields, progress_url, result_url


class Started(msgspec.Struct, rename="camel"):
    """The analysis is on its way."""

    task_id: str
    progress_url: str
    result_url: str


class ConnectionHealth(msgspec.Struct, rename="camel"):
    """Connections by how they do."""

    healthy: int
    unhealthy: int
    stale: int


class MonitorHealth(msgspec.Struct, rename="camel"):
    """How the streams of progress do."""

    status: str
    total_connections: int
    active_connections: int
    connection_health: ConnectionHealth
    average_connection_time: float
    connection_errors: int


class Cancelled(msgspec.Struct, rename="camel"):
    """The analysis was cancelled."""

    task_id: str
    status: str


class Result(msgspec.Struct, rename="camel"):
    """What an analysis came to."""

    brand: str
    competitors: list[str]
    period: dict[str, str] | None
    mentions: dict[str, int]
    share_of_voice: list[dict[str, Any]]
    sentiment: dict[str, Any]
    terms: dict[str, Any]


def make_blueprint(
    runtime: Runtime, waiting: WaitingRoom, group: Group, settings: BrandMonitorSettings
) -> Blueprint:
    """The views of the service.

    Args:
        waiting: where analyses wait until they begin.
        group: whose places the streams take.
    """
    blueprint: Final = Blueprint("streamd_brand_monitor", __name__, url_prefix=PREFIX)
    tasks: Final = runtime.tasks

    @blueprint.post("/analyses")
    @document_request(AnalysisBody)
    @document_response(Started, 202)
    @document_problems(400, 409, 413, 415, 503)
    async def start() -> TrioResponse:
        """Analyse what was said of a brand: share of voice, sentiment and terms."""
        raw = await read_json(msgspec.Raw, max_bytes=settings.max_body_bytes)

        def read() -> tuple[str | None, bytes]:
            wanted = parse_analysis(bytes(raw), settings)
            return wanted.task_id, pack(wanted)

        # In a thread, because ten thousand mentions take a tenth of a second.
        chosen_id, packed = await trio.to_thread.run_sync(read)
        task_id = chosen_id if chosen_id is not None else secrets.token_hex(12)
        await _create(runtime, waiting, task_id, packed)
        urls = {"progressUrl": progress_url(task_id), "resultUrl": result_url(task_id)}
        return json_response({"taskId": task_id, **urls}, 202, {"Location": urls["resultUrl"]})

    @blueprint.route("/progress/<task_id>", methods=["HEAD"])
    async def look(task_id: str) -> TrioResponse:
        """How far an analysis is, in headers alone."""
        headers = task_headers(await tasks.get(task_id, kind=KIND))
        response = TrioResponse(b"", headers={**HEADERS, **headers})
        del response.headers["Content-Length"]  # that of the stream is not known
        return response

    @blueprint.get("/progress/<task_id>")
    @document_response(EventStreamText, 200)
    @document_problems(404, 410, 503)
    async def follow(task_id: str) -> EventStream | TrioResponse:
        """Follow an analysis: `progress` events, the last with the result, or an `error`."""
        return await task_stream(
            task_id, kind=KIND, group=group, heartbeat_seconds=settings.heartbeat_seconds
        )

    @blueprint.get("/analyses/<task_id>")
    @document_response(Result, 200)
    @document_problems(404, 409, 410)
    async def result(task_id: str) -> TrioResponse:
        """What an analysis came to; 409 with Retry-After until it is done."""
        return json_response(await tasks.result(task_id, kind=KIND))

    @blueprint.post("/analyses/<task_id>/cancel")
    @document_response(Cancelled, 200)
    @document_problems(404, 409, 410)
    async def cancel(task_id: str) -> TrioResponse:
        """End an analysis that nobody wants any more."""
        await tasks.get(task_id, kind=KIND)
        task = await tasks.cancel(task_id, message="The analysis was cancelled")
        return json_response({"taskId": task.id, "status": task.status.value})

    @blueprint.get("/health")
    @document_response(MonitorHealth, 200)
    async def health() -> TrioResponse:
        """The connections of this service, and how they do."""
        return json_response(health_fields(group.statistics()))

    return blueprint


async def _create(runtime: Runtime, waiting: WaitingRoom, task_id: str, packed: bytes) -> None:
    """Keep the analysis, and make the task that takes it.

    Raises:
        InvalidField, TaskExists: the id cannot be one, or is taken.
        Unavailable: too many analyses wait already.
    """
    handle = await waiting.put(task_id, packed)
    try:
        await runtime.tasks.create(
            KIND, id=task_id, input={"handle": handle}, steps=STEPS, message="Waiting to begin"
        )
    except StreamdError as error:
        await waiting.take(handle)
        if isinstance(error, InvalidField | TaskExists) and error.field == "id":
            raise type(error)(error.detail, field="taskId") from error
        raise
