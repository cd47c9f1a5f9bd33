"""Wires that write past ASGI, straight to a connection's output."""

from collections.abc import Callable
from typing import ClassVar

import trio
from wsproto.connection import Connection, ConnectionState

from ..events import Batch
from ..events.batch import Encoding
from .output import Output


class Lease:
    """A connection's output, lent to one wire until :meth:`release` or :meth:`revoke`.

    Args:
        output: of the connection.
        on_disconnect: called once if the client leaves, or is aborted, before the release.

    Attributes:
        is_one_way: the application does not read, and ends by itself once the lease is revoked. A client that
            sends more behind its request than may be kept is aborted.
    """

    is_one_way: ClassVar[bool] = False

    __slots__ = ("_on_disconnect", "_output")

    def __init__(self, output: Output, on_disconnect: Callable[[], None]) -> None:
        self._output: Output | None = output
        self._on_disconnect: Callable[[], None] | None = on_disconnect

    @property
    def is_leased(self) -> bool:
        """The wire can still be written to."""
        return self._output is not None

    def release(self) -> None:
        """End the lease; ``on_disconnect`` is not called any more."""
        self._output = self._on_disconnect = None

    def revoke(self) -> None:
        """End the lease because the client is gone, and report that. Does nothing after the release."""
        on_disconnect, self._on_disconnect = self._on_disconnect, None
        self._output = None
        if on_disconnect is not None:
            on_disconnect()


class SocketWire(Lease):
    """The body of a response, or the frames of a WebSocket, as encoded batches.

    Args:
        output: of the connection.
        encode: selects the encoding of a batch.
        on_disconnect: see :class:`Lease`.
    """

    is_one_way = True

    __slots__ = ("_encode",)

    def __init__(self, output: Output, encode: Encoding, on_disconnect: Callable[[], None]) -> None:
        super().__init__(output, on_disconnect)
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
        connection: the state of the WebSocket.
    """

    is_one_way = False

    __slots__ = ("_connection",)

    def __init__(
        self, output: Output, encode: Encoding, on_disconnect: Callable[[], None], connection: Connection
    ) -> None:
        super().__init__(output, encode, on_disconnect)
        self._connection = connection

    def write_nowait(self, batch: Batch) -> int:
        return super().write_nowait(batch) if self._is_open() else 0

    async def write(self, batch: Batch) -> int:
        # Closing changes the state first, and queues the Close frame after; so frames that are written
        # while the state is OPEN precede that frame.
        if not self._is_open():
            raise trio.ClosedResourceError
        return await super().write(batch)

    def _is_open(self) -> bool:
        return self._connection.state is ConnectionState.OPEN
