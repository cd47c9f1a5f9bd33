"""Around every request: how long it took, and what pages of other origins may do."""

import time
from collections.abc import Sequence
from typing import Final

from quart import Quart, g, request
from quart.wrappers import Response, Websocket

from ..errors import Forbidden
from ..metrics import Metrics
from .requests import LAST_EVENT_ID
from .responses import EventStream

UNKNOWN_ROUTE = "unknown"
EXPOSED: Final = "Retry-After, ETag, Location, Task-Status, Task-Progress"
"""Headers that pages of other origins may read, beside those that all may."""
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_QUOTED_CHARS: Final = 200  # a message may quote a header, which may be as long as the request's head


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
    """What lets pages of an origin read an answer (WHATWG Fetch, CORS protocol), if they may.

    As soon as there are origins to allow, the answers to all others say as well that they depend on the
    origin; otherwise a cache would give one answer to everybody.

    Args:
        origins: that are allowed; ``*`` for all.
        origin: of the page that asks; None outside a page.
    """
    headers = [("Vary", "Origin")] if origins else []
    if origin is not None and _is_allowed(origins, origin):
        headers.append(("Access-Control-Allow-Origin", "*" if "*" in origins else origin))
        headers.append(("Access-Control-Expose-Headers", EXPOSED))
    return headers


def _is_allowed(origins: Sequence[str], origin: str) -> bool:
    return "*" in origins or origin in origins


def allow_origins(app: Quart, origins: Sequence[str]) -> None:
    """Let pages of these origins use the API (WHATWG Fetch, CORS protocol); ``*`` for all."""

    async def allow(response: Response) -> Response:
        origin = request.headers.get("Origin")
        for name, value in cors_headers(origins, origin):
            response.headers.add(name, value)
        if request.method == "OPTIONS" and origin is not None and _is_allowed(origins, origin):
            response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, PATCH, OPTIONS"
            response.headers["Access-Control-Allow-Headers"] = f"Content-Type, {LAST_EVENT_ID}"
            response.headers["Access-Control-Max-Age"] = "600"
        return response

    if origins:
        app.after_request(allow)


def check_websocket_origin(upgrade: Websocket, origins: Sequence[str]) -> None:
    """Keep pages of other origins out: browsers let any page open a WebSocket (RFC 6455 section 10.2).

    Programs send no origin, and are let in. The origin is the request's own when its host is; where TLS
    ends at a proxy the request does not show it, so of a plain one both http and https are.

    Raises:
        Forbidden: the upgrade comes from a page of an origin that is neither its own nor allowed.
    """
    origin = upgrade.headers.get("Origin")
    if origin is None or _is_allowed(origins, origin):
        return
    host = upgrade.headers.get("Host", "").lower()
    for scheme in ("https",) if upgrade.scheme in ("wss", "https") else ("https", "http"):
        if origin == f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}":
            return
    raise Forbidden(
        f"pages of {origin[:_QUOTED_CHARS]!r} may not open a WebSocket here: the origin is neither the "
        "server's own nor one that it allows",
        field="Origin",
    )
