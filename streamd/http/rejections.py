"""Rejected streams: a problem, or an event stream that ends at once and says when to come back.

A native EventSource reconnects after an orderly end of a stream, but never after a 503 or 429 (WHATWG HTML
section 9.2.3). With ``?on_limit=retry``, or ``connections.on_limit = "retry"``, a request for a stream that
the server cannot serve for now is therefore answered::

    HTTP/1.1 200 OK
    Content-Type: text/event-stream

    event: closing
    retry: 7316
    data: {"reason":"too-many-connections","detail":"all 10000 connections are taken"}

An error of the request itself, such as 400, 401 or 403, stays a problem: the same request will not succeed
later. So do the answers to other requests than a GET for an event stream.
"""

import random
from collections.abc import Sequence
from typing import Final

from quart import Quart, current_app, has_request_context, request
from quart_schema.validation import QUART_SCHEMA_RESPONSE_ATTRIBUTE
from quart_trio.wrappers import TrioResponse
from werkzeug.http import parse_accept_header

from ..broker import BrokerSettings
from ..errors import StreamdError, Unavailable
from ..events import Control, ControlName
from ..transports.asgi import Send, send_answer
from ..transports.sse import HEADERS
from .current import current_runtime
from .hot.answer import HTTPAnswer
from .hot.request import HTTPRequest
from .problems import answer_error, handle_streamd_error, send_problem
from .requests import prefers_retry
from .schema import EventStreamText

_EVENT_STREAM: Final = "text/event-stream"
_STREAM_FIELDS: Final = frozenset(name.lower() for name in HEADERS)


def closing_of(error: Unavailable, settings: BrokerSettings) -> Control:
    """Build the only frame of a rejected stream: the code and the sentence of the error, and ``retry``.

    ``retry`` is the error's ``Retry-After``, or ``connections.retry_ms`` if it has none, and a random
    part of up to ``connections.retry_after_seconds``: clients rejected together do not return together.
    """
    connections = settings.connections
    wait_ms = connections.retry_ms
    if error.retry_after_seconds is not None:
        wait_ms = int(1000 * error.retry_after_seconds)
    spread_ms = int(1000 * connections.retry_after_seconds * random.random())
    return Control(
        ControlName.CLOSING, {"reason": error.code, "detail": error.detail}, retry_ms=wait_ms + spread_ms
    )


async def send_rejection(
    send: Send,
    error: StreamdError,
    fields: Sequence[tuple[str, str]],
    settings: BrokerSettings,
    *,
    retries: bool,
) -> int:
    """Answer a request whose stream has not begun, on plain ASGI, and return the status.

    Args:
        send: sends ASGI messages.
        error: the reason.
        fields: the header fields that the stream would have had. A problem has those that are not of the
            stream itself, such as those of CORS.
        settings: for the reconnection time.
        retries: True to answer an error that may pass by a stream that ends, see :mod:`.rejections`.
    """
    if not retries or not isinstance(error, Unavailable):
        others = [(name, value) for name, value in fields if name.lower() not in _STREAM_FIELDS]
        return await send_problem(send, error, others)
    body = closing_of(error, settings).sse
    headers = [(name.lower().encode(), value.encode()) for name, value in fields]
    await send_answer(send, 200, headers, body)
    return 200


def rejection_answer(error: StreamdError, request: HTTPRequest, *, is_stream: bool) -> HTTPAnswer:
    """Build the answer to a request whose handler raised an error, as Quart's error handlers answer it.

    Args:
        error: the error.
        request: the request.
        is_stream: True if its route answers with a stream.
    """
    if (
        isinstance(error, Unavailable)
        and request.method == "GET"
        and (is_stream or parse_accept_header(request.headers.get("accept")).best == _EVENT_STREAM)
        and prefers_retry(request, request.runtime.broker)
    ):
        return closing_answer(error, request.runtime.broker.settings)
    return answer_error(error, request.scope["path"])


def closing_answer(error: Unavailable, settings: BrokerSettings) -> HTTPAnswer:
    """Build the answer of a rejected stream that ends at once."""
    fields = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    return HTTPAnswer(200, fields, closing_of(error, settings).sse)


def is_stream_view(view: object) -> bool:
    """Return True if a view answers with a stream, as it says to ``/openapi.json``."""
    model, _headers = getattr(view, QUART_SCHEMA_RESPONSE_ATTRIBUTE, {}).get(200, (None, None))
    return model is EventStreamText


async def handle_unavailable(error: Unavailable) -> TrioResponse:
    """Answer an error that a view, or a check before it, raised before there was an :class:`.EventStream`."""
    broker = current_runtime().broker
    if not has_request_context() or not _is_for_stream() or not prefers_retry(request, broker):
        return await handle_streamd_error(error)
    return closing_answer(error, broker.settings).as_response()


def _is_for_stream() -> bool:
    """Return whether the current request is a GET for an event stream: by its route, or by its ``Accept``.

    The view says so to ``/openapi.json``; EventSource sends the field (WHATWG HTML section 9.2.2).
    """
    if request.method != "GET":
        return False
    view = current_app.view_functions.get(request.endpoint or "")
    return is_stream_view(view) or request.accept_mimetypes.best == _EVENT_STREAM


def use_rejections(app: Quart) -> None:
    """Register the error handler of streams that cannot be served for now; all others get a problem."""
    app.register_error_handler(Unavailable, handle_unavailable)
