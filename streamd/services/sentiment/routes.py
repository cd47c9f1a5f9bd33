"""The routes below ``/api/v2``: the stream, the totals for polling clients, and posting items."""

import hashlib
from collections.abc import Callable

import msgspec
from quart import Blueprint
from quart_schema import document_headers, document_querystring, document_request, document_response
from quart_trio.wrappers import TrioResponse

from ...connections import Group
from ...events import EventId, UnloggedEvent
from ...http import (
    JSON,
    EventStream,
    EventStreamText,
    FollowQuery,
    ResumeHeaders,
    conditional,
    demand_publishing,
    demand_reading,
    document_idempotency,
    document_problems,
    idempotency_key,
    json_response,
    read_body,
    stream_route,
)
from .dashboard import Dashboard
from .feed import METRICS, METRICS_TOPIC
from .items import ITEMS_TOPIC
from .models import AcceptedItems, ItemsBody, SentimentMetrics, StreamStatus, UnchangedMetrics
from .settings import SentimentSettings


def make_blueprint(
    dashboard: Dashboard, group: Group, settings: SentimentSettings, head: Callable[[], EventId]
) -> Blueprint:
    """Build the service's routes.

    Args:
        dashboard: stores and counts the items.
        group: admits the streams and counts them.
        settings: the service's settings.
        head: returns the newest event's id.
    """
    blueprint = Blueprint("streamd_sentiment", __name__, url_prefix="/api/v2")
    shown = UnloggedEvent(None, type=METRICS)

    def show(metrics: SentimentMetrics) -> UnloggedEvent:
        """Return the event with totals, which is made once for all streams that begin with them."""
        nonlocal shown
        if metrics is not shown.data:
            shown = UnloggedEvent(metrics, type=METRICS)
        return shown

    @stream_route(blueprint, "/stream")
    @document_querystring(FollowQuery)
    @document_headers(ResumeHeaders)
    @document_response(EventStreamText, 200)
    @document_problems(400, 401, 403, 429, 503)
    async def stream() -> EventStream:
        """Stream the current totals, then `metrics` on change and `new_item` for every new item."""
        await demand_reading(METRICS_TOPIC)
        await dashboard.ready()
        # With other nodes, the totals cannot be read at the moment at which the stream gets its position.
        after = str(head()) if dashboard.is_shared else None
        metrics = await dashboard.snapshot()
        return EventStream(
            [METRICS_TOPIC, ITEMS_TOPIC],
            after=after,
            overflow="latest",
            heartbeat_seconds=settings.stream.heartbeat_seconds,
            heartbeat_always=True,
            group=group,
            opening=lambda: [show(metrics())],
        )

    @blueprint.get("/stream/status")
    @document_response(StreamStatus, 200)
    @document_problems(401, 403, 503)
    async def status() -> TrioResponse:
        """Return the number of open streams, their limit and the uptime."""
        await demand_reading(METRICS_TOPIC)
        answer = {
            "connections": group.active,
            "max_connections": group.max_connections,
            "uptime_seconds": round(dashboard.uptime_seconds, 3),
        }
        return json_response(answer)

    @blueprint.get("/metrics")
    @document_response(SentimentMetrics, 200)
    @document_response(UnchangedMetrics, 304)
    @document_problems(401, 403, 412, 503)
    async def metrics() -> TrioResponse:
        """Return the current totals to a polling client; 304 for `If-None-Match` without changes."""
        await demand_reading(METRICS_TOPIC)
        await dashboard.ready()
        body = msgspec.json.encode(await dashboard.metrics())
        etag = hashlib.blake2b(body, digest_size=16).hexdigest()
        response = TrioResponse(body, content_type=JSON)
        response.set_etag(etag)
        response.headers["Cache-Control"] = "no-cache"  # a cache must revalidate each time
        return conditional(response)

    @blueprint.post("/items")
    @document_request(ItemsBody)
    @document_response(AcceptedItems, 202)
    @document_problems(400, 401, 403, 413, 415, 503, 504)
    @document_idempotency
    async def take_items() -> TrioResponse:
        """Store items, all or none. Items without a score are scored; known ids change nothing."""
        key = idempotency_key()
        caller = await demand_publishing(ITEMS_TOPIC)
        body = await read_body(max_bytes=settings.max_body_bytes, media_type=JSON)
        return json_response(await dashboard.store_items(body, key, user=caller.user), 202)

    return blueprint
