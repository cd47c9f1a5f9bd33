"""Hooks around every request, which measure and log it."""

import logging
import time
from functools import partial
from typing import Final

import structlog
from quart import Quart, g, request, websocket
from quart.wrappers import Response
from quart.wrappers.base import BaseRequestWebsocket

from ..logs import FrequentLine
from ..metrics import Metrics
from .responses import EventStream

_log = structlog.get_logger(__name__)
UNKNOWN_ROUTE = "unknown"
_REQUEST: Final = "request"
_request_line: Final = FrequentLine(_log, _REQUEST)
_UNLOGGED_ROUTES: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
_CLIENT_CLOSED_REQUEST: Final = (
    499  # no status of HTTP: nginx logs it for a client that left before the answer
)
_METHOD_CHARS: Final = 20  # a method is any token that the client chooses


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
            record_departure(request.method, _route_of(request), _began())

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
    """Measure one answered request, and log it; at ``warning`` if the server failed.

    Probes and scrapes are not logged.

    Args:
        metrics: of the server.
        method: of the request.
        route: its route pattern.
        status: of the response.
        began: the time of its start, on ``time.perf_counter`` (s).
    """
    seconds = time.perf_counter() - began
    metrics.observe_request(method if route != UNKNOWN_ROUTE else UNKNOWN_ROUTE, route, status, seconds)
    level = logging.INFO if status < 500 else logging.WARNING
    if route not in _UNLOGGED_ROUTES and not _request_line.is_suppressed(level):
        _log_request(level, method, route, status, seconds)


def record_departure(method: str, route: str, began: float) -> None:
    """Log one request whose client left before the answer; the arguments are those of `record_request`."""
    seconds = time.perf_counter() - began
    if route not in _UNLOGGED_ROUTES and not _request_line.is_suppressed(logging.INFO):
        _log_request(logging.INFO, method, route, _CLIENT_CLOSED_REQUEST, seconds)


def _log_request(level: int, method: str, route: str, status: int, seconds: float) -> None:
    _log.log(
        level, _REQUEST, method=method[:_METHOD_CHARS], route=route, status=status, seconds=round(seconds, 4)
    )
