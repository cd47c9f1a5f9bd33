"""The sending half of one HTTP/2 connection: the frames of its streams, within their flow-control windows."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.events import RawData
from hypercorn.protocol.events import Event, InformationalResponse, Response
from hypercorn.protocol.h2 import H2Protocol
from priority.priority import DeadlockError

from ..output import Output
from ..stream_buffer import BoundedStreamBuffer
from .http2_heads import HTTP2Connection
from .stream_order import StreamOrder

_WRITE_BYTES: Final = 65_536  # of frames that are made for one write, and one more frame


class HTTP2Sender(H2Protocol):
    """Sends what the streams of a connection have buffered.

    Streams that have something to send, and a window for it, take turns, a frame each. The frames that they
    make in one pass of the event loop, heads included, leave in one write.

    All bytes go to the output in the order in which they were made, without a wait in between: HPACK's tables
    depend on it.

    Args:
        output: of the connection.
        pause: lets others have their turn where the connections have used up their time.
        arguments: from :func:`protocol_arguments`.
    """

    def __init__(
        self, output: Output, pause: Callable[[], Awaitable[None]], arguments: tuple[Any, ...]
    ) -> None:
        super().__init__(*arguments)
        self._output = output
        self._pause = pause
        self.connection: HTTP2Connection = HTTP2Connection(
            self.config.h2_max_header_list_size, self.config.h2_max_concurrent_streams
        )
        self.priority: Any = StreamOrder()
        self.streams: dict[int, Any] = {}
        self.stream_buffers: dict[int, Any] = {}
        self._unwanted: set[int] = set()  # ids of streams that are reset after their last byte is sent

    def flush_turn(self) -> None:
        """Send the frames that streams wrote in this turn; no other data is queued between its writes."""
        data = self.connection.data_to_send()
        if data:
            self._output.put(data)

    async def _flush(self) -> None:
        """Send the frames that were made, and wait where the kernel does not take all at once."""
        data = self.connection.data_to_send()
        if data:
            self._output.put(data)
            if not self._output.free:
                await self.send(RawData(data=b""))

    async def send_task(self) -> None:
        """Send what streams have buffered until the connection is closed."""
        while not self.closed:
            try:
                while self.connection.unsent_bytes < _WRITE_BYTES:
                    await self._send_data(next(self.priority))
            except DeadlockError:
                await self._flush()
                await self.has_data.wait()
                await self.has_data.clear()
            else:
                await self._flush()
                await self._pause()

    async def stream_send(self, event: Event) -> None:
        """Send a part of a response: a head with the next write of the sending task, which is woken."""
        if not isinstance(event, Response | InformationalResponse):
            await super().stream_send(event)
            return
        head = [(b":status", b"%d" % event.status_code), *event.headers, *self.config.response_headers("h2")]
        try:
            self.connection.send_headers(event.stream_id, head)
        except ProtocolError:  # the stream, or the connection, is over
            return
        await self.has_data.set()

    async def _send_data(self, stream_id: int) -> None:
        """Make a frame of a stream, as large as its window allows, and its end behind the last one."""
        buffer = self.stream_buffers[stream_id]
        try:
            if not await self._send_frame(stream_id, buffer):
                self.priority.block(stream_id)
            if buffer.complete:
                self.connection.end_stream(stream_id)
                self._forget_buffer(stream_id)
        except ProtocolError:  # the stream, or the connection, is over
            await buffer.close()
            self._forget_buffer(stream_id)
        if stream_id in self._unwanted and stream_id not in self.stream_buffers:
            self._unwanted.discard(stream_id)
            self._stop_receiving(stream_id)

    async def _send_frame(self, stream_id: int, buffer: BoundedStreamBuffer) -> bool:
        """Add a frame of a stream to those to send; return False where nothing can be sent."""
        connection = self.connection
        window = connection.local_flow_control_window(stream_id)
        data = await buffer.pop(max(0, min(window, connection.max_outbound_frame_size)))
        if data:
            if not connection.try_send_data(stream_id, data):
                connection.send_data(stream_id, data)  # which finds the error
            connection.budgets.note_sent(len(data), is_cut=len(data) == window and not buffer.is_empty)
        return bool(data)

    def _forget_buffer(self, stream_id: int) -> None:
        del self.stream_buffers[stream_id]
        self.priority.remove_stream(stream_id)

    async def _window_updated(self, stream_id: int | None) -> None:
        """Wake the sending task for one stream, or, with 0 or None, for all that have something to send."""
        if stream_id:
            if stream_id in self.stream_buffers:
                self.priority.unblock(stream_id)
        else:
            for other_id, buffer in self.stream_buffers.items():
                if not buffer.is_empty:
                    self.priority.unblock(other_id)
        await self.has_data.set()

    def _stop_receiving(self, stream_id: int) -> None:
        """Reset a stream whose response is complete, where the client still sends (NO_ERROR, section 8.1)."""
        if not self._is_over(stream_id):
            self.connection.reset_stream(stream_id, ErrorCodes.NO_ERROR)

    def _is_over(self, stream_id: int) -> bool:
        """Return True for a stream that was reset, or that both ends have ended."""
        stream = self.connection.streams.get(stream_id)
        return stream is None or bool(stream.closed)
