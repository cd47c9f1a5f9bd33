"""HTTP/1.1 and WebSocket on one connection."""

import weakref
from typing import Any, Final

import attrs
import h11
import structlog
from hypercorn.events import Closed, RawData
from hypercorn.protocol.events import EndBody, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol, H11WSConnection
from hypercorn.protocol.ws_stream import WSStream

from ..http1 import PipelinePause
from .streams import EXTENSIONS, HypercornStream, log_malformed

_log = structlog.get_logger(__name__)
_PREFACE_HEAD: Final = b"PRI * HTTP/2.0\r\n\r\n"


@attrs.frozen
class HTTP2Switch:
    """A connection that began with the preface of HTTP/2: by prior knowledge (RFC 9113 section 3.3).

    Attributes:
        data: bytes for HTTP/2 that were received already, with the preface.
    """

    data: bytes


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
        return None

    def feed(self, data: bytes) -> None:
        """Pass bytes to the parser without processing them yet."""
        self.connection.receive_data(data)

    async def notify_disconnect(self) -> None:
        """Tell the application that the client has left."""
        await self.handle(Closed())

    async def _check_protocol(self, event: h11.Request) -> None:
        """Switch to HTTP/2 at its preface (RFC 9113 section 3.4), and ignore ``Upgrade: h2c`` (section 3.1).

        Hypercorn would answer that with 101, also without ``HTTP2-Settings`` and inside TLS: a tunnel past
        the rules of a proxy that passes the header on. It also takes a preface behind other requests.
        """
        preface = event.method == b"PRI" and event.target == b"*" and event.http_version == b"2.0"
        if preface and not event.headers and self.keep_alive_requests == 0:
            raise H2ProtocolAssumedError(_PREFACE_HEAD + self.connection.trailing_data[0])

    async def _create_stream(self, request: h11.Request) -> None:
        if any(name == EXTENSIONS for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=[header for header in request.headers if header[0] != EXTENSIONS],
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
                log_malformed(self.stream, event.status_code)
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


def _with_close(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Replace the Connection header of a response by ``close``."""
    return [*(header for header in headers if header[0].lower() != b"connection"), (b"connection", b"close")]
