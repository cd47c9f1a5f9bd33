"""HTTP/2 streams that are ended while their window is closed release their slot."""

import attrs
import pytest
import trio
import trio.testing

from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.http2_client import ManualHTTP2Client

_DEFAULTS = Settings()
SETTINGS = attrs.evolve(
    _DEFAULTS,
    connections=attrs.evolve(
        _DEFAULTS.connections, unhealthy_seconds=0.2, stale_seconds=0.4, sweep_seconds=0.05
    ),
)


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_an_ended_stream_releases_its_slot_and_the_others_go_on(how: str) -> None:
    with trio.fail_after(30):
        async with run_server(SETTINGS) as server:
            tcp = await trio.open_tcp_stream(server.host, server.port)
            async with tcp:
                client = ManualHTTP2Client(tcp)
                stalled = await client.get("/events?topic=big&client_id=stalled")
                other = await client.get("/events?topic=small&client_id=other")
                client.replenished.add(other)
                for stream in (stalled, other):
                    while b"event: connected" not in client.received.get(stream, b""):
                        await client.read()
                for _ in range(10):  # much more than the window
                    await server.streamd.publish("big", "x" * 30_000)
                await trio.testing.wait_all_tasks_blocked()
                connection = server.streamd.connections.find("stalled")
                if how == "close":
                    connection.close("closed")
                else:
                    connection.abort()
                while stalled not in client.reset:
                    await client.read()
                while server.streamd.connections.statistics()["active"] != 1:
                    await trio.testing.wait_all_tasks_blocked()
                await server.streamd.publish("small", "still here")
                while b"data: still here\n" not in client.received[other]:
                    await client.read()
