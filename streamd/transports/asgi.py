"""The few ASGI types that the transports use (ASGI 3.0, HTTP and WebSocket), and what a server may add."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from ..connections import Connection
from ..events import Batch
from ..hub import Wire

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]
Scope = Mapping[str, Any]
Defer = Callable[[Callable[[], None]], None]

CONNECTION_EXTENSION: Final = "streamd.connection"
"""Where streamd's own server puts a :class:`Transport` into a scope's extensions."""


class Transport(Protocol):
    """What a server can do with the socket behind one request, beyond ASGI."""

    def abort(self) -> None:
        """Close the socket (on HTTP/2: reset the stream) at once, dropping what is unsent."""

    def hold(self) -> None:
        """Keep the head of the response, which is sent next, until what follows at once is sent, too."""

    def lease(self, defer: Defer, lost: Callable[[], None]) -> Wire | None:
        """A wire past ASGI on the response that was begun, until it is released.

        Args:
            defer: has something done at the end of the fan-out's turn.
            lost: called when the client is gone, or was aborted, while the lease lasts.

        Returns:
            None where there is none for this response, or the client is gone already.
        """


def find_transport(scope: Scope) -> Transport | None:
    """What the server offers for this request, if it is streamd's own."""
    return (scope.get("extensions") or {}).get(CONNECTION_EXTENSION)


def lease_wire(scope: Scope, connection: Connection, defer: Defer, fallback: Wire) -> Wire:
    """The most direct wire there is, from after the head of a response until it is released."""
    transport = find_transport(scope)
    wire = None if transport is None else transport.lease(defer, connection.lose)
    return wire or fallback


def let_abort(connection: Connection, scope: Scope) -> None:
    """Give a connection the means to close its socket, where the server offers them."""
    transport = find_transport(scope)
    if transport is not None:
        connection.abort_transport = transport.abort


class ASGIEventStreamWire:
    """Event stream blocks as parts of an ASGI response body. Never writes directly."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def write_nowait(self, batch: Batch) -> int:
        return 0

    async def write(self, batch: Batch) -> int:
        await self._send({"type": "http.response.body", "body": batch.sse, "more_body": True})
        return len(batch.sse)

    def release(self) -> None:
        pass


class ASGIWebSocketWire:
    """JSON text frames over an ASGI WebSocket. Never writes directly.

    Args:
        send_text: sends one text message on an accepted socket.
    """

    def __init__(self, send_text: Callable[[str], Awaitable[None]]) -> None:
        self._send_text = send_text

    def write_nowait(self, batch: Batch) -> int:
        return 0

    async def write(self, batch: Batch) -> int:
        written = 0
        for frame in batch.frames:
            await self._send_text(frame.text)
            written += len(frame.json)
        return written

    def release(self) -> None:
        pass
