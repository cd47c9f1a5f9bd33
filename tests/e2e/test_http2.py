"""HTTP/2 over TLS and by prior knowledge: many streams on one connection."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.certificates import trusting, write_certificate
from tests.support.http2_client import ManualHTTP2Client
from tests.support.sockets import connect

STREAMS = 50


@pytest.fixture(params=["h2c", "tls"])
async def connected(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[RunningServer, ManualHTTP2Client]]:
    if request.param == "h2c":
        async with run_server() as server:
            async with await trio.open_tcp_stream(server.host, server.port) as tcp:
                yield server, ManualHTTP2Client(tcp)
        return
    pem = write_certificate(tmp_path)
    async with run_server(Settings(server=ServerSettings(certfile=pem, keyfile=pem))) as server:
        tls = await connect(server.url, tls=trusting("h2"))
        async with tls:
            assert isinstance(tls, trio.SSLStream)
            assert tls.selected_alpn_protocol() == "h2"
            yield server, ManualHTTP2Client(tls)


async def test_many_streams_of_one_connection_receive_their_events(
    connected: tuple[RunningServer, ManualHTTP2Client],
) -> None:
    server, client = connected
    with trio.fail_after(30):
        streams = [await client.get(f"/events?topic=shared&topic=own/{n}") for n in range(STREAMS)]
        client.replenished.update(streams)
        while not all(b"connected" in client.received.get(stream, b"") for stream in streams):
            await client.read()
        assert server.streamd.connections.statistics()["active"] == STREAMS
        await server.streamd.publish("shared", "for all")
        for number in range(STREAMS):
            await server.streamd.publish(f"own/{number}", f"for {number} alone")
        for number, stream in enumerate(streams):
            while b"alone" not in client.received[stream]:
                await client.read()
            lines = client.received[stream].decode().split("\n")
            assert [line for line in lines if line.startswith("data: for")] == [
                "data: for all",
                f"data: for {number} alone",
            ]
