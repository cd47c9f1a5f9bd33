"""HTTP/2 on one connection."""

from collections.abc import Callable
from typing import Any

from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.exceptions import ProtocolError
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.events import EndBody, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.ws_stream import WSStream

from ..stream_buffer import BoundedStreamBuffer, MessageBuffer
from ..wires import Lease
from .streams import EXTENSIONS, HypercornStream, log_malformed


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
        if any(name == EXTENSIONS for name, _ in request.headers):
            request.headers = [header for header in request.headers if header[0] != EXTENSIONS]
        await super()._create_stream(request)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of a response; a stream ends with the refusal of its WebSocket handshake."""
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
