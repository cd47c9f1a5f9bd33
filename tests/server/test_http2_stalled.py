"""HTTP/2 streams of clients that never open their window."""

import attrs
import trio

from streamd.connections.settings import ConnectionSettings
from streamd.hub.settings import HubSettings
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.http2_client import ManualHTTP2Client

SETTINGS = Settings(
    connections=ConnectionSettings(unhealthy_seconds=0.1, stale_seconds=0.2, sweep_seconds=0.05),
    hub=HubSettings(send_queue_events=16),
)


async def test_a_stalled_stream_is_bounded_and_reset_as_stale_and_others_are_served() -> None:
    async with run_server(SETTINGS) as server:
        tcp = await trio.open_tcp_stream(server.host, server.port)
        async with tcp:
            client = ManualHTTP2Client(tcp)
            stalled = await client.get("/events?topic=big")
            reading = await client.get("/events?topic=small")
            client.replenished.add(reading)
            with trio.fail_after(20):
                while not all(b"connected" in client.received.get(s, b"") for s in (stalled, reading)):
                    await client.read()
                [connection, _] = server.streamd.connections
                for _ in range(40):
                    await server.streamd.publish("big", "x" * 50_000)
                while stalled not in client.reset:
                    await client.read()
                # One default window was sent, and no more than a buffer was encoded in addition.
                assert len(client.received[stalled]) <= 65_535
                assert connection.sent.bytes < 65_535 + 4 * 65_536 + attrs.asdict(SETTINGS.hub)["batch_bytes"]
                assert server.streamd.connections.statistics()["active"] == 1
                await server.streamd.publish("small", "still here")
                while b"still here" not in client.received[reading]:
                    await client.read()


async def test_a_stream_that_its_client_resets_releases_its_slot() -> None:
    async with run_server() as server:
        tcp = await trio.open_tcp_stream(server.host, server.port)
        async with tcp:
            client = ManualHTTP2Client(tcp)
            leaving = await client.get("/events?topic=a")
            staying = await client.get("/events?topic=a")
            with trio.fail_after(20):
                while not all(b"connected" in client.received.get(s, b"") for s in (leaving, staying)):
                    await client.read()
                assert server.streamd.connections.statistics()["active"] == 2
                await client.cancel(leaving)
                while server.streamd.connections.statistics()["active"] == 2:
                    await trio.lowlevel.checkpoint()


async def test_a_body_after_the_answer_is_discarded_and_the_connection_goes_on() -> None:
    async with run_server() as server:
        tcp = await trio.open_tcp_stream(server.host, server.port)
        async with tcp:
            client = ManualHTTP2Client(tcp)
            refused = await client.post("/events", {"content-type": "text/plain"})
            with trio.fail_after(20):
                while b"unsupported-media-type" not in client.received.get(refused, b""):
                    await client.read()
                for _ in range(20):  # more than the window: credit is returned for discarded bytes
                    await client.send_body(refused, b"x" * 16_000)
                following = await client.get("/events?topic=a")
                while b"connected" not in client.received.get(following, b""):
                    await client.read()
        assert server.streamd.connections.statistics()["total"] == 1
