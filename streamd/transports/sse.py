"""Server-Sent Events over an ASGI response (WHATWG HTML section 9.2)."""

from collections.abc import Awaitable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import trio

from ..broker import Broker
from ..connections import Connection
from .asgi import (
    ASGIEventStreamWire,
    Field,
    Scope,
    Send,
    TopicsWire,
    begin_stream,
    bind_abort,
    find_transport,
    lease_wire,
)
from .stream import Opening, Source, StreamRequest, connected, no_opening, open_stream, run_stream

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
"""The type of a stream. Its encoding is always UTF-8 (WHATWG HTML section 9.2.6), but HTTP libraries that
read text without a ``charset`` as Latin-1 need to be told."""

HEADERS: Final = {
    "Content-Type": EVENT_STREAM,
    "Cache-Control": "no-cache, no-transform",  # no-transform: compressing proxies hold events back
    "X-Accel-Buffering": "no",  # switches off nginx's response buffering
}


def serve_sse(
    broker: Broker,
    connection: Connection,
    source: Source,
    scope: Scope,
    send: Send,
    headers: tuple[Field, ...],
    opening: Opening = no_opening,
    *,
    include_topics: bool = False,
) -> Awaitable[None]:
    """Answer 200 and stream until the source or the connection ends, then end the body.

    The stream begins with ``connected``, followed by ``opening``. When the client is gone or the connection
    was aborted, the response is left unfinished.

    Args:
        broker: the parts every stream needs.
        connection: the admitted client.
        source: the origin of the frames.
        scope: of the request.
        send: sends ASGI messages.
        headers: of the response.
        opening: makes the first frames after ``connected``.
        include_topics: write the topics of each event as ``topic`` fields.
    """
    opened = nullcontext((connection, source))
    return _serve(broker, opened, scope, send, headers, (), opening, include_topics)


def serve_subscription(
    broker: Broker,
    request: StreamRequest,
    scope: Scope,
    send: Send,
    headers: tuple[Field, ...],
    own_headers: Sequence[Field] = (),
) -> Awaitable[None]:
    """Take a slot and subscribe to the log, then stream as :func:`serve_sse` does.

    Args:
        broker: the parts every stream needs.
        request: the checked request.
        scope, send: as for :func:`serve_sse`.
        headers: of the response, those that many streams share.
        own_headers: those of this response alone.

    Raises:
        StreamdError: the client was rejected; nothing was sent.
    """
    opened = open_stream(broker, "sse", request)
    return _serve(broker, opened, scope, send, headers, own_headers, no_opening, request.include_topics)


async def _serve(
    broker: Broker,
    opened: AbstractContextManager[tuple[Connection, Source]],
    scope: Scope,
    send: Send,
    headers: tuple[Field, ...],
    own_headers: Sequence[Field],
    opening: Opening,
    include_topics: bool,
) -> None:
    """Serve a stream that is open during the ``with`` block.

    It is one coroutine for all kinds of streams: each would take 300 bytes for as long as a stream lasts.
    """
    with opened as (connection, source):
        transport = find_transport(scope)
        bind_abort(connection, transport)
        is_head = scope["method"] == "HEAD"
        await begin_stream(send, transport, headers, own_headers, is_head_request=is_head)
        del scope, headers, own_headers  # the stream may last for hours
        if not is_head:
            wire = lease_wire(transport, connection, broker.hub.defer) or ASGIEventStreamWire(send)
            if include_topics:
                wire = TopicsWire(wire)
            try:
                # No variable keeps the first frame for as long as the stream lasts.
                await run_stream(broker, connection, source, wire, connected(broker, connection), opening)
            finally:
                wire.release()
        if not connection.is_disconnected:
            # On HTTP/2 the end waits until the peer has taken every byte: a stalled peer is aborted as well.
            connection.stalled_since = trio.current_time()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
