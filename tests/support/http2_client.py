"""An HTTP/2 client that opens flow-control windows only where a test asks for it.

It keeps the body of each stream as bytes. :mod:`streamd.testing` reads events, over HTTP/1.1 alone.
"""

import h2.config
import h2.connection
import h2.errors
import h2.events
import trio


class ManualHTTP2Client:
    """One HTTP/2 connection with any number of requests.

    Attributes:
        begun: ids of streams whose answer has begun.
        received: body bytes, by stream id.
        reset: ids of streams that the server has reset.
        ended: ids of streams whose answer is complete.
        replenished: ids of streams whose windows are opened again as bytes arrive; the others keep to the
            initial window.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.http.initiate_connection()
        self.begun: set[int] = set()
        self.received: dict[int, bytes] = {}
        self.reset: set[int] = set()
        self.ended: set[int] = set()
        self.replenished: set[int] = set()

    async def get(self, path: str) -> int:
        """Send a GET request, and return its stream id."""
        stream_id = self.http.get_next_available_stream_id()
        head = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "localhost")]
        self.http.send_headers(stream_id, head, end_stream=True)
        await self.stream.send_all(self.http.data_to_send())
        return stream_id

    async def post(self, path: str, headers: dict[str, str]) -> int:
        """Send the head of a POST request, and return its stream id; :meth:`send_body` sends the body."""
        stream_id = self.http.get_next_available_stream_id()
        head = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "localhost")]
        self.http.send_headers(stream_id, [*head, *headers.items()])
        await self.stream.send_all(self.http.data_to_send())
        return stream_id

    async def send_body(self, stream_id: int, data: bytes) -> None:
        """Send a part of a body once the windows allow it, unless the server has reset the stream."""
        while self.http.outbound_flow_control_window and stream_id not in self.reset:
            if self.http.local_flow_control_window(stream_id) >= len(data):
                self.http.send_data(stream_id, data)
                await self.stream.send_all(self.http.data_to_send())
                return
            await self.read()

    async def cancel(self, stream_id: int) -> None:
        """Reset a stream (RST_STREAM, CANCEL)."""
        self.http.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        await self.stream.send_all(self.http.data_to_send())

    async def read(self) -> None:
        """Process the next bytes of the server."""
        for event in self.http.receive_data(await self.stream.receive_some()):
            if isinstance(event, h2.events.DataReceived):
                assert event.stream_id is not None
                data = self.received.get(event.stream_id, b"")
                self.received[event.stream_id] = data + (event.data or b"")
                # The connection's own window stays open, so that one stream cannot block the others.
                self.http.increment_flow_control_window(event.flow_controlled_length or 1)
                if event.stream_id in self.replenished:
                    self.http.increment_flow_control_window(
                        event.flow_controlled_length or 1, event.stream_id
                    )
            elif isinstance(event, h2.events.ResponseReceived):
                assert event.stream_id is not None
                self.begun.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                assert event.stream_id is not None
                self.reset.add(event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                assert event.stream_id is not None
                self.ended.add(event.stream_id)
        await self.stream.send_all(self.http.data_to_send())
