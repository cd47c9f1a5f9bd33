"""Server-Sent Events over an ASGI response (WHATWG HTML section 9.2)."""

from collections.abc import Iterable
from typing import Final

import trio

from ..broker import Broker
from ..connections import Connection
from .asgi import ASGIEventStreamWire, Scope, Send, find_transport, lease_wire, let_abort
from .stream import Opening, Source, connected, no_opening, run_stream

HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",  # no-transform: compressing proxies hold events back
    "X-Accel-Buffering": "no",  # nginx
}


async def serve_sse(
    broker: Broker,
    connection: Connection,
    source: Source,
    scope: Scope,
    send: Send,
    headers: Iterable[tuple[bytes, bytes]],
    opening: Opening = no_opening,
) -> None:
    """Answer 200 and stream until the source or the connection ends; the body ends normally.

    The stream begins with ``connected``, then ``opening``.

    When the client left, or the connection was aborted, the response is left unfinished.
    """
    let_abort(connection, scope)
    transport = find_transport(scope)
    if transport is not None and scope["method"] != "HEAD":
        transport.hold()
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
    if scope["method"] != "HEAD":
        wire = lease_wire(scope, connection, broker.hub.defer, ASGIEventStreamWire(send))
        try:
            greeting = connected(broker, connection)
            await run_stream(broker, connection, source, wire, greeting, opening)
        finally:
            wire.release()
    if not connection.is_lost:
        connection.stalled_since = trio.current_time()  # on HTTP/2 the end waits until the peer has taken all
        await send({"type": "http.response.body", "body": b"", "more_body": False})
