"""Hooks around every request: response times and cross-origin access."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog
from quart import Quart, g, request, websocket
from quart.wrappers import Response, Websocket
from quart.wrappers.base import BaseRequestWebsocket

from ..errors import Forbidden
from ..idempotency import IDEMPOTENCY_KEY
from ..metrics import Metrics
from .requests import LAST_EVENT_ID, RESUME_SECRET
from .responses import EventStream

_log = structlog.get_logger(__name__)
UNKNOWN_ROUTE = "unknown"
_UNLOGGED_ROUTES: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
_CLIENT_CLOSED_REQUEST: Final = (
    499  # no status of HTTP: nginx logs it for a client that left before the answer
)
_METHOD_CHARS: Final = 20  # a method is any token that the client chooses
EXPOSED_HEADERS: Final = "Retry-After, ETag, Location, Task-Status, Task-Progress"
"""Headers that pages of other origins may read, in addition to the safelisted ones (WHATWG Fetch)."""
CORS_ORIGINS: Final = "STREAMD_CORS_ORIGINS"
"""The application's configuration value with the origins of :func:`allow_origins`."""
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
QUOTED_CHARS: Final = 200  # quoted from a header, which may be as long as the request head


def observe_requests(app: Quart, metrics: Metrics) -> None:
    """Measure and log every request that is not a stream, by route pattern, which bounds the labels.

    A stream that is rejected or answered 204, and a refused WebSocket, are requests with a response. A client
    that leaves before the answer, such as in the middle of its body, has a line with the status 499, and is
    not measured.
    """

    async def begin() -> None:
        g.streamd_began = time.perf_counter()

    def observe(asked: BaseRequestWebsocket, status: int) -> None:
        record_request(metrics, asked.method, _route_of(asked), status, _began())

    async def end(response: Response) -> Response:
        g.streamd_answered = True
        if isinstance(response, EventStream) and response.status_code == 200:
            # Rejected when the request's context has ended.
            response.on_rejected = partial(
                record_request, metrics, request.method, _route_of(request), began=_began()
            )
        else:
            observe(request, response.status_code)
        return response

    async def end_websocket(response: Response | None) -> Response | None:
        if response is not None:
            observe(websocket, response.status_code)
        return response

    async def leave(_error: BaseException | None) -> None:
        if not g.get("streamd_answered"):
            seconds = time.perf_counter() - _began()
            _log_request(request.method, _route_of(request), _CLIENT_CLOSED_REQUEST, seconds)

    app.before_request(begin)
    app.before_websocket(begin)
    app.after_request(end)
    app.after_websocket(end_websocket)  # type: ignore[type-var] # Quart passes None after a normal end
    app.teardown_request(leave)


def _route_of(asked: BaseRequestWebsocket) -> str:
    return asked.url_rule.rule if asked.url_rule is not None else UNKNOWN_ROUTE


def _began() -> float:
    return float(g.get("streamd_began", time.perf_counter()))


def record_request(metrics: Metrics, method: str, route: str, status: int, began: float) -> None:
    """Measure and log one answered request.

    Args:
        metrics: of the server.
        method: of the request.
        route: its route pattern.
        status: of the response.
        began: the time of its start, on ``time.perf_counter`` (s).
    """
    seconds = time.perf_counter() - began
    known_method = method if route != UNKNOWN_ROUTE else UNKNOWN_ROUTE
    metrics.request_seconds.labels(known_method, route, status).observe(seconds)
    _log_request(method, route, status, seconds)


def _log_request(method: str, route: str, status: int, seconds: float) -> None:
    """Log one answered request; at ``warning`` if the server failed. Probes and scrapes are left out."""
    if route not in _UNLOGGED_ROUTES:
        write = _log.warning if status >= 500 else _log.info
        write("request", method=method[:_METHOD_CHARS], route=route, status=status, seconds=round(seconds, 4))


def cors_headers(origins: Sequence[str], origin: str | None) -> list[tuple[str, str]]:
    """Build the headers that let pages of an allowed origin read a response (WHATWG Fetch, CORS protocol).

    If any origin is allowed, responses to all others have ``Vary: Origin`` too; otherwise a shared cache
    would give all origins the same response.

    Args:
        origins: the allowed origins; ``*`` for all.
        origin: the origin of the requesting page; None outside a page.
    """
    headers = [("Vary", "Origin")] if origins else []
    if origin is not None and _is_allowed(origins, origin):
        headers.append(("Access-Control-Allow-Origin", "*" if "*" in origins else origin))
        headers.append(("Access-Control-Expose-Headers", EXPOSED_HEADERS))
    return headers


def _is_allowed(origins: Sequence[str], origin: str) -> bool:
    return "*" in origins or origin in origins


def allow_origins(app: Quart, origins: Sequence[str]) -> None:
    """Let pages of these origins use the API (WHATWG Fetch, CORS protocol); ``*`` allows all."""

    async def allow(response: Response) -> Response:
        origin = request.headers.get("Origin")
        for name, value in cors_headers(origins, origin):
            response.headers.add(name, value)
        if request.method == "OPTIONS" and origin is not None and _is_allowed(origins, origin):
            response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, PATCH, OPTIONS"
            response.headers["Access-Control-Allow-Headers"] = (
                f"Content-Type, {LAST_EVENT_ID}, {RESUME_SECRET}, {IDEMPOTENCY_KEY}"
            )
            response.headers["Access-Control-Max-Age"] = "600"
        return response

    app.config[CORS_ORIGINS] = tuple(origins)
    if origins:
        app.after_request(allow)


def check_websocket_origin(upgrade: Websocket, origins: Sequence[str]) -> None:
    """Reject pages of other origins: browsers let any page open a WebSocket (RFC 6455 section 10.2).

    Programs send no origin and are admitted.

    Raises:
        Forbidden: the page's origin is neither the server's own nor allowed.
    """
    origin = upgrade.headers.get("Origin")
    if origin is None or _is_allowed(origins, origin):
        return
    if is_own_origin(origin, upgrade.headers.get("Host", ""), secure=upgrade.scheme in ("wss", "https")):
        return
    raise Forbidden(
        f"pages of {origin[:QUOTED_CHARS]!r} may not open a WebSocket here: the origin is neither the "
        "server's own nor one that it allows",
        field="Origin",
    )


def is_own_origin(origin: str, host: str, *, secure: bool) -> bool:
    """Return True if an origin is the server's own: if its host is the ``Host`` of the request.

    Behind a proxy that terminates TLS a request looks plain, so a plain one matches http and https.
    """
    host = host.lower()
    return any(
        origin == f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}"
        for scheme in (("https",) if secure else ("https", "http"))
    )
