"""Around every request: how long it took, and who may read the answer from another origin."""

import time
from collections.abc import Sequence

from quart import Quart, g, request
from quart.wrappers import Response

from ..metrics import Metrics
from .requests import LAST_EVENT_ID
from .responses import EventStream

UNKNOWN_ROUTE = "unknown"


def observe_requests(app: Quart, metrics: Metrics) -> None:
    """Measure every answer that is not a stream, by the route's pattern, which bounds the labels."""

    async def begin() -> None:
        g.streamd_began = time.perf_counter()

    async def end(response: Response) -> Response:
        if not isinstance(response, EventStream):
            route = request.url_rule.rule if request.url_rule is not None else UNKNOWN_ROUTE
            method = request.method if request.url_rule is not None else UNKNOWN_ROUTE
            seconds = time.perf_counter() - g.get("streamd_began", time.perf_counter())
            metrics.request_seconds.labels(method, route, response.status_code).observe(seconds)
        return response

    app.before_request(begin)
    app.after_request(end)


def allow_origins(app: Quart, origins: Sequence[str]) -> None:
    """Let pages of these origins use the API (WHATWG Fetch, CORS protocol); ``*`` for all."""

    async def allow(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if origin is not None and ("*" in origins or origin in origins):
            headers = response.headers
            headers["Access-Control-Allow-Origin"] = "*" if "*" in origins else origin
            headers.add("Vary", "Origin")
            headers["Access-Control-Expose-Headers"] = "Retry-After"
            if request.method == "OPTIONS":
                headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, OPTIONS"
                headers["Access-Control-Allow-Headers"] = f"Content-Type, {LAST_EVENT_ID}"
                headers["Access-Control-Max-Age"] = "600"
        return response

    if origins:
        app.after_request(allow)
