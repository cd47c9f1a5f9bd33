"""One client's socket: Hypercorn's protocols on an output of our own, with an end that always works."""

import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from operator import attrgetter
from typing import Any, Final

import attrs
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from ..config import ServerSettings
from ..hub import Wire
from ..transports.asgi import CONNECTION_EXTENSION, Defer
from .http1 import HTTP1Protocol
from .http2 import HTTP2Protocol, HTTP2Stream
from .live import LiveConnections
from .loop_passes import LoopPassLimiter
from .output import Output
from .task_group import TaskGroup
from .tls import TLS
from .wires import SocketWire, WebSocketWire, is_streaming

_log = structlog.get_logger(__name__)

_LINGER_NOT: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() drops what is unsent (RST)
_RECEIVE_BYTES: Final = 65_536
_CHUNK: Final = attrgetter("chunk")
_EVENT_STREAM: Final = attrgetter("sse")
_WEBSOCKET: Final = attrgetter("websocket")
_buffer: Final = memoryview(bytearray(_RECEIVE_BYTES))  # between recv and the copy of what came, for all


@attrs.frozen
class ServerContext:
    """What all connections of a server have in common."""

    app: Callable[[Any, Any, Any], Awaitable[None]]  # ASGI
    config: Config
    context: WorkerContext
    state: ConnectionState  # each request gets a copy
    live: LiveConnections[Any]
    settings: ServerSettings
    pace: LoopPassLimiter


@attrs.frozen
class ListenerInfo:
    """The listener that a connection came by."""

    context: ssl.SSLContext | None  # for TLS
    address: tuple[str, int] | None  # None: it differs by connection


class ServerConnection(trio.abc.AsyncResource):
    """Serves one accepted socket; see :meth:`run`.

    Every write goes through one :class:`~.output.Output`, which bounds it in time; :meth:`abort` ends
    the connection at any time. Applications find this object in the ASGI scope, as the
    :class:`~streamd.transports.asgi.Transport` of the request; on HTTP/2 they find one for their stream.

    Args:
        shared: application, configuration and bounds.
        entrance: the listener it came by.
        sock: as accepted.
        peer: its address, as ``accept`` gives it.
    """

    __slots__ = (
        "_entrance",
        "_head_begun",
        "_output",
        "_peer",
        "_protocol",
        "_scope",
        "_shared",
        "_sock",
        "_tasks",
        "_tls",
        "_wire",
    )

    def __init__(self, shared: ServerContext, entrance: ListenerInfo, sock: socket.socket, peer: Any) -> None:
        self._shared = shared
        self._entrance = entrance
        self._sock = sock
        self._peer = parse_socket_addr(sock.family, peer)
        sock.setblocking(False)
        self._tls: TLS | None = None
        self._output = Output(sock, shared.settings.write_timeout_seconds, self.abort, self._spawn)
        if entrance.context is not None:
            self._tls = TLS(entrance.context, self._receive, self._output.put_records)
        self._protocol: HTTP1Protocol | HTTP2Protocol | None = None
        self._wire: SocketWire | None = None  # on HTTP/1.1 there is one at a time
        self._tasks: TaskGroup | None = None
        self._scope = trio.CancelScope()  # of all tasks; its deadline is when an idle client is left
        self._head_begun = False

    # --- the life of a connection -------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the client leaves, the connection has been idle for too long, or it is aborted."""
        self._shared.live.add(self)
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                self._tasks = TaskGroup(nursery, self._run_app)
                await self._serve()
            self._close()
        except Exception:  # noqa: BLE001 - what breaks one connection must not reach the listeners
            _log.exception("connection failed")
        finally:
            self.abort()
            self._shared.live.leave(self)
            # The objects of a connection refer to each other in circles; taken apart, they go at once.
            self._protocol = self._tls = self._tasks = None

    async def _serve(self) -> None:
        read = self._receive
        agreed: str | None = "http/1.1"
        if self._tls is not None:
            agreed = await self._shake_hands(self._tls)
            if agreed is None:
                return
            self._output.seal_with(self._tls.seal)
            read = self._tls.receive
        self._protocol = self._speak_http2() if agreed == "h2" else self._speak_http1(read)
        await self._protocol.initiate()
        self._set_idle(True)
        data = await read()
        await self._shared.pace.turn()
        while data:
            await self._handle(RawData(data))
            self._expect_head()
            data = await read()
        self._set_idle(False)
        await self._shared.pace.turn()
        await self._handle(RawData(b""))
        self._revoke()
        await self._protocol.handle(Closed())

    async def _shake_hands(self, tls: TLS) -> str | None:
        with trio.move_on_after(self._shared.settings.tls_handshake_timeout_seconds):
            return await tls.handshake()
        return None

    async def _receive(self) -> bytes:
        """The next bytes of the socket; empty at its end, or when it was closed on either side."""
        await trio.lowlevel.checkpoint()
        data = self._receive_nowait()
        while data is None:
            with suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(self._sock)
            data = self._receive_nowait()
        return data

    def _receive_nowait(self) -> bytes | None:
        try:
            return bytes(_buffer[: self._sock.recv_into(_buffer)])
        except BlockingIOError:
            return None
        except OSError:
            return b""

    async def aclose(self) -> None:
        """Close the socket at once; the serving ends by itself."""
        self.abort()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        """Close the socket at once, dropping what is unsent, and cancel all that serves the client.

        Where the socket is closed already, only the cancelling is left to do. Never blocks.
        """
        if not self._output.closed:
            self._output.close()
            self._revoke()
            with suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self._close_socket()
        self._scope.cancel()

    def _close(self) -> None:
        """Close the socket in the regular way; the kernel goes on to send what it has."""
        if self._output.closed:
            return
        if self._tls is not None:
            self._output.put_records(self._tls.farewell())
        self._output.close()
        self._revoke()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self._close_socket()

    def _close_socket(self) -> None:
        trio.lowlevel.notify_closing(self._sock)  # wakes whoever waits for it
        self._sock.close()

    def _revoke(self) -> None:
        """Nobody is there any more to whom a wire could write."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.revoke()
        if isinstance(self._protocol, HTTP2Protocol):
            self._protocol.revoke()

    def _spawn(self, task: Callable[[], Any]) -> None:
        if self._tasks is not None:
            self._tasks.spawn(task)

    # --- idle connections ---------------------------------------------------------------------

    def _set_idle(self, idle: bool) -> None:
        """A client that asks for nothing is left after a while."""
        self._head_begun = False
        self._scope.deadline = inf
        if idle:
            self._scope.deadline = trio.current_time() + self._shared.settings.keep_alive_seconds

    def _expect_head(self) -> None:
        """Whoever begins a request has so long for its head, also if it sends a byte at a time."""
        if self._head_begun or self._scope.deadline == inf or isinstance(self._protocol, HTTP2Protocol):
            return
        self._head_begun = True
        within = trio.current_time() + self._shared.settings.request_head_timeout_seconds
        self._scope.deadline = min(self._scope.deadline, within)

    def close_if_idle(self) -> None:
        """Leave a client that asks for nothing now."""
        if self._scope.deadline != inf:
            self._scope.cancel()

    # --- what Hypercorn's protocols need ------------------------------------------------------

    async def _handle(self, event: RawData) -> None:
        """Give bytes to the protocol; HTTP/1.1 may turn out to be, or to become, HTTP/2."""
        assert self._protocol is not None
        try:
            await self._protocol.handle(event)
        except H2ProtocolAssumedError as assumed:
            self._protocol = self._speak_http2()
            self._set_idle(True)  # what looked like a request was none
            await self._protocol.initiate()
            await self._protocol.handle(RawData(assumed.data))
        except H2CProtocolRequiredError as upgrade:
            self._protocol = self._speak_http2()
            await self._protocol.initiate(upgrade.headers, upgrade.settings)
            if upgrade.data:
                await self._protocol.handle(RawData(upgrade.data))

    def _speak_http1(self, read: Callable[[], Awaitable[bytes]]) -> HTTP1Protocol:
        most = self._shared.settings.max_request_head_bytes
        return HTTP1Protocol(read, self.abort, self._refuse_behind_stream, most, *self._parts())

    def _refuse_behind_stream(self) -> None:
        """Behind a stream nothing more is read, and so its client's leaving would not be seen."""
        if self._wire is not None and self._wire.is_leased:
            self.abort()

    def _speak_http2(self) -> HTTP2Protocol:
        return HTTP2Protocol(self._output, *self._parts())

    def _parts(self) -> tuple[Any, ...]:
        """What all of Hypercorn's protocols are made from."""
        shared = self._shared
        own = self._entrance.address
        if own is None:
            with suppress(OSError):  # closed already
                own = parse_socket_addr(self._sock.family, self._sock.getsockname())
        return (
            self._run_app,
            shared.config,
            shared.context,
            self._tasks,
            shared.state,
            self._tls is not None,
            self._peer,
            own,
            self._take,
        )

    async def _take(self, event: Event) -> None:
        """What a protocol wants done with its connection."""
        if isinstance(event, RawData):
            with suppress(trio.ClosedResourceError):
                await self._output.send(event.data)
                return
            self._revoke()
            await self._tell_closed()
        elif isinstance(event, Updated):
            self._set_idle(event.idle)
        elif isinstance(event, Closed):
            if not self._output.free:
                with suppress(trio.ClosedResourceError):
                    await self._output.send(b"")  # returns when what waits has gone out
            self._close()
            await self._tell_closed()

    async def _tell_closed(self) -> None:
        if self._protocol is not None:
            await self._protocol.handle(Closed())

    def _run_app(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """The application, with the transport in the scope's extensions."""
        extensions = scope.setdefault("extensions", {})
        protocol = self._protocol
        if isinstance(protocol, HTTP2Protocol):
            extensions[CONNECTION_EXTENSION] = HTTP2Stream(
                protocol, send.__self__, self._output, self._shared.settings.http2_stream_buffer_bytes
            )
        else:
            extensions[CONNECTION_EXTENSION] = self
        return self._shared.app(scope, receive, send)

    # --- the transport of an HTTP/1.1 request -------------------------------------------------

    def hold(self) -> None:
        """See :class:`streamd.transports.asgi.Transport`."""
        self._output.hold()

    def lease(self, defer: Defer, on_disconnect: Callable[[], None]) -> Wire | None:
        """See :class:`streamd.transports.asgi.Transport`."""
        stream = self._protocol.stream if isinstance(self._protocol, HTTP1Protocol) else None
        if self._output.closed or stream is None or stream.closed:
            on_disconnect()
            return None
        if isinstance(stream, WSStream):
            self._wire = WebSocketWire(self._output, _WEBSOCKET, on_disconnect, stream)
        elif is_streaming(stream):
            chunked = stream.scope["http_version"] == "1.1"
            self._wire = SocketWire(self._output, _CHUNK if chunked else _EVENT_STREAM, on_disconnect)
        else:
            return None
        return self._wire
