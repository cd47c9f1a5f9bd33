"""HTTP/2: the transport of one stream, and its wire."""

from collections.abc import Callable

import trio

from ..connections import call_at_once
from ..events import Batch
from ..transports.asgi import Defer
from .hypercorn_internals import HTTP2Protocol, HypercornStream, is_streaming, send_body
from .output import Output
from .stream_buffer import BoundedStreamBuffer
from .wires import Lease


class HTTP2Stream:
    """One stream of an HTTP/2 connection, as applications find it in the ASGI scope.

    Args:
        protocol: the connection's protocol.
        stream: Hypercorn's.
        output: of the connection.
    """

    def __init__(self, protocol: HTTP2Protocol, stream: HypercornStream, output: Output) -> None:
        self._protocol = protocol
        self._stream_id = stream.stream_id  # the stream itself refers to this object, by its scope
        self._output = output

    def take_body(self) -> bytes | None:
        """Return the whole body if it has been received already; None, and nothing is taken, otherwise.

        Does not wait, not even at a checkpoint.
        """
        return self._protocol.take_body(self._stream_id)

    @property
    def call_in_turn(self) -> Callable[[Callable[[], None]], None]:
        """Calls at once: the connection has a turn for all of its streams."""
        return call_at_once

    def abort(self) -> None:
        """Reset this stream alone (RST_STREAM, CANCEL); the connection and its others go on."""
        self._protocol.reset(self._stream_id)

    def watch(self, on_disconnect: Callable[[], None]) -> None:
        """See :class:`streamd.transports.asgi.Transport`."""
        if self._protocol.find_open(self._stream_id) is None:
            on_disconnect()
        else:
            self._protocol.wires[self._stream_id] = Lease(self._output, on_disconnect)

    def hold(self) -> None:
        """Do nothing: other streams of the connection do not wait for this one."""

    def lease(self, defer: Defer, on_disconnect: Callable[[], None]) -> "HTTP2Wire | None":
        """See :class:`streamd.transports.asgi.Transport`."""
        found = self._protocol.find_open(self._stream_id)
        if found is None:
            on_disconnect()
            return None
        stream, buffer = found
        if not is_streaming(stream):
            return None  # also for a WebSocket over HTTP/2 (RFC 8441)
        wire = HTTP2Wire(self._protocol, stream, buffer, self._output, defer, on_disconnect)
        self._protocol.wires[self._stream_id] = wire
        return wire


class HTTP2Wire(Lease):
    """The body of one stream, as DATA frames within its flow-control window.

    The frames that the streams of a connection write in one turn of the fan-out leave in one system call at
    its end. Where the window is too small, the stream's buffer takes over, which makes the writer wait.
    """

    __slots__ = ("_buffer", "_connection", "_defer", "_protocol", "_stream", "_stream_id")

    def __init__(
        self,
        protocol: HTTP2Protocol,
        stream: HypercornStream,
        buffer: BoundedStreamBuffer,
        output: Output,
        defer: Defer,
        on_disconnect: Callable[[], None],
    ) -> None:
        super().__init__(output, on_disconnect)
        self._protocol = protocol
        self._connection = protocol.connection
        self._stream = stream
        self._stream_id = stream.stream_id
        self._buffer = buffer
        self._defer = defer

    def write_nowait(self, batch: Batch) -> int:
        if self._output is None or not self._output.free or not self._buffer.is_empty:
            return 0
        data, connection = batch.sse, self._connection
        if not connection.try_send_data(self._stream_id, data):
            return 0  # also where the peer has reset the stream
        connection.budgets.note_sent(len(data), is_cut=False)
        self._defer(self._protocol.flush_turn)
        return len(data)

    async def write(self, batch: Batch) -> int:
        if self._output is None:
            raise trio.ClosedResourceError
        await send_body(self._stream, batch.sse)
        return len(batch.sse)

    def release(self) -> None:
        self._protocol.wires.pop(self._stream_id, None)
        super().release()
