"""HTTP/2 on one connection.

Graceful shutdown (RFC 9113 section 6.8)::

    OPEN --begin_drain()--> DRAINING --a new request, or go_away()--> GOING AWAY
                                |        (GOAWAY)                         |
                                |  no stream is open (GOAWAY)             |  no stream is open
                                v                                         v
                            CLOSED <--------------------------------------+

A connection that drains accepts no request: it is reset with REFUSED_STREAM, and clients may try it again
elsewhere (section 8.7). GOAWAY does not come before that: some clients, such as those on the ``h2`` library,
drop the open streams of a connection when they read it, and most streams end within the drain anyway.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

import structlog
from h2.errors import ErrorCodes
from h2.events import Event, RequestReceived
from h2.exceptions import ProtocolError
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.events import EndBody, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.utils import filter_pseudo_headers
from hyperframe.frame import GoAwayFrame, RstStreamFrame
from priority.priority import DuplicateStreamError
from wsproto.handshake import WEBSOCKET_VERSION

from ..refusals import MALFORMED, RequestRefused, malformed
from ..stream_buffer import BoundedStreamBuffer, MessageBuffer
from ..target import check_target
from ..wires import Lease
from .http2_heads import HTTP2Connection, RefusedHead
from .http2_streams import HTTP2Request, HTTP2WebSocket
from .streams import EXTENSIONS, HypercornStream, log_malformed

_log = structlog.get_logger(__name__)

_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Z-]+")  # a token (RFC 9110 section 9.1)
_VERSION: Final = b"sec-websocket-version"
_EMPTY: Final = (b"content-length", b"0")
_PSEUDO_MAX: Final = 5  # :method, :scheme, :authority, :path and :protocol, before all other fields


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
        self.connection: HTTP2Connection = HTTP2Connection(
            self.config.h2_max_header_list_size, self.config.h2_max_concurrent_streams
        )
        self.streams = _Streams()
        self.stream_buffers: dict[int, Any] = {}
        self.wires: dict[int, Lease] = {}
        self._unwanted: set[int] = set()  # ids of streams that are reset after their last byte is sent
        self._last_accepted = 0  # a stream id
        self._is_draining = False
        self._has_gone_away = False

    async def receive_data(self, data: bytes) -> None:
        """Process bytes of the client, empty at the end."""
        await self.handle(RawData(data))

    async def notify_disconnect(self) -> None:
        """Tell the applications that the client has left."""
        await self.handle(Closed())
        self.connection.release()

    def flush_turn(self) -> None:
        """Send the frames that streams wrote in this turn; no other data is queued between its writes."""
        data = self.connection.data_to_send()
        if data:
            self._put(data)

    def revoke(self) -> None:
        """Revoke all wires, because the client is gone."""
        for stream_id in list(self.wires):
            self._revoke_wire(stream_id)

    # --- graceful shutdown --------------------------------------------------------------------

    def begin_drain(self) -> None:
        """Refuse new requests, and end the connection after those that are being answered."""
        if not self._is_draining:
            self._is_draining = True
            self.task_group.spawn(self._end_drained)

    def go_away(self) -> None:
        """Tell the client which request is the last that is answered (GOAWAY)."""
        if self._has_gone_away or self.closed:
            return
        self._has_gone_away = True
        # Not by `close_connection`, after which h2 would send no frame of the open streams.
        frame = GoAwayFrame(0, last_stream_id=self._last_accepted)
        self._put(self.connection.data_to_send() + frame.serialize())

    async def _end_drained(self) -> None:
        """End a connection that drains once its last response is complete."""
        if self._is_draining and not self.closed and not self.streams and not self.stream_buffers:
            self.go_away()
            await self.send(Closed())

    async def _send_data(self, stream_id: int) -> None:
        await super()._send_data(stream_id)
        if stream_id in self._unwanted and stream_id not in self.stream_buffers:
            self._unwanted.discard(stream_id)
            self._stop_receiving(stream_id)
            await self._flush()
        if self._is_draining:
            await self._end_drained()

    # --- requests -----------------------------------------------------------------------------

    async def _handle_events(self, events: list[Event]) -> None:
        """Refuse the requests that the application does not see, and process all other events."""
        accepted = []
        for event in events:
            if not isinstance(event, RequestReceived):
                accepted.append(event)
            elif (refused := self._find_refusal(event)) is None:
                self._last_accepted = event.stream_id
                accepted.append(event)
            else:
                self._refuse(event.stream_id, refused)
        await super()._handle_events(accepted)

    def _find_refusal(self, request: RequestReceived) -> RefusedHead | None:
        """Return why a request is refused; one that is not gets its target and headers for Hypercorn."""
        found = self.connection.refused.pop(request.stream_id, None)
        if self._is_draining:
            self.go_away()
            return RefusedHead(None)
        if found is not None:
            return found
        pseudo = _pseudo_headers(request)
        try:
            _check_request(pseudo)
            if pseudo[b":method"] == b"CONNECT":
                _check_version(request)
        except RequestRefused as error:
            return RefusedHead(error, pseudo[b":method"] == b"HEAD")
        if any(name == EXTENSIONS for name, _ in request.headers):
            request.headers = [header for header in request.headers if header[0] != EXTENSIONS]
        return None

    def _refuse(self, stream_id: int, refused: RefusedHead) -> None:
        """Answer a request with a problem, or reset its stream. The rest of it is not read (section 8.1)."""
        connection, error = self.connection, refused.error
        try:
            if error is None:
                connection.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
                return
            self._last_accepted = stream_id
            _log.info("request_malformed", status=error.status, address=self.client and self.client[0])
            headers, body = error.answer()
            if refused.is_head:
                body = b""
            elif connection.local_flow_control_window(stream_id) < len(body):  # nothing waits for its window
                headers, body = [_EMPTY, *(each for each in headers if each[0] != _EMPTY[0])], b""
            status = (b":status", b"%d" % error.status)
            head = [status, *headers, *self.config.response_headers("h2")]
            connection.send_headers(stream_id, head, end_stream=not body)
            if body:
                connection.send_data(stream_id, body, end_stream=True)
            if error.code == MALFORMED:
                self._end_malformed(stream_id)
            else:
                self._stop_receiving(stream_id)
        except ProtocolError:  # the peer has reset the stream
            pass

    def _end_malformed(self, stream_id: int) -> None:
        """Reset a stream behind the answer to its malformed head (PROTOCOL_ERROR, section 8.1.1).

        A client that has read the answer to its end ignores the reset.
        """
        if not self._is_over(stream_id):
            self.connection.reset_stream(stream_id, ErrorCodes.PROTOCOL_ERROR)
            return
        # Not by `reset_stream`, which h2 refuses for a stream that both ends have ended.
        frame = RstStreamFrame(stream_id, error_code=ErrorCodes.PROTOCOL_ERROR)
        self._put(self.connection.data_to_send() + frame.serialize())

    def _stop_receiving(self, stream_id: int) -> None:
        """Reset a stream whose response is complete, where the client still sends (NO_ERROR, section 8.1)."""
        if not self._is_over(stream_id):
            self.connection.reset_stream(stream_id, ErrorCodes.NO_ERROR)

    def _is_over(self, stream_id: int) -> bool:
        """Return True for a stream that was reset, or that both ends have ended."""
        stream = self.connection.streams.get(stream_id)
        return stream is None or bool(stream.closed)

    async def _create_stream(self, request: RequestReceived) -> None:
        stream_id, pseudo = request.stream_id, _pseudo_headers(request)
        method = pseudo[b":method"].decode("ascii")
        kind = HTTP2WebSocket if method == "CONNECT" else HTTP2Request
        stream = self.streams[stream_id] = kind(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            stream_id,
        )
        self.stream_buffers[stream_id] = StreamBuffer(self.context.event_class)
        with suppress(DuplicateStreamError):  # a PRIORITY frame came before
            self.priority.insert_stream(stream_id)
            self.priority.block(stream_id)
        await stream.handle(
            Request(
                stream_id=stream_id,
                headers=filter_pseudo_headers(request.headers),
                http_version="2",
                method=method,
                raw_path=pseudo[b":path"],
                state=self.connection_state,
            )
        )

    # --- streams ------------------------------------------------------------------------------

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

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of a response; a stream ends with the refusal of its WebSocket handshake."""
        if isinstance(event, StreamClosed):
            await self._close_stream(event.stream_id)
            await self.send(Updated(idle=self.idle))
            return
        stream = self.streams.get(event.stream_id)
        refused = stream if isinstance(stream, WSStream) and not stream.handshake.accepted else None
        if refused is not None and isinstance(event, Response):
            log_malformed(refused, event.status_code)
        if isinstance(event, EndBody):
            self.wires.pop(event.stream_id, None)  # a client that leaves from now on leaves nothing undone
        await super().stream_send(event)
        if refused is not None and isinstance(event, EndBody):
            await self._close_stream(event.stream_id)

    async def _close_stream(self, stream_id: int) -> None:
        self._revoke_wire(stream_id)
        stream = self.streams.get(stream_id)
        if stream_id in self.stream_buffers and isinstance(stream, WSStream):
            # Hypercorn answers a client's Close frame, and leaves the stream open (RFC 8441 section 5).
            self.stream_buffers[stream_id].set_complete()
            self.priority.unblock(stream_id)
            if not stream.handshake.accepted or cast(HTTP2WebSocket, stream).is_violated:
                self._unwanted.add(stream_id)
        elif stream_id in self.stream_buffers and self._is_over(stream_id):
            await self.stream_buffers[
                stream_id
            ].close()  # Hypercorn would keep it to the end of the connection
        await super()._close_stream(stream_id)
        if not self.streams and not self.closed:  # Hypercorn reports only streams that were answered
            await self.send(Updated(idle=True))
            await self._end_drained()

    def _revoke_wire(self, stream_id: int) -> None:
        wire = self.wires.pop(stream_id, None)
        if wire is not None:
            wire.revoke()


def _pseudo_headers(request: RequestReceived) -> dict[bytes, bytes]:
    return dict(request.headers[:_PSEUDO_MAX])


def _check_request(pseudo: dict[bytes, bytes]) -> None:
    """Check the method and the target of a request.

    Raises:
        RequestRefused: one of them is malformed, or the method is the CONNECT of a proxy, without a path.
    """
    method = pseudo[b":method"]
    if not _METHOD.fullmatch(method):
        raise malformed("the method of the request must be a token in upper case, such as GET")
    if method == b"CONNECT" and pseudo.get(b":protocol") != b"websocket":
        detail = "CONNECT opens WebSockets only, with :protocol websocket (RFC 8441)"
        raise RequestRefused(501, "unsupported-method", detail)
    if pseudo[b":path"] != b"*" or method != b"OPTIONS":
        try:
            check_target(pseudo[b":path"])
        except ValueError as error:
            raise malformed(str(error)) from None


def _check_version(request: RequestReceived) -> None:
    """Check the version of a WebSocket (RFC 6455 section 4.2.2).

    Raises:
        RequestRefused: it is another one. With 400: 426 needs an Upgrade field, which HTTP/2 does not have.
    """
    if (_VERSION, WEBSOCKET_VERSION) not in [(name, value) for name, value in request.headers]:
        detail = "Sec-WebSocket-Version must be 13"
        raise RequestRefused(400, "upgrade-required", detail, [(_VERSION, WEBSOCKET_VERSION)])
