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


def cors_headers(origins: Sequence[str], origin: str | None) -> list[tuple[str, str]]:
    """What lets pages of an origin read an answer (WHATWG Fetch, CORS protocol); nothing if they may not.

    Args:
        origins: that are allowed; ``*`` for all.
        origin: of the page that asks; None outside a page.
    """
    if origin is None or not ("*" in origins or origin in origins):
        return []
    return [
        ("Access-Control-Allow-Origin", "*" if "*" in origins else origin),
        ("Vary", "Origin"),
        ("Access-Control-Expose-Headers", "Retry-After"),
    ]


def allow_origins(app: Quart, origins: Sequence[str]) -> None:
    """Let pages of these origins use the API (WHATWG Fetch, CORS protocol); ``*`` for all."""

    async def allow(response: Response) -> Response:
        allowed = cors_headers(origins, request.headers.get("Origin"))
        for name, value in allowed:
            response.headers.add(name, value)
        if allowed and request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, OPTIONS"
            response.headers["Access-Control-Allow-Headers"] = f"Content-Type, {LAST_EVENT_ID}"
            response.headers["Access-Control-Max-Age"] = "600"
        return response

    if origins:
        app.after_request(allow)
