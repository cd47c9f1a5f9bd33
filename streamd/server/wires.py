"""Wires that write past ASGI, straight to a connection's output."""

from collections.abc import Callable

import trio
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from wsproto.connection import ConnectionState

from ..events import Batch
from ..events.batch import Encoding
from .output import Output


def is_streaming(stream: HTTPStream) -> bool:
    """Whether a stream has sent the head of a 200 answer to a GET, with a body of unknown length."""
    if stream.state is not ASGIHTTPState.RESPONSE or stream.scope["method"] != "GET":
        return False
    response = stream.response
    return response["status"] == 200 and all(
        name.lower() != b"content-length" for name, _ in response["headers"]
    )


class Lease:
    """A connection's output, lent to one wire; once given or taken back nothing can be written by it.

    Args:
        output: of the connection.
        lost: called once if the client is gone, or was aborted, before the release.
    """

    __slots__ = ("_lost", "_output")

    def __init__(self, output: Output, lost: Callable[[], None]) -> None:
        self._output: Output | None = output
        self._lost: Callable[[], None] | None = lost

    @property
    def is_leased(self) -> bool:
        """Whether it can still be written to."""
        return self._output is not None

    def release(self) -> None:
        """Give it back."""
        self._output = self._lost = None

    def revoke(self) -> None:
        """Take it back, because the client is gone. Does nothing after the release."""
        lost, self._lost = self._lost, None
        self._output = None
        if lost is not None:
            lost()


class SocketWire(Lease):
    """A response's body, or a socket's frames, as whole encodings.

    Args:
        output: of the connection.
        encode: which encoding of a batch goes out.
        lost: see :class:`Lease`.
    """

    __slots__ = ("_encode",)

    def __init__(self, output: Output, encode: Encoding, lost: Callable[[], None]) -> None:
        super().__init__(output, lost)
        self._encode = encode

    def write_nowait(self, batch: Batch) -> int:
        if self._output is None:
            return 0
        data = self._encode(batch)
        return len(data) if self._output.write_nowait(data) else 0

    async def write(self, batch: Batch) -> int:
        if self._output is None:
            raise trio.ClosedResourceError
        data = self._encode(batch)
        await self._output.send(data)
        return len(data)


class WebSocketWire(SocketWire):
    """Text frames of a WebSocket, only while neither side has begun to close it.

    Args:
        stream: Hypercorn's, which speaks the rest of the protocol.
    """

    __slots__ = ("_stream",)

    def __init__(self, output: Output, encode: Encoding, lost: Callable[[], None], stream: WSStream) -> None:
        super().__init__(output, encode, lost)
        self._stream = stream

    def write_nowait(self, batch: Batch) -> int:
        return super().write_nowait(batch) if self._is_open() else 0

    async def write(self, batch: Batch) -> int:
        # Whoever begins to close changes the state first and queues its frame after; so what is found
        # open here goes out before that frame.
        if not self._is_open():
            raise trio.ClosedResourceError
        return await super().write(batch)

    def _is_open(self) -> bool:
        return self._stream.connection.state is ConnectionState.OPEN
