"""What Hypercorn's HTTP/2 lacks: back pressure, and an end for one stream of a connection.

Hypercorn's stream buffer takes in any amount while the peer's flow-control window is closed (RFC 9113
section 5.2), so that one stream which is never read grows without bound. Here a buffer that is full
makes the application wait, which also shows the keeper that the stream makes no progress.
"""

from collections.abc import Callable
from typing import Any

import trio
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.exceptions import ProtocolError
from hypercorn.events import Updated
from hypercorn.protocol.events import Event
from hypercorn.protocol.h2 import BufferCompleteError, H2Protocol, StreamBuffer
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream

from ..events import Batch
from ..transports.asgi import Defer
from .output import Output
from .wires import Lease, is_streaming


class BoundedStreamBuffer(StreamBuffer):
    """A stream's buffer whose ``push`` waits while it is full, until half of it has gone out.

    Args:
        event_class: of Hypercorn's worker.
        max_bytes: when it is full; the push that fills it may exceed it.
    """

    def __init__(self, event_class: type[Any], max_bytes: int) -> None:
        super().__init__(event_class)
        self._max_bytes = max_bytes

    async def push(self, data: bytes) -> None:
        """Take in some bytes; returns once there is room for more.

        Raises:
            BufferCompleteError: the stream is over.

        Cancelled while waiting: the bytes are in the buffer.
        """
        if self._complete:
            raise BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()
        while len(self.buffer) >= self._max_bytes and not self._complete:
            await self._paused.clear()
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        """Give out at most ``max_length`` bytes."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[: len(data)]
        if len(self.buffer) <= self._max_bytes // 2:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class MessageBuffer(BoundedStreamBuffer):
    """A WebSocket's buffer, where control frames do not wait for room (RFC 6455 section 5.5).

    They come from the task that reads the connection, which alone can take in what opens the window.
    """

    async def push(self, data: bytes) -> None:
        if not (data and data[0] & 0x08):
            await super().push(data)
            return
        if self._complete:
            raise BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()


class _Over:
    """Stands for a stream that was answered before all of its request had come."""

    idle = True

    async def handle(self, event: Event) -> None:
        """Drop what still comes; Hypercorn gives the peer its flow-control credit back."""


class _Streams(dict[int, Any]):
    """A connection's streams. Hypercorn looks up what is not there any more, and would fail."""

    def __missing__(self, stream_id: int) -> _Over:
        return _Over()


class HTTP2Protocol(H2Protocol):
    """One HTTP/2 connection.

    Attributes:
        wires: the leased wires of its streams.
    """

    def __init__(self, output: Output, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._output = output
        self.streams = _Streams()
        self.wires: dict[int, HTTP2Wire] = {}

    async def _create_stream(self, request: RequestReceived) -> None:
        if any(name == b"sec-websocket-extensions" for name, _ in request.headers):  # see HTTP1Protocol
            request.headers = [h for h in request.headers if h[0] != b"sec-websocket-extensions"]
        await super()._create_stream(request)

    async def _close_stream(self, stream_id: int) -> None:
        wire = self.wires.pop(stream_id, None)
        if wire is not None:
            wire.revoke()
        if stream_id in self.stream_buffers and isinstance(self.streams.get(stream_id), WSStream):
            # Hypercorn answers a client's Close, and leaves the stream open (RFC 8441 section 5).
            self.stream_buffers[stream_id].set_complete()
            self.priority.unblock(stream_id)
        await super()._close_stream(stream_id)
        if not self.streams and not self.closed:  # Hypercorn says so only of streams that were answered
            await self.send(Updated(idle=True))

    async def finish_reset(self, stream_id: int) -> None:
        """Let go whoever waits for a stream that we have reset, and tell the peer."""
        if stream_id in self.stream_buffers:
            await self.stream_buffers[stream_id].close()
        await self._close_stream(stream_id)
        await self._window_updated(stream_id)  # Hypercorn's sending task forgets it then
        await self._flush()

    def flush_turn(self) -> None:
        """Send what streams have written in this turn. Nobody else has sent since: the turn is one step."""
        data = self.connection.data_to_send()
        if data:
            self._output.put(data)

    def revoke(self) -> None:
        """The client is gone: take back all wires."""
        wires = list(self.wires.values())
        self.wires.clear()
        for wire in wires:
            wire.revoke()


class HTTP2Stream:
    """One stream of an HTTP/2 connection, as applications find it in the ASGI scope.

    Args:
        protocol: the connection's protocol.
        stream: Hypercorn's.
        output: of the connection.
        buffer_bytes: what may wait for the stream's window before the application does.
    """

    def __init__(
        self, protocol: HTTP2Protocol, stream: HTTPStream | WSStream, output: Output, buffer_bytes: int
    ) -> None:
        self._protocol = protocol
        self._stream_id = stream.stream_id  # the stream itself refers to this object, by its scope
        self._output = output
        if stream.stream_id in protocol.stream_buffers:
            kind = MessageBuffer if isinstance(stream, WSStream) else BoundedStreamBuffer
            buffer = kind(protocol.context.event_class, buffer_bytes)
            protocol.stream_buffers[stream.stream_id] = buffer

    def abort(self) -> None:
        """Reset this stream alone (RST_STREAM, CANCEL); the connection and its others go on."""
        wire = self._protocol.wires.pop(self._stream_id, None)
        if wire is not None:
            wire.revoke()
        try:
            self._protocol.connection.reset_stream(self._stream_id, ErrorCodes.CANCEL)
        except ProtocolError:
            return  # it is over already
        self._protocol.task_group.spawn(self._protocol.finish_reset, self._stream_id)

    def hold(self) -> None:
        """Do nothing: other streams of the connection do not wait for this one."""

    def lease(self, defer: Defer, on_disconnect: Callable[[], None]) -> "HTTP2Wire | None":
        protocol = self._protocol
        stream = protocol.streams.get(self._stream_id)
        buffer = protocol.stream_buffers.get(self._stream_id)
        if protocol.closed or stream is None or stream.closed or buffer is None:
            on_disconnect()
            return None
        if not isinstance(stream, HTTPStream) or not is_streaming(stream):
            return None  # also for a WebSocket over HTTP/2 (RFC 8441)
        wire = HTTP2Wire(protocol, stream, buffer, self._output, defer, on_disconnect)
        protocol.wires[stream.stream_id] = wire
        return wire


class HTTP2Wire(Lease):
    """The body of one stream, as DATA frames within its flow-control window.

    What many streams of a connection write in one turn of the fan-out leaves in one system call, at
    its end. Where the window is too small the stream's buffer takes over, which holds the writer back.
    """

    __slots__ = ("_buffer", "_defer", "_protocol", "_stream")

    def __init__(
        self,
        protocol: HTTP2Protocol,
        stream: HTTPStream,
        buffer: StreamBuffer,
        output: Output,
        defer: Defer,
        lost: Callable[[], None],
    ) -> None:
        super().__init__(output, lost)
        self._protocol = protocol
        self._stream = stream
        self._buffer = buffer
        self._defer = defer

    def write_nowait(self, batch: Batch) -> int:
        if self._output is None or not self._output.free or self._buffer.buffer:
            return 0
        data, stream_id, connection = batch.sse, self._stream.stream_id, self._protocol.connection
        try:
            if len(data) > connection.local_flow_control_window(stream_id):
                return 0
            frame_bytes = connection.max_outbound_frame_size
            for start in range(0, len(data), frame_bytes):
                connection.send_data(stream_id, data[start : start + frame_bytes])
        except ProtocolError:  # the peer has reset the stream
            return 0
        self._defer(self._protocol.flush_turn)
        return len(data)

    async def write(self, batch: Batch) -> int:
        if self._output is None:
            raise trio.ClosedResourceError
        await self._stream.app_send({"type": "http.response.body", "body": batch.sse, "more_body": True})
        return len(batch.sse)

    def release(self) -> None:
        self._protocol.wires.pop(self._stream.stream_id, None)
        super().release()
