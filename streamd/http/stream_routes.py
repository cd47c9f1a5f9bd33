"""Routes for streams: each is served over all three transports, from one view.

::

    @stream_route(blueprint, "/orders/<order_id>/events")
    async def follow(order_id: str) -> EventStream:
        return EventStream(f"orders/{order_id}")

    GET  /orders/<order_id>/events       Server-Sent Events
    the same with an Upgrade             WebSocket
    GET  /orders/<order_id>/events/poll  long polling, with ``after`` and ``wait``

The view is called for each request, in the context of a request or of a WebSocket, so its checks hold for all
three: :func:`~.current.request_or_upgrade` returns either. What it raises is answered as a problem, also in
place of a WebSocket's handshake; so is a response that is no stream, such as 204 after the end of a task.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

import msgspec
from quart import Blueprint, Quart, request
from quart_schema import document_headers, document_querystring, document_response
from quart_schema.validation import (
    QUART_SCHEMA_HEADERS_ATTRIBUTE,
    QUART_SCHEMA_QUERYSTRING_ATTRIBUTE,
    QUART_SCHEMA_RESPONSE_ATTRIBUTE,
)
from quart_trio.wrappers import TrioResponse

from ..limits import LimitName
from .current import current_runtime
from .json import JSON, json_response
from .limits import limited_as
from .requests import parse_seconds
from .responses import EventStream
from .schema import FollowQuery, StreamPollAnswerSchema, StreamPollQuery
from .stream_cursor import note_poll

StreamView = Callable[..., Awaitable[TrioResponse]]
"""A view that returns an :class:`EventStream`, or another response in place of a stream."""

POLL: Final = "/poll"
"""The end of the path of the long-poll form."""


def stream_route(
    routes: Blueprint | Quart, rule: str, *, endpoint: str | None = None, head: StreamView | None = None
) -> Callable[[StreamView], StreamView]:
    """Add a view that returns an :class:`EventStream` to a blueprint or an application.

    Args:
        routes: the blueprint or the application.
        rule: the path of the stream.
        endpoint: the view's name; None for that of the function.
        head: answers ``HEAD`` of the path; None: as the stream, whose slot it needs.
    """

    def add(view: StreamView) -> StreamView:
        name = endpoint or view.__name__
        stream = limited_as(LimitName.CONNECT)(_stream_view(view, head))
        routes.add_url_rule(rule, name, stream, methods=["GET"])
        routes.add_websocket(rule, f"{name}_websocket", limited_as(LimitName.CONNECT)(_socket_view(view)))
        routes.add_url_rule(rule.rstrip("/") + POLL, f"{name}_poll", _poll_view(view), methods=["GET"])
        return view

    return add


def _stream_view(view: StreamView, head: StreamView | None) -> StreamView:
    @wraps(view)
    async def stream(**path: Any) -> TrioResponse:
        return await (view if head is None or request.method != "HEAD" else head)(**path)

    return stream


def _socket_view(view: StreamView) -> Callable[..., Awaitable[TrioResponse | None]]:
    async def socket(**path: Any) -> TrioResponse | None:
        stream = await view(**path)
        if not isinstance(stream, EventStream):
            return stream
        if stream.status_code != 200:
            return _without_content(stream.status_code)
        await stream.serve_websocket()
        return None

    return socket


def _poll_view(view: StreamView) -> StreamView:
    async def poll(**path: Any) -> TrioResponse:
        note_poll()
        stream = await view(**path)
        settings = current_runtime().broker.settings.poll
        wait = parse_seconds(
            request, "wait", default=settings.wait_seconds, least=0, most=settings.max_wait_seconds
        )
        assert wait is not None
        if not isinstance(stream, EventStream):
            return stream
        if stream.status_code != 200:
            return _without_content(stream.status_code)
        stream.demand_polls()
        if request.method == "HEAD":  # an answer has events, which no HEAD may use up
            response = _without_content(200)
            response.headers["Content-Type"] = JSON
            return response
        return json_response(msgspec.Raw(await stream.answer_poll(wait, request.scope)))

    poll.__name__ = f"{view.__name__}_poll"
    poll.__module__ = view.__module__
    poll.__doc__ = f"Poll for the events of the stream at this path without `{POLL}`: one answer per request."
    return _document_as(view, limited_as(LimitName.SUBSCRIBE)(poll))


def _without_content(status: int) -> TrioResponse:
    """Build a response that has no content, and no headers that describe one (RFC 9110 section 8.6)."""
    response = TrioResponse(b"", status=status)
    del response.headers["Content-Length"], response.headers["Content-Type"]
    response.headers["Cache-Control"] = "no-store"
    return response


def _document_as(view: StreamView, poll: StreamView) -> StreamView:
    """Document a poll in ``/openapi.json`` by the parameters and answers of its stream."""
    query = getattr(view, QUART_SCHEMA_QUERYSTRING_ATTRIBUTE, None)
    if query is None or query is FollowQuery:  # it has the cursor alone, and what a poll has not
        document_querystring(StreamPollQuery)(poll)
    else:
        document_querystring(_with_poll_parameters(query))(poll)
    if (headers := getattr(view, QUART_SCHEMA_HEADERS_ATTRIBUTE, None)) is not None:
        document_headers(headers)(poll)
    responses = {**getattr(view, QUART_SCHEMA_RESPONSE_ATTRIBUTE, {}), 200: (StreamPollAnswerSchema, None)}
    for status, (model, headers_model) in responses.items():
        document_response(model, status, headers_model)(poll)
    return poll


def _with_poll_parameters(query: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Make the model of a stream's query with the parameters of a poll."""
    own = [
        (field.name, field.type, field.default)
        for field in msgspec.structs.fields(StreamPollQuery)
        if field.name not in query.__struct_fields__
    ]
    return msgspec.defstruct(f"{query.__name__}Poll", own, bases=(query,), module=query.__module__)
