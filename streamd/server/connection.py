"""One client's socket: Hypercorn's connection, with bounded writes and an end that always works."""

import socket
import struct
from contextlib import suppress
from typing import Any, Final

import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, LifespanState

from ..config import ServerSettings
from ..transports.asgi import CONNECTION_EXTENSION
from .http2 import HTTP2Stream

_log = structlog.get_logger(__name__)
Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]

_LINGER_NOT: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() drops what is unsent (RST)


class LiveConnections(set["ServerConnection"]):
    """The sockets there are, and a way to wait until there are none."""

    def __init__(self) -> None:
        super().__init__()
        self._emptied = trio.Event()

    def leave(self, connection: "ServerConnection") -> None:
        self.discard(connection)
        if not self:
            self._emptied.set()

    async def wait_empty(self) -> None:
        while self:
            self._emptied = trio.Event()
            await self._emptied.wait()


class ServerConnection(TCPServer):
    """Serves one accepted stream; ``await`` it.

    Hypercorn shields its socket writes, so that a peer which stops reading would hold its connection
    for ever. Here a write that takes longer than ``write_timeout_seconds`` aborts the connection, and
    :meth:`abort` ends it at any time. Applications find this object in the ASGI scope, under the
    extension ``streamd.connection``; on HTTP/2 they find the one stream there that is theirs.
    """

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: LifespanState,
        live: LiveConnections,
        settings: ServerSettings,
        stream: Stream,
    ) -> None:
        super().__init__(_Extended(app, self, settings), config, context, state, stream)  # type: ignore[arg-type]
        self._live = live
        self._write_timeout_seconds = settings.write_timeout_seconds
        self._aborted = False
        # Around all of Hypercorn's connection: its task group lets a `Cancelled` of its own nursery
        # escape, which would cancel every other connection and end the server.
        self._serving = trio.CancelScope()
        with suppress(OSError):  # reset already
            # Again, though the listener has it: trio sets 16 kB on every stream. 0 is the system's default.
            self._socket.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, settings.tcp_notsent_lowat_bytes
            )

    @property
    def _socket(self) -> trio.socket.SocketType:
        stream: Any = self.stream
        tcp: trio.SocketStream = getattr(stream, "transport_stream", stream)  # below TLS
        return tcp.socket

    async def run(self) -> None:
        self._live.add(self)
        try:
            with self._serving:
                await super().run()
        except Exception:  # noqa: BLE001 - what breaks one connection must not reach the listeners
            _log.exception("connection failed")
            self.abort()
        finally:
            self._live.leave(self)

    def abort(self) -> None:
        """Close the socket at once, dropping what is unsent, and cancel all that serves the client.

        Does nothing the second time. Never blocks.
        """
        if self._aborted:
            return
        self._aborted = True
        with suppress(OSError):  # closed already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._socket.close()  # wakes whoever reads or writes, with ClosedResourceError
        self._serving.cancel()

    async def _close(self) -> None:
        # Shielded, because the end of a response closes the socket from within the application, which
        # is cancelled by that very end: HTTP/1.0 and `Connection: close` would stay open for ever.
        with trio.CancelScope(shield=True):
            await super()._close()

    async def protocol_send(self, event: Event) -> None:
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        if self._aborted:
            return
        async with self.send_lock:
            # Shielded, because a message cut off in the middle would spoil all that follow.
            with trio.CancelScope(shield=True) as scope:
                scope.deadline = trio.current_time() + self._write_timeout_seconds
                try:
                    await self.stream.send_all(event.data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    await self.protocol.handle(Closed())
        if scope.cancelled_caught:
            self.abort()


class _Extended:
    """The application, with the connection in each scope's extensions."""

    def __init__(self, app: AppWrapper, connection: ServerConnection, settings: ServerSettings) -> None:
        self._app = app
        self._buffer_bytes = settings.http2_stream_buffer_bytes
        self._connection = connection

    async def __call__(self, scope: Any, receive: Any, send: Any, *spawn: Any) -> None:
        extensions = scope.setdefault("extensions", {})
        if scope["type"] == "http" and scope["http_version"] == "2":
            extensions[CONNECTION_EXTENSION] = HTTP2Stream.of(send, self._buffer_bytes)
        else:
            extensions[CONNECTION_EXTENSION] = self._connection
        await self._app(scope, receive, send, *spawn)
