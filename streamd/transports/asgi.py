"""The few ASGI types that the transports use (ASGI 3.0, HTTP and WebSocket)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..connections import Connection
from ..events import Frame

Send = Callable[[Any], Awaitable[None]]
Scope = Mapping[str, Any]

CONNECTION_EXTENSION = "streamd.connection"
"""Where a server puts an object whose ``abort()`` closes the client's socket at once."""


class ASGIEventStreamWire:
    """Event stream blocks as parts of an ASGI response body. Never writes directly."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def write_nowait(self, frames: Sequence[Frame]) -> int:
        return 0

    async def write(self, frames: Sequence[Frame]) -> int:
        body = b"".join([frame.sse for frame in frames])
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        return len(body)


class ASGIWebSocketWire:
    """JSON text frames over an ASGI WebSocket. Never writes directly.

    Args:
        send_text: sends one text message on an accepted socket.
    """

    def __init__(self, send_text: Callable[[str], Awaitable[None]]) -> None:
        self._send_text = send_text

    def write_nowait(self, frames: Sequence[Frame]) -> int:
        return 0

    async def write(self, frames: Sequence[Frame]) -> int:
        written = 0
        for frame in frames:
            await self._send_text(frame.text)
            written += len(frame.json)
        return written


def let_abort(connection: Connection, scope: Scope) -> None:
    """Give a connection the means to close its socket, where the server offers them."""
    transport = (scope.get("extensions") or {}).get(CONNECTION_EXTENSION)
    if transport is not None:
        connection.abort_transport = transport.abort
