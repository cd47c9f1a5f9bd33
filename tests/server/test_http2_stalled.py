"""An HTTP/2 stream whose client never opens its window."""

import attrs
import h2.config
import h2.connection
import h2.events
import trio

from streamd.config import ConnectionSettings, HubSettings, Settings
from streamd.testing import run_server

SETTINGS = Settings(
    connections=ConnectionSettings(unhealthy_seconds=0.1, stale_seconds=0.2, sweep_seconds=0.05),
    hub=HubSettings(channel_capacity=16),
)


class Client:
    """An HTTP/2 client that grants no window but where it is told to."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.http.initiate_connection()
        self.received: dict[int, bytes] = {}
        self.reset: set[int] = set()
        self.generous: set[int] = set()

    async def get(self, path: str) -> int:
        stream_id = self.http.get_next_available_stream_id()
        head = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "test")]
        self.http.send_headers(stream_id, head, end_stream=True)
        await self.stream.send_all(self.http.data_to_send())
        return stream_id

    async def read(self) -> None:
        """Take in what the server sends next."""
        for event in self.http.receive_data(await self.stream.receive_some()):
            if isinstance(event, h2.events.DataReceived):
                assert event.stream_id is not None
                data = self.received.get(event.stream_id, b"")
                self.received[event.stream_id] = data + (event.data or b"")
                # The connection's own window stays open, so that streams do not share one fate.
                self.http.increment_flow_control_window(event.flow_controlled_length or 1)
                if event.stream_id in self.generous:
                    self.http.increment_flow_control_window(
                        event.flow_controlled_length or 1, event.stream_id
                    )
            elif isinstance(event, h2.events.StreamReset):
                assert event.stream_id is not None
                self.reset.add(event.stream_id)
        await self.stream.send_all(self.http.data_to_send())


async def test_it_is_bounded_reset_as_stale_and_leaves_the_others_alone() -> None:
    async with run_server(SETTINGS) as server:
        tcp = await trio.open_tcp_stream(server.host, server.port)
        async with tcp:
            client = Client(tcp)
            stalled = await client.get("/events?topic=big")
            reading = await client.get("/events?topic=small")
            client.generous.add(reading)
            with trio.fail_after(20):
                while not all(b"connected" in client.received.get(s, b"") for s in (stalled, reading)):
                    await client.read()
                [connection, _] = server.streamd.connections
                for _ in range(40):
                    await server.streamd.publish("big", "x" * 50_000)
                while stalled not in client.reset:
                    await client.read()
                # One window of the default size went out, and no more than a buffer beside it was made.
                assert len(client.received[stalled]) <= 65_535
                assert connection.bytes_sent < 65_535 + 4 * 65_536 + attrs.asdict(SETTINGS.hub)["batch_bytes"]
                assert server.streamd.connections.statistics()["active"] == 1
                await server.streamd.publish("small", "still here")
                while b"still here" not in client.received[reading]:
                    await client.read()
