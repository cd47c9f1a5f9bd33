"""The only module that touches Hypercorn's private parts.

Hypercorn documents :mod:`hypercorn.config`, :mod:`hypercorn.typing` and ``hypercorn.trio.serve``. Its state
machines for HTTP/1.1, HTTP/2 and WebSocket are not documented; this module puts them on connections of
streamd's own. Written against Hypercorn 0.18, which ``pyproject.toml`` pins. When Hypercorn moves, check:

==================================  ====================================================================
relied on                           what breaks when it changes
==================================  ====================================================================
nine positional arguments           every connection: see :func:`protocol_arguments`
``hypercorn.events``                every connection: see :class:`ConnectionPort` and ``receive_data``
``H11Protocol.can_read``            pipelining, and noticing a client that leaves during an answer
``H11Protocol._create_stream``,     WebSocket extensions are negotiated again (91 kB a connection), and
``H2Protocol._create_stream``       messages are inflated before their size is checked
``H11Protocol._send_error_response``  requests that are no HTTP leave no log line
``H11WSConnection``,                a WebSocket handshake that is refused: bytes behind it would be answered a
``stream_send``                     second time, and the connection would stay open
``H2…`` exceptions of ``h11``       HTTP/2 by prior knowledge, ``Upgrade: h2c``
``H2Protocol.stream_buffers``       HTTP/2 back-pressure: see :mod:`.stream_buffer`, which has the methods of
                                    Hypercorn's ``StreamBuffer``
``H2Protocol.streams``              a body that continues after its answer ends the whole connection
``H2Protocol._close_stream``,       ending one stream of an HTTP/2 connection; revoking its wire; the
``_window_updated``, ``_flush``     keep-alive timeout after the last stream
``HTTPStream.state``, ``response``  direct writes: a wire could write before the head or after the end
``WSStream.connection``             direct writes: a wire could write after a Close frame
``app_send`` is a bound method      the connection object in the ASGI scope: see :func:`stream_of`
``Lifespan``, ``WorkerContext``     start-up and graceful shutdown
==================================  ====================================================================
"""

import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, cast

import attrs
import h11
import structlog
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.exceptions import ProtocolError
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import EndBody, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import (
    H2CProtocolRequiredError,
    H2ProtocolAssumedError,
    H11Protocol,
    H11WSConnection,
)
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState
from hypercorn.utils import wrap_app
from wsproto.connection import Connection

from .http1 import PipelinePause
from .stream_buffer import BoundedStreamBuffer, MessageBuffer
from .task_group import TaskGroup
from .wires import Lease

_log = structlog.get_logger(__name__)

# Without permessage-deflate no message is ever compressed: a compressor costs 91 kB a connection, and
# Hypercorn inflates a message before it checks its size.
_EXTENSIONS: Final = b"sec-websocket-extensions"

HypercornStream = HTTPStream | WSStream


# --- the server -----------------------------------------------------------------------------------


class HypercornContext(WorkerContext):
    """The state that a server shares with all of its protocols."""

    def __init__(self) -> None:
        super().__init__(None)  # no maximum number of requests

    async def end_keep_alive(self) -> None:
        """Close each connection after its current answer from now on, and reject new HTTP/2 streams."""
        await self.terminated.set()


class ASGILifespan(Lifespan):
    """The ``lifespan`` scope of an application (ASGI 3.0): its start-up and its shutdown."""

    def __init__(self, app: ASGIFramework, config: Config, state: LifespanState) -> None:
        super().__init__(wrap_app(app, config.wsgi_max_body_size, "asgi"), config, state)


# --- any connection -------------------------------------------------------------------------------


class ConnectionPort(Protocol):
    """The connection, as its protocol uses it."""

    async def write(self, data: bytes) -> None:
        """Send bytes, and return when the kernel has taken them."""

    def set_idle(self, idle: bool) -> None:
        """Start the keep-alive timeout where no request is in progress, or stop it."""

    async def finish(self) -> None:
        """Close the connection after all that was written has been sent."""


@attrs.frozen
class HTTP2Switch:
    """A connection that began as HTTP/1.1 and goes on as HTTP/2.

    Attributes:
        data: bytes for HTTP/2 that were received already.
        headers: of a request with ``Upgrade: h2c``; None by prior knowledge (RFC 9113 section 3.3).
        settings: its ``HTTP2-Settings`` header, if any.
    """

    data: bytes
    headers: list[tuple[bytes, bytes]] | None = None
    settings: bytes | None = None


def protocol_arguments(
    app: ASGIFramework,
    config: Config,
    context: HypercornContext,
    task_group: TaskGroup,
    state: ConnectionState,
    port: ConnectionPort,
    *,
    is_tls: bool,
    client: tuple[str, int] | None,
    server: tuple[str, int] | None,
) -> tuple[Any, ...]:
    """Build the arguments that Hypercorn's protocols are constructed with.

    Args:
        app: an ASGI application.
        config, context: of the server.
        task_group, port: of the connection.
        state: of the application's lifespan; each request gets a copy.
        is_tls: selects ``https`` as the scheme of its requests.
        client: address and port of the peer.
        server: address and port of the connection's own end.
    """
    return app, config, context, task_group, state, is_tls, client, server, _Sink(port)


class _Sink:
    """The function by which a protocol sends events, as an object because a closure takes 200 bytes more."""

    __slots__ = ("_port",)

    def __init__(self, port: ConnectionPort) -> None:
        self._port = port

    async def __call__(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._port.write(event.data)
        elif isinstance(event, Updated):
            self._port.set_idle(event.idle)
        elif isinstance(event, Closed):
            await self._port.finish()


# --- HTTP/1.1 and WebSocket -----------------------------------------------------------------------


class HTTP1Protocol(H11Protocol):
    """One HTTP/1.1 connection, which may become a WebSocket.

    Args:
        pause: reads from the client while a request is being answered.
        arguments: from :func:`protocol_arguments`.
    """

    def __init__(self, pause: PipelinePause, arguments: tuple[Any, ...]) -> None:
        super().__init__(*arguments)
        self.can_read = pause
        pause.feed_to(weakref.proxy(self))  # which owns the pause

    @property
    def open_stream(self) -> HypercornStream | None:
        """The request that is being answered, or the WebSocket; None where it is over."""
        return None if self.stream is None or self.stream.closed else self.stream

    async def receive_data(self, data: bytes) -> HTTP2Switch | None:
        """Process bytes of the client, empty at the end; returns what remains for HTTP/2 if it is that."""
        try:
            await self.handle(RawData(data))
        except H2ProtocolAssumedError as assumed:
            return HTTP2Switch(assumed.data)
        except H2CProtocolRequiredError as upgrade:
            return HTTP2Switch(upgrade.data, upgrade.headers, upgrade.settings)
        return None

    def feed(self, data: bytes) -> None:
        """Pass bytes to the parser without processing them yet."""
        self.connection.receive_data(data)

    async def notify_disconnect(self) -> None:
        """Tell the application that the client has left."""
        await self.handle(Closed())

    async def _create_stream(self, request: h11.Request) -> None:
        if any(name == _EXTENSIONS for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=[header for header in request.headers if header[0] != _EXTENSIONS],
                http_version=request.http_version,
            )
        await super()._create_stream(request)
        if isinstance(self.stream, WSStream) and isinstance(self.connection, H11WSConnection):
            self.connection = _WebSocketInput(self.connection)  # no checkpoint yet: it is not answered

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of a response; the connection ends with the refusal of a WebSocket handshake.

        A client may have sent frames behind its handshake, so that the connection cannot be reused.
        """
        if not isinstance(self.stream, WSStream):
            await super().stream_send(event)
            return
        accepted = self.stream.handshake.accepted
        if isinstance(event, Response):
            if isinstance(self.connection, _WebSocketInput):
                self.connection.accepted = accepted
            if not accepted:
                _log_malformed(self.stream, event.status_code)
                event = Response(event.stream_id, _with_close(event.headers), event.status_code)
        await super().stream_send(event)
        if isinstance(event, Response):
            await self.can_read.set()
        elif isinstance(event, EndBody) and not accepted:
            await self.send(Closed())

    async def _send_error_response(self, status_code: int) -> None:
        if self.stream is None:  # otherwise the application logs the request
            _log.info("request_malformed", status=status_code, address=self.client and self.client[0])
        await super()._send_error_response(status_code)


class _WebSocketInput(H11WSConnection):
    """The client's bytes behind a WebSocket handshake.

    They are held until the handshake is answered (RFC 6455 section 4.1), and discarded where it is refused.

    Args:
        upgraded: replaced by this one.

    Attributes:
        accepted: None until the handshake is answered.
    """

    def __init__(self, upgraded: H11WSConnection) -> None:
        self.buffer = upgraded.buffer
        self.h11_connection = upgraded.h11_connection
        self.accepted: bool | None = None

    def next_event(self) -> Any:
        """Return the bytes received so far, PAUSED until the handshake is answered, or NEED_DATA."""
        if self.buffer and self.accepted is None:
            return h11.PAUSED
        if not self.accepted:
            self.buffer.clear()
        return super().next_event()


def _log_malformed(stream: WSStream, status: int) -> None:
    """Log a handshake that is refused without asking the application, which logs all others."""
    if stream.app_put is None:
        _log.info("request_malformed", status=status, address=stream.client and stream.client[0])


def _with_close(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Replace the Connection header of a response by ``close``."""
    return [*(header for header in headers if header[0].lower() != b"connection"), (b"connection", b"close")]


# --- streams --------------------------------------------------------------------------------------


def stream_of(send: Any) -> HypercornStream:
    """Return the stream that an ASGI ``send`` callable belongs to."""
    return cast(HypercornStream, send.__self__)


def websocket_of(stream: HypercornStream) -> Connection | None:
    """Return the protocol state of an accepted WebSocket; None for a stream that is none."""
    return stream.connection if isinstance(stream, WSStream) else None


def is_streaming(stream: HypercornStream) -> bool:
    """Return True between head and end of a 200 response to a GET, with a body of unknown length."""
    if isinstance(stream, WSStream) or stream.state is not ASGIHTTPState.RESPONSE:
        return False
    head = stream.response
    has_length = any(name.lower() == b"content-length" for name, _ in head["headers"])
    return stream.scope["method"] == "GET" and head["status"] == 200 and not has_length


def is_chunked(stream: HypercornStream) -> bool:
    """Return True where the body is sent in chunks: on HTTP/1.1, and not on 1.0."""
    return stream.scope["http_version"] == "1.1"


def send_body(stream: HypercornStream, data: bytes) -> Awaitable[None]:
    """Send a part of a body as the application would."""
    return stream.app_send({"type": "http.response.body", "body": data, "more_body": True})


# --- HTTP/2 ---------------------------------------------------------------------------------------


class _AnsweredStream:
    """A stream that was answered before its request had been received completely."""

    idle = True

    async def handle(self, event: StreamEvent) -> None:
        """Discard the rest of the request; Hypercorn returns the flow-control credit to the peer."""


class _Streams(dict[int, Any]):
    """A connection's streams; Hypercorn looks up closed ones, too, and would fail with a KeyError."""

    def __missing__(self, stream_id: int) -> _AnsweredStream:
        return _AnsweredStream()


class HTTP2Protocol(H2Protocol):
    """One HTTP/2 connection.

    Args:
        put: writes bytes to the connection without waiting.
        arguments: from :func:`protocol_arguments`.

    Attributes:
        wires: the leased wires, by stream id.
    """

    def __init__(self, put: Callable[[bytes], None], arguments: tuple[Any, ...]) -> None:
        super().__init__(*arguments)
        self._put = put
        self.streams = _Streams()
        self.stream_buffers: dict[int, Any] = {}
        self.wires: dict[int, Lease] = {}

    async def begin(self, switch: HTTP2Switch) -> None:
        """Start a connection that began as HTTP/1.1."""
        await self.initiate(switch.headers, switch.settings)
        if switch.data:
            await self.receive_data(switch.data)

    async def receive_data(self, data: bytes) -> None:
        """Process bytes of the client, empty at the end."""
        await self.handle(RawData(data))

    async def notify_disconnect(self) -> None:
        """Tell the applications that the client has left."""
        await self.handle(Closed())

    def flush_turn(self) -> None:
        """Send the frames that streams wrote in this turn; no other data is queued between its writes."""
        data = self.connection.data_to_send()
        if data:
            self._put(data)

    def revoke(self) -> None:
        """Revoke all wires, because the client is gone."""
        for stream_id in list(self.wires):
            self._revoke_wire(stream_id)

    def limit_buffer(self, stream: HypercornStream, max_bytes: int) -> None:
        """Make a new stream wait once it has buffered ``max_bytes`` for the peer's window."""
        if stream.stream_id in self.stream_buffers:
            kind = MessageBuffer if isinstance(stream, WSStream) else BoundedStreamBuffer
            self.stream_buffers[stream.stream_id] = kind(stream.stream_id, max_bytes)

    def find_open(self, stream_id: int) -> tuple[HypercornStream, BoundedStreamBuffer] | None:
        """Return a stream and its limited buffer, or None where the stream or the connection is over."""
        stream = self.streams.get(stream_id)
        buffer = self.stream_buffers.get(stream_id)
        if self.closed or stream is None or stream.closed or not isinstance(buffer, BoundedStreamBuffer):
            return None
        return stream, buffer

    def reset(self, stream_id: int) -> None:
        """Reset one stream (RST_STREAM, CANCEL). Does nothing where it is over."""
        self._revoke_wire(stream_id)
        try:
            self.connection.reset_stream(stream_id, ErrorCodes.CANCEL)
        except ProtocolError:
            return
        self.task_group.spawn(self._finish_reset, stream_id)

    async def _finish_reset(self, stream_id: int) -> None:
        """Wake the writers of a stream that was reset, and send the reset."""
        if stream_id in self.stream_buffers:
            await self.stream_buffers[stream_id].close()
        await self._close_stream(stream_id)
        await self._window_updated(stream_id)  # makes Hypercorn's sending task forget the stream
        await self._flush()

    async def _create_stream(self, request: RequestReceived) -> None:
        if any(name == _EXTENSIONS for name, _ in request.headers):
            request.headers = [header for header in request.headers if header[0] != _EXTENSIONS]
        await super()._create_stream(request)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of a response; a stream ends with the refusal of its WebSocket handshake."""
        stream = self.streams.get(event.stream_id)
        refused = stream if isinstance(stream, WSStream) and not stream.handshake.accepted else None
        if refused is not None and isinstance(event, Response):
            _log_malformed(refused, event.status_code)
        await super().stream_send(event)
        if refused is not None and isinstance(event, EndBody):
            await self._close_stream(event.stream_id)

    async def _close_stream(self, stream_id: int) -> None:
        self._revoke_wire(stream_id)
        if stream_id in self.stream_buffers and isinstance(self.streams.get(stream_id), WSStream):
            # Hypercorn answers a client's Close frame, and leaves the stream open (RFC 8441 section 5).
            self.stream_buffers[stream_id].set_complete()
            self.priority.unblock(stream_id)
        await super()._close_stream(stream_id)
        if not self.streams and not self.closed:  # Hypercorn reports only streams that were answered
            await self.send(Updated(idle=True))

    def _revoke_wire(self, stream_id: int) -> None:
        wire = self.wires.pop(stream_id, None)
        if wire is not None:
            wire.revoke()
