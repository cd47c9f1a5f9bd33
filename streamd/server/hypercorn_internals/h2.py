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

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import structlog
import trio
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hypercorn.events import Closed, Updated
from hypercorn.protocol.events import Body, EndBody, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.utils import filter_pseudo_headers
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from ..output import Output
from ..refusals import MALFORMED
from ..stream_buffer import BoundedStreamBuffer, MessageBuffer
from ..wires import Lease
from .http2_frames import error_of
from .http2_heads import RefusedHead
from .http2_requests import find_refusal, pseudo_headers
from .http2_sending import HTTP2Sender
from .http2_streams import HTTP2Request, HTTP2WebSocket
from .streams import HypercornStream, log_malformed

_log = structlog.get_logger(__name__)

_EMPTY: Final = (b"content-length", b"0")
_BUFFER_BYTES: Final = 65_536  # of a stream: its initial window; less would only delay it
_DISCARDED_BYTES_MAX: Final = 32_000_000  # of a body behind its answer, as on HTTP/1.1


class HTTP2Protocol(HTTP2Sender):
    """One HTTP/2 connection.

    Args:
        output: of the connection.
        pause: lets others have their turn where the connections have used up their time.
        arguments: from :func:`protocol_arguments`.

    Attributes:
        wires: the leased wires, by stream id.
    """

    def __init__(
        self, output: Output, pause: Callable[[], Awaitable[None]], arguments: tuple[Any, ...]
    ) -> None:
        super().__init__(output, pause, arguments)
        self.wires: dict[int, Lease] = {}
        self._discarded: dict[int, int] = {}  # bytes of bodies behind their answers, by stream id
        self._last_accepted = 0  # a stream id
        self._is_draining = False
        self._has_gone_away = False

    async def receive_data(self, data: bytes) -> None:
        """Process bytes of the client, empty at the end; others have their turn in between."""
        connection = self.connection
        while not self.closed:
            try:
                events = connection.receive_data(data)
            except ProtocolError as error:
                if flood := error_of(error):
                    address = self.client and self.client[0]
                    _log.info("http2_client_cut_off", detail=flood, address=address)
                await self._flush()
                await self.send(Closed())
                return
            await self._handle_events(events)
            if not connection.has_paused:
                return
            data = b""
            await self._pause()

    async def notify_disconnect(self) -> None:
        """Tell the applications that the client has left."""
        await self.handle(Closed())
        self.connection.release()

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
        self._output.put(self.connection.data_to_send() + frame.serialize())

    async def _end_drained(self) -> None:
        """End a connection that drains once its last response is complete."""
        if self._is_draining and not self.closed and not self.streams and not self.stream_buffers:
            await self._flush()
            # Not in one write with the last frames: clients on the h2 library cannot acknowledge them then.
            await trio.lowlevel.cancel_shielded_checkpoint()
            self.go_away()
            await self.send(Closed())

    async def _send_data(self, stream_id: int) -> None:
        await super()._send_data(stream_id)
        if self._is_draining:
            await self._end_drained()

    # --- requests -----------------------------------------------------------------------------

    async def _handle_events(self, events: list[Event]) -> None:
        """Act on what a few frames of the client mean; priorities are ignored (RFC 9113 section 5.3)."""
        for event in events:
            if isinstance(event, DataReceived):
                await self._take_data(event)
            elif isinstance(event, RequestReceived):
                await self._take_request(event)
            elif isinstance(event, StreamEnded):
                self._discarded.pop(event.stream_id, None)
                if event.stream_id in self.streams:
                    await self.streams[event.stream_id].handle(EndBody(stream_id=event.stream_id))
            elif isinstance(event, StreamReset):
                self._discarded.pop(event.stream_id, None)
                await self._close_stream(event.stream_id)
                await self._window_updated(event.stream_id)
            elif isinstance(event, WindowUpdated):
                await self._window_updated(event.stream_id)
            elif isinstance(event, RemoteSettingsChanged):
                if SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings:
                    await self._window_updated(None)
            elif isinstance(event, ConnectionTerminated):
                await self.send(Closed())
        await self._flush()

    async def _take_request(self, request: RequestReceived) -> None:
        """Start the application on a request, or refuse it."""
        refused = self._find_refusal(request)
        if refused is None:
            self._last_accepted = request.stream_id
            await self._create_stream(request)
            await self.send(Updated(idle=False))
        else:
            self._refuse(request.stream_id, refused)

    async def _take_data(self, event: DataReceived) -> None:
        """Give a part of a body to its stream, and return the credit of the connection's window.

        The stream's own window opens as the application consumes the body: it bounds what is kept, so that
        one stream whose application is slow does not stop the others (section 5.2).
        """
        connection, stream_id, data = self.connection, event.stream_id, event.data
        connection.acknowledge_on_connection(event.flow_controlled_length)
        stream = self.streams.get(stream_id)
        if stream is not None:
            if padding := event.flow_controlled_length - len(data):
                connection.acknowledge_on_stream(padding, stream_id)
            await stream.handle(Body(stream_id=stream_id, data=data))
            return
        # It was answered before its request was received. Some clients read the answer behind their body.
        self._discarded[stream_id] = self._discarded.get(stream_id, 0) + len(data)
        connection.acknowledge_on_stream(event.flow_controlled_length, stream_id)
        if self._discarded[stream_id] > _DISCARDED_BYTES_MAX and stream_id not in self.stream_buffers:
            del self._discarded[stream_id]
            self._stop_receiving(stream_id)

    def _give_credit(self, stream_id: int, size: int) -> None:
        """Open the window of a stream by the bytes that its application has consumed."""
        if not self.closed:
            self.connection.acknowledge_on_stream(size, stream_id)
            self.flush_turn()

    def take_body(self, stream_id: int) -> bytes | None:
        """Return the whole body of a request if it has been received already; otherwise None."""
        stream = self.streams.get(stream_id)
        return stream.inbox.take() if isinstance(stream, HTTP2Request) else None

    def _find_refusal(self, request: RequestReceived) -> RefusedHead | None:
        """Return why a request is refused; None if the application gets it."""
        found = self.connection.refused.pop(request.stream_id, None)
        if self._is_draining:
            self.go_away()
            return RefusedHead(None)
        if found is not None:
            return found
        return find_refusal(request)

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
        self._output.put(self.connection.data_to_send() + frame.serialize())

    async def _create_stream(self, request: RequestReceived) -> None:
        stream_id, pseudo = request.stream_id, pseudo_headers(request)
        method = pseudo[b":method"].decode("ascii")
        arguments = (
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
        give_credit = partial(self._give_credit, stream_id)
        stream: HTTP2Request | HTTP2WebSocket
        if method == "CONNECT":
            stream = HTTP2WebSocket(give_credit, self._pause, *arguments)
            self.stream_buffers[stream_id] = MessageBuffer(stream_id, _BUFFER_BYTES)
        else:
            stream = HTTP2Request(give_credit, *arguments)
            self.stream_buffers[stream_id] = BoundedStreamBuffer(stream_id, _BUFFER_BYTES)
        self.streams[stream_id] = stream
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

    def find_open(self, stream_id: int) -> tuple[HypercornStream, BoundedStreamBuffer] | None:
        """Return a stream and its buffer, or None where the stream or the connection is over."""
        stream = self.streams.get(stream_id)
        buffer = self.stream_buffers.get(stream_id)
        if self.closed or stream is None or stream.closed or buffer is None:
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

    async def fail_unfinished(self, stream_id: int) -> None:
        """Reset a stream whose application has ended in the middle of its response (INTERNAL_ERROR).

        Without it the client would wait for the rest. What the client's window allows is sent before. Not
        for an application that is cancelled: the connection ends with it, and must not be waited for.
        """
        stream = self.streams.get(stream_id)
        if self.closed or not isinstance(stream, HTTP2Request) or not stream.is_unfinished:
            return
        self._revoke_wire(stream_id)
        with suppress(ProtocolError):
            while await self._send_frame(stream_id, self.stream_buffers[stream_id]):
                pass
            self.connection.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
        await self._finish_reset(stream_id)

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
        if stream_id in self.stream_buffers and self.closed:
            # Hypercorn would wait for the client's window, without end.
            await self.stream_buffers[stream_id].close()
        elif isinstance(stream, HTTP2WebSocket):
            self._end_websocket(stream_id, is_wanted=stream.handshake.accepted and not stream.is_violated)
        elif stream_id in self.stream_buffers and self._is_over(stream_id):
            await self.stream_buffers[
                stream_id
            ].close()  # Hypercorn would keep it to the end of the connection
        await super()._close_stream(stream_id)
        if not self.streams and not self.closed:  # Hypercorn reports only streams that were answered
            await self.send(Updated(idle=True))
            await self._end_drained()

    def _end_websocket(self, stream_id: int, *, is_wanted: bool) -> None:
        """End the stream of a WebSocket, and reset one whose client is not listened to any more."""
        if stream_id in self.stream_buffers:
            # Hypercorn answers a client's Close frame, and leaves the stream open (RFC 8441 section 5).
            self.stream_buffers[stream_id].set_complete()
            self.priority.unblock(stream_id)
            if not is_wanted:
                self._unwanted.add(stream_id)
        elif not is_wanted:  # the last byte was sent
            with suppress(ProtocolError):  # the connection is over
                self._stop_receiving(stream_id)

    def _revoke_wire(self, stream_id: int) -> None:
        wire = self.wires.pop(stream_id, None)
        if wire is not None:
            wire.revoke()
