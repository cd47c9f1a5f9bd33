"""What Hypercorn's HTTP/2 lacks: back pressure, and an end for one stream of a connection.

Hypercorn's stream buffer takes in any amount while the peer's flow-control window is closed (RFC 9113
section 5.2), so that one stream which is never read grows without bound. Here a buffer that is full
makes the application wait, which also shows the keeper that the stream makes no progress.
"""

from typing import Any

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.protocol.events import Event
from hypercorn.protocol.h2 import BufferCompleteError, H2Protocol, StreamBuffer


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


class _Over:
    """Stands for a stream that was answered before all of its request had come."""

    idle = True

    async def handle(self, event: Event) -> None:
        """Drop what still comes; Hypercorn gives the peer its flow-control credit back."""


class _Streams(dict[int, Any]):
    """A connection's streams. Hypercorn looks up what is not there any more, and would fail."""

    def __missing__(self, stream_id: int) -> _Over:
        return _Over()


class HTTP2Stream:
    """One stream of an HTTP/2 connection, as applications find it in the ASGI scope.

    Args:
        protocol: the connection's protocol.
        stream_id: of the stream.
        buffer_bytes: what may wait for the stream's window before the application does.
    """

    def __init__(self, protocol: H2Protocol, stream_id: int, buffer_bytes: int) -> None:
        self._protocol = protocol
        self._stream_id = stream_id
        if not isinstance(protocol.streams, _Streams):
            protocol.streams = _Streams(protocol.streams)
        if stream_id in protocol.stream_buffers:
            protocol.stream_buffers[stream_id] = BoundedStreamBuffer(
                protocol.context.event_class, buffer_bytes
            )

    @classmethod
    def of(cls, send: Any, buffer_bytes: int) -> "HTTP2Stream":
        """The stream that an application's ``send`` belongs to, before anything was sent."""
        stream = send.__self__
        return cls(stream.send.__self__, stream.stream_id, buffer_bytes)

    def abort(self) -> None:
        """Reset this stream alone (RST_STREAM, CANCEL); the connection and its others go on."""
        try:
            self._protocol.connection.reset_stream(self._stream_id, ErrorCodes.CANCEL)
        except ProtocolError:
            return  # it is over already
        self._protocol.task_group.spawn(self._protocol._flush)
