"""``/api/v2``: the stream, the totals for clients that poll, and items coming in."""

import hashlib
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from quart import Blueprint, request
from quart_schema import document_headers, document_request, document_response
from quart_trio.wrappers import TrioResponse

from ...connections import Group
from ...errors import UnsupportedMediaType
from ...events import UnloggedEvent
from ...http import EventStream, schema
from ...http.problems import document_problems
from ...http.requests import JSON, read_body
from ...hub import Overflow
from ...runtime import Runtime
from .dashboard import Dashboard
from .feed import METRICS, METRICS_TOPIC
from .items import ITEMS_TOPIC, ItemsBody
from .totals import Metrics


class Accepted(Struct):
    """All items of the request are stored."""

    accepted: Annotated[int, Meta(description="Items whose id was not known; the others change nothing.")]
    item_ids: Annotated[list[str], Meta(description="Ids of all items of the request, in its order.")]


class StreamStatus(Struct):
    """How many streams there are."""

    connections: int
    max_connections: int
    uptime_seconds: float


class Unchanged(Struct):
    """The totals are those of the ``ETag`` that came with the request."""


NO_STORE: Final = {"Cache-Control": "no-store"}


def make_blueprint(runtime: Runtime, dashboard: Dashboard, group: Group) -> Blueprint:
    """The routes of the service.

    Args:
        dashboard: what they are about.
        group: the places of its streams.
    """
    settings = runtime.broker.settings.sentiment
    blueprint = Blueprint("streamd_sentiment", __name__, url_prefix="/api/v2")

    @blueprint.get("/stream")
    @document_headers(schema.ResumeHeaders)
    @document_response(schema.EventStreamText, 200)
    @document_problems(400, 429, 503)
    async def stream() -> EventStream:
        """The totals now, then `metrics` as they change, and `new_item` for every item that comes."""
        await dashboard.ready()
        await dashboard.settle()
        return EventStream(
            [METRICS_TOPIC, ITEMS_TOPIC],
            overflow=Overflow.LATEST,
            heartbeat_seconds=settings.heartbeat_seconds,
            heartbeat_always=True,
            group=group,
            opening=lambda: [UnloggedEvent(dashboard.metrics(), type=METRICS)],
        )

    @blueprint.get("/stream/status")
    @document_response(StreamStatus, 200)
    async def status() -> tuple[dict[str, Any], int, dict[str, str]]:
        """How many streams there are, and may be."""
        answer = {
            "connections": len(group),
            "max_connections": group.max_connections,
            "uptime_seconds": round(dashboard.uptime_seconds, 3),
        }
        return answer, 200, NO_STORE

    @blueprint.get("/metrics")
    @document_response(Metrics, 200)
    @document_response(Unchanged, 304)
    @document_problems(503)
    async def metrics() -> TrioResponse:
        """The totals now, for clients that poll: with `If-None-Match` 304 while nothing has changed."""
        await dashboard.ready()
        await dashboard.settle()
        body = msgspec.json.encode(dashboard.metrics())
        etag = hashlib.blake2b(body, digest_size=16).hexdigest()
        is_known = request.if_none_match.contains_weak(etag)
        response = TrioResponse(b"" if is_known else body, status=304 if is_known else 200, content_type=JSON)
        response.set_etag(etag)
        response.headers["Cache-Control"] = "no-cache"  # may be kept, if asked about each time
        return response

    @blueprint.post("/items")
    @document_request(ItemsBody)
    @document_response(Accepted, 202)
    @document_problems(400, 413, 415, 503)
    async def take_items() -> tuple[dict[str, Any], int, dict[str, str]]:
        """Take items, all or none: those without a score are scored, known ids are passed over."""
        if request.mimetype != JSON:
            raise UnsupportedMediaType(
                f"the body must be {JSON}, not {request.mimetype or 'without a content type'}",
                field="Content-Type",
            )
        taken = await dashboard.take(
            await read_body(request, runtime.broker.settings.events, settings.max_body_bytes)
        )
        return {"accepted": taken.new, "item_ids": list(taken.ids)}, 202, NO_STORE

    return blueprint
