"""The send buffer of one HTTP/2 stream: bytes that wait for the peer's flow-control window."""

import trio
from h2.exceptions import StreamClosedError

_PONG = 0x0A  # an opcode (RFC 6455 section 5.2)
_PONG_BYTES_MAX = 16_384  # buffered for the window of one WebSocket
_CONTROL_FRAME = 0x08  # the bit of an opcode that marks a WebSocket's control frames (RFC 6455 section 5.5)


class BoundedStreamBuffer:
    """A stream's buffer whose ``push`` waits while it is full, until half of it has been sent.

    Hypercorn's own takes any amount while the window is closed (RFC 9113 section 5.2). Waiting pushes back
    on the application, and lets the sweeper see that the stream makes no progress.

    Args:
        stream_id: of the stream.
        max_bytes: the size at which it is full; the push that fills it may exceed it.
    """

    __slots__ = ("_data", "_emptied", "_is_complete", "_max_bytes", "_room", "_stream_id")

    def __init__(self, stream_id: int, max_bytes: int) -> None:
        self._stream_id = stream_id
        self._max_bytes = max_bytes
        self._data = bytearray()
        self._is_complete = False  # nothing more is pushed
        self._room = trio.Event()
        self._emptied = trio.Event()

    @property
    def is_empty(self) -> bool:
        """No byte is buffered."""
        return not self._data

    @property
    def complete(self) -> bool:
        """The stream can be ended: no byte is buffered, and none will be."""
        return self._is_complete and not self._data

    async def push(self, data: bytes) -> None:
        """Buffer some bytes, and return once there is room for more.

        Raises:
            StreamClosedError: the stream is over.

        Cancelled while waiting, the bytes stay in the buffer.
        """
        self._append(data)
        while len(self._data) >= self._max_bytes and not self._is_complete:
            self._room = _unset(self._room)
            await self._room.wait()

    async def pop(self, max_length: int) -> bytes:
        """Remove and return at most ``max_length`` bytes."""
        data = bytes(self._data[:max_length])
        del self._data[: len(data)]
        if len(self._data) <= self._max_bytes // 2:
            self._room.set()
        if not self._data:
            self._emptied.set()
        return data

    async def drain(self) -> None:
        """Wait until no byte is buffered."""
        await self._emptied.wait()

    def set_complete(self) -> None:
        """End the stream after the bytes that are buffered."""
        self._is_complete = True

    async def close(self) -> None:
        """Discard the buffered bytes, and wake all that wait."""
        self._is_complete = True
        self._data.clear()
        self._emptied.set()
        self._room.set()

    def _append(self, data: bytes) -> None:
        if self._is_complete:
            raise StreamClosedError(self._stream_id)
        self._data += data
        self._emptied = _unset(self._emptied)


class MessageBuffer(BoundedStreamBuffer):
    """A WebSocket's buffer, where control frames do not wait for room.

    The trio task that reads the connection sends them, and only that task can open the window. A client that
    reads nothing could make the answers to its pings grow for ever: beyond 16 kB they are dropped.
    """

    __slots__ = ("_pong_bytes",)

    def __init__(self, stream_id: int, max_bytes: int) -> None:
        super().__init__(stream_id, max_bytes)
        self._pong_bytes = 0  # since the buffer was empty

    async def push(self, data: bytes) -> None:
        if not data or not data[0] & _CONTROL_FRAME:
            await super().push(data)
            return
        if data[0] & 0x0F == _PONG:
            if self.is_empty:
                self._pong_bytes = 0
            self._pong_bytes += len(data)
            if self._pong_bytes > _PONG_BYTES_MAX:
                return
        self._append(data)


def _unset(event: trio.Event) -> trio.Event:
    """Return the event, or a new one where it is set: an event that is not set may have waiters."""
    return trio.Event() if event.is_set() else event
