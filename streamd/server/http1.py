"""Hypercorn's HTTP/1.1 and WebSocket, with a reader that goes on while an answer is being made."""

import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final

import h11
import trio
from hypercorn.protocol.h11 import H11Protocol

_EXTENSIONS: Final = b"sec-websocket-extensions"


class HTTP1Protocol(H11Protocol):
    """One HTTP/1.1 connection.

    Args:
        read: waits for the client's next bytes; empty at the end.
        lost: called when the client has left while a request of it was being answered.
        crowded: called when that much has come behind a request that is being answered.
        max_ahead_bytes: how much that is; nothing more is read then until the answer is complete.
        arguments: of Hypercorn's class.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        lost: Callable[[], None],
        crowded: Callable[[], None],
        max_ahead_bytes: int,
        *arguments: Any,
    ) -> None:
        super().__init__(*arguments)
        self._read = read
        self._lost = lost
        self._crowded = crowded
        self._max_ahead_bytes = max_ahead_bytes
        self._ahead = bytearray()
        self.can_read = _Pause(self)

    async def read_ahead(self) -> None:
        """Keep what the client sends meanwhile; without this nobody would notice that it left."""
        while data := await self._read():
            self._ahead += data
            if len(self._ahead) >= self._max_ahead_bytes:
                self._crowded()
                return
        self._lost()

    def go_on(self) -> None:
        """Let the parser have what was read meanwhile."""
        if self._ahead:
            self.connection.receive_data(bytes(self._ahead))
            self._ahead.clear()

    async def _create_stream(self, request: h11.Request) -> None:
        # Without extensions no message is ever compressed: a compressor costs 91 kB a connection, and
        # Hypercorn inflates a message before it looks at its size.
        if any(name == _EXTENSIONS for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=[header for header in request.headers if header[0] != _EXTENSIONS],
                http_version=request.http_version,
            )
        await super()._create_stream(request)


class _Pause:
    """What Hypercorn's reader waits for when a request came behind one that is still being answered."""

    def __init__(self, protocol: HTTP1Protocol) -> None:
        self._protocol: HTTP1Protocol = weakref.proxy(protocol)  # which owns this
        self._over: trio.Event | None = None

    async def clear(self) -> None:
        self._over = trio.Event()

    async def set(self) -> None:
        if self._over is not None:
            self._over.set()

    def is_set(self) -> bool:
        return self._over is None or self._over.is_set()

    async def wait(self) -> None:
        if self._over is not None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._protocol.read_ahead)
                await self._over.wait()
                nursery.cancel_scope.cancel()
        self._protocol.go_on()
