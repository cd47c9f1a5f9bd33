"""One client's socket: Hypercorn's protocols on an output of our own, which can always be ended.

A connection is in one of these states; the attributes that encode each are in parentheses::

    PROXY HEADER (no protocol)                     with server.proxy_protocol only, bounded in time and bytes
        |
    HANDSHAKE (no protocol)                        TLS only, bounded by tls_handshake_timeout_seconds
        |
        |  ALPN agreed: HTTP/1.1 or HTTP/2
        v               request head complete
    IDLE (finite deadline) ---------------> BUSY (deadline is inf)
        |             <---------------------  |
        |                 answer complete     |
        |                                     |
        |  end of input, keep-alive or        |  end of input, Closed by the protocol
        |  request-head timeout, shutdown     |
        v                                     v
    CLOSING (output open): flush, close_notify, FIN
        |                                     |
        |                                     v
        |          LINGERING (output closed, finite deadline): discard input, RFC 9112 section 9.6
        |                                     |  end of input, linger timeout, shutdown
        v                                     v
    CLOSED (socket closed)  <-------------- abort() in any state: RST, unsent bytes are dropped

Coupling rules:

- The scope's deadline is finite exactly while the connection is IDLE or LINGERING. The first byte of a
  request only moves it nearer (request-head timeout), so that a trickling client (slowloris) cannot extend
  it. While LINGERING nothing moves it but the end of the input.
- Output, wires and socket close in this order, the first two without a checkpoint between them: the kernel
  reuses the descriptor, and a wire that still wrote to it would write to another client.
- A connection that the protocol ends while it may still receive bytes lingers: closing a socket with unread
  bytes resets it, and a reset destroys the answer that the client has not read yet.
- HTTP/1.1 becomes HTTP/2 by the preface only (RFC 9113 section 3.3), never by a request, and never back.
- On HTTP/1.1 at most one wire is leased; on HTTP/2 one a stream, kept by the protocol.
"""

import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from operator import attrgetter
from typing import Any, Final

import structlog
import trio

from ..hub import Wire
from ..proxies import TCP_PROXY, ProxyHeader
from ..transports.asgi import CONNECTION_EXTENSION, Defer
from .context import ListenerInfo, ServerContext
from .http1 import PipelinePause
from .http2 import HTTP2Stream
from .hypercorn_internals import (
    HTTP1Protocol,
    HTTP2Protocol,
    is_chunked,
    is_streaming,
    protocol_arguments,
    stream_of,
    websocket_of,
)
from .listeners import host_and_port
from .output import Output
from .preamble import read_proxy_header
from .task_group import TaskGroup
from .tls import TLS
from .wires import SocketWire, WebSocketWire

_log = structlog.get_logger(__name__)

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() drops unsent bytes (RST)
_LINGER_SECONDS: Final = 2.0  # for the client to read the answer and to close; more would only hold files
_RECEIVE_BYTES: Final = 65_536
_HTTP2_STREAM_BUFFER_BYTES: Final = 65_536  # an HTTP/2 stream's initial window: less would only delay it
_CHUNK: Final = attrgetter("chunk")
_EVENT_STREAM: Final = attrgetter("sse")
_WEBSOCKET: Final = attrgetter("websocket")
_buffer: Final = memoryview(bytearray(_RECEIVE_BYTES))  # shared: used between recv and the copy, in one step


class ServerConnection(trio.abc.AsyncResource):
    """Serves one accepted socket; see :meth:`run`.

    Every write goes through one :class:`~.output.Output`, which bounds it in time; :meth:`abort` ends
    the connection at any time. Applications find this object in the ASGI scope, as the
    :class:`~streamd.transports.asgi.Transport` of the request; on HTTP/2 they find one for their stream.

    Args:
        server: application, configuration and limits.
        listener: accepted the socket.
        sock: as accepted.
        peer: its address, as ``accept`` returns it.
    """

    __slots__ = (
        "_head_begun",
        "_listener",
        "_output",
        "_peer",
        "_protocol",
        "_proxy_header",
        "_scope",
        "_server",
        "_sock",
        "_tasks",
        "_tls",
        "_unread",
        "_wire",
    )

    def __init__(self, server: ServerContext, listener: ListenerInfo, sock: socket.socket, peer: Any) -> None:
        self._server = server
        self._listener = listener
        self._sock = sock
        self._peer = host_and_port(sock.family, peer)
        sock.setblocking(False)
        self._tls: TLS | None = None
        self._output = Output(sock, server.settings.write_timeout_seconds, self.abort, self._spawn)
        if listener.tls is not None:
            self._tls = TLS(listener.tls, self._receive, self._output.put_records)
        self._protocol: HTTP1Protocol | HTTP2Protocol | None = None
        self._wire: SocketWire | None = None  # on HTTP/1.1 there is one at a time
        self._tasks: TaskGroup | None = None
        self._scope = trio.CancelScope()  # of all trio tasks; its deadline ends an idle connection
        self._head_begun = False
        self._proxy_header: ProxyHeader | None = None
        self._unread = b""  # received behind the PROXY header

    # --- the life of a connection -------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the client leaves, the connection has been idle for too long, or it is aborted."""
        self._server.live.add(self)
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                self._tasks = TaskGroup(nursery, self._run_app, self._close_output)
                await self._serve()
            self._close()
        except Exception:  # noqa: BLE001 - an error of one connection must not reach the listeners
            _log.exception("connection_failed")
        finally:
            self.abort()
            self._server.live.leave(self)
            # The objects of a connection refer to each other in cycles; separated, they are freed at once.
            self._protocol = self._tls = self._tasks = None

    async def _serve(self) -> None:
        if self._server.settings.proxy_protocol and not await self._take_proxy_header():
            return
        read = self._receive
        agreed: str | None = "http/1.1"
        if self._tls is not None:
            agreed = await self._shake_hands(self._tls)
            if agreed is None:
                return
            self._output.encrypt_with(self._tls.encrypt)
            read = self._tls.receive
        protocol = self._protocol = self._speak_http2() if agreed == "h2" else self._speak_http1(read)
        await protocol.initiate()
        self.set_idle(True)
        data = await read()
        await self._server.limiter.turn()
        while data:
            if not self._output.closed:
                await self._process(data)
                self._expect_head()
            data = await read()
        self._scope.deadline = inf
        await self._server.limiter.turn()
        await self._process(b"")
        self._revoke()
        await self._notify_disconnect()

    async def _take_proxy_header(self) -> bool:
        """Read the PROXY header; return False if the connection must be closed."""
        found = await read_proxy_header(self._peer, self._server.trusted, self._receive)
        if found is not None:
            self._proxy_header, self._unread = found
        return found is not None

    async def _shake_hands(self, tls: TLS) -> str | None:
        with trio.move_on_after(self._server.settings.tls_handshake_timeout_seconds):
            return await tls.handshake()
        return None

    async def _receive(self) -> bytes:
        """Wait for the socket's next bytes; empty at its end, or when it was closed on either side."""
        await trio.lowlevel.checkpoint()
        if self._unread:
            unread, self._unread = self._unread, b""
            return unread
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
        """Close the socket at once; :meth:`run` returns soon after."""
        self.abort()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        """Close the socket at once, dropping unsent bytes, and cancel all trio tasks of the connection.

        Where the socket is closed already, only cancels them. Never blocks.
        """
        if self._sock.fileno() >= 0:
            self._output.close()
            self._revoke()
            with suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            self._close_socket()
        self._scope.cancel()

    def _close(self) -> None:
        """Close the socket gracefully; the kernel still sends the bytes that it has taken."""
        self._close_output()
        if self._sock.fileno() >= 0:
            self._close_socket()

    def _close_output(self) -> None:
        """Tell the client that no more is sent; does nothing the second time."""
        if self._output.closed:
            return
        if self._tls is not None:
            self._output.put_records(self._tls.close_notify())
        self._output.close()
        self._revoke()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def _close_socket(self) -> None:
        trio.lowlevel.notify_closing(self._sock)  # wakes the trio tasks that wait for it
        self._sock.close()

    def _revoke(self) -> None:
        """Revoke all wires, because the client is gone."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.revoke()
        if isinstance(self._protocol, HTTP2Protocol):
            self._protocol.revoke()

    def _spawn(self, function: Callable[[], Any]) -> None:
        if self._tasks is not None:
            self._tasks.spawn(function)

    # --- idle connections ---------------------------------------------------------------------

    def set_idle(self, idle: bool) -> None:
        """Start the keep-alive timeout, or stop it while a request is in progress."""
        if self._output.closed:
            return
        self._head_begun = False
        self._scope.deadline = inf
        if idle:
            self._scope.deadline = trio.current_time() + self._server.settings.keep_alive_seconds

    def _expect_head(self) -> None:
        """Start the request-head timeout at the first byte of a request."""
        if self._head_begun or self._scope.deadline == inf or isinstance(self._protocol, HTTP2Protocol):
            return
        self._head_begun = True
        within = trio.current_time() + self._server.settings.request_head_timeout_seconds
        self._scope.deadline = min(self._scope.deadline, within)

    def close_if_idle(self) -> None:
        """End the connection if no request is in progress."""
        if self._scope.deadline != inf:
            self._scope.cancel()

    # --- between socket and protocol ----------------------------------------------------------

    async def _process(self, data: bytes) -> None:
        """Pass bytes to the protocol; HTTP/1.1 may turn out to be HTTP/2."""
        assert self._protocol is not None
        switch = await self._protocol.receive_data(data)
        if switch is not None:
            protocol = self._protocol = self._speak_http2()
            self.set_idle(True)  # the bytes looked like a request, and are the preface of HTTP/2
            await protocol.begin(switch)

    def _speak_http1(self, read: Callable[[], Awaitable[bytes]]) -> HTTP1Protocol:
        max_bytes = self._server.settings.max_request_head_bytes
        pause = PipelinePause(read, self.abort, self._refuse_behind_stream, max_bytes)
        return HTTP1Protocol(pause, self._arguments())

    def _refuse_behind_stream(self) -> None:
        """Abort a client that sends too much behind a stream: its leaving would not be noticed."""
        if self._wire is not None and self._wire.is_leased:
            self.abort()

    def _speak_http2(self) -> HTTP2Protocol:
        return HTTP2Protocol(self._output.put, self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        assert self._tasks is not None
        server = self._server
        own = self._listener.address
        if own is None:
            with suppress(OSError):  # closed already
                own = host_and_port(self._sock.family, self._sock.getsockname())
        header = self._proxy_header
        return protocol_arguments(
            self._run_app,
            server.config,
            server.hypercorn,
            self._tasks,
            server.state,
            self,
            is_tls=self._tls is not None or (header is not None and header.is_tls),
            client=self._peer if header is None else header.source or self._peer,
            server=own,
        )

    async def write(self, data: bytes) -> None:
        """Send bytes of the protocol; where that fails, tell it that the client has left."""
        with suppress(trio.ClosedResourceError):
            await self._output.send(data)
            return
        self._revoke()
        await self._notify_disconnect()

    async def finish(self) -> None:
        """Close the connection after all that was written has been sent, and the client had time to read it.

        :meth:`run` closes the socket when the client closes its end, and after 2 s at the latest.
        """
        if not self._output.free:
            with suppress(trio.ClosedResourceError):
                await self._output.send(b"")  # returns when the queued bytes have been sent
        if not self._output.closed:
            self._close_output()
            self._scope.deadline = trio.current_time() + _LINGER_SECONDS
        await self._notify_disconnect()

    async def _notify_disconnect(self) -> None:
        if self._protocol is not None:
            await self._protocol.notify_disconnect()

    def _run_app(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """Run the application, with the transport in the scope's extensions."""
        extensions = scope.setdefault("extensions", {})
        protocol = self._protocol
        if isinstance(protocol, HTTP2Protocol):
            extensions[CONNECTION_EXTENSION] = HTTP2Stream(
                protocol, stream_of(send), self._output, _HTTP2_STREAM_BUFFER_BYTES
            )
        else:
            extensions[CONNECTION_EXTENSION] = self
        if self._proxy_header is not None and self._proxy_header.source is not None:
            scope[TCP_PROXY] = self._peer[0] if self._peer else ""
        return self._server.app(scope, receive, send)

    # --- the transport of an HTTP/1.1 request -------------------------------------------------

    def hold(self) -> None:
        """See :class:`streamd.transports.asgi.Transport`."""
        self._output.hold()

    def lease(self, defer: Defer, on_disconnect: Callable[[], None]) -> Wire | None:
        """See :class:`streamd.transports.asgi.Transport`."""
        stream = self._protocol.open_stream if isinstance(self._protocol, HTTP1Protocol) else None
        if self._output.closed or stream is None:
            on_disconnect()
            return None
        websocket = websocket_of(stream)
        if websocket is not None:
            self._wire = WebSocketWire(self._output, _WEBSOCKET, on_disconnect, websocket)
        elif is_streaming(stream):
            encode = _CHUNK if is_chunked(stream) else _EVENT_STREAM
            self._wire = SocketWire(self._output, encode, on_disconnect)
        else:
            return None
        return self._wire
