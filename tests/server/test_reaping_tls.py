"""Over TLS, a client that stops reading is ended by the write timeout or by the sweeper."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from streamd.connections.settings import ConnectionSettings
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, StreamReader, open_stream, run_server
from tests.support.certificates import trusting, write_certificate
from tests.support.http2_client import ManualHTTP2Client
from tests.support.sockets import connect

SECONDS = 60
NEVER_SECONDS = 3600.0
# Longer than a pass of the event loop on a busy machine, which would end a client that reads.
SOON_SECONDS = 1.0
PUBLISHED = 40
EVENT_BYTES = 100_000  # 4 MB in total, far more than the buffers between server and client
REAPED = "streamd_connections_reaped_total"


@pytest.fixture(name="trusting")
def make_trusting() -> ssl.SSLContext:
    return trusting()


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    return write_certificate(tmp_path)


@asynccontextmanager
async def serving(
    certificate: str, *, write_timeout_seconds: float, stale_seconds: float
) -> AsyncIterator[RunningServer]:
    settings = Settings(
        server=ServerSettings(
            certfile=certificate,
            keyfile=certificate,
            write_timeout_seconds=write_timeout_seconds,
            tcp_user_timeout_ms=0,  # the kernel has no timeout either
        ),
        connections=ConnectionSettings(
            unhealthy_seconds=stale_seconds / 2, stale_seconds=stale_seconds, sweep_seconds=0.05
        ),
    )
    with trio.fail_after(SECONDS):
        async with run_server(settings) as server:
            assert server.url.startswith("https://")
            yield server


@asynccontextmanager
async def stalled_client(server: RunningServer, trusting: ssl.SSLContext) -> AsyncIterator[trio.abc.Stream]:
    """Subscribe to ``big``, and read no further than ``connected``."""
    stream = await connect(server.url, tls=trusting, receive_buffer_bytes=4096)
    async with open_stream(server.url, topics=["big"], stream=stream, client_id="stalled") as reader:
        await reader.next_control("connected")
        yield stream


@asynccontextmanager
async def stalled_http2_client(
    server: RunningServer, trusting: ssl.SSLContext
) -> AsyncIterator[tuple[ManualHTTP2Client, int]]:
    """Do the same over HTTP/2 with windows that never fill; yield the client and its stream id."""
    trusting.set_alpn_protocols(["h2"])
    stream = await connect(server.url, tls=trusting, receive_buffer_bytes=4096)
    try:
        client = ManualHTTP2Client(stream)
        stream_id = await client.get("/events?topic=big&client_id=stalled")
        for window in (None, stream_id):
            client.http.increment_flow_control_window(2**30, window)
        await stream.send_all(client.http.data_to_send())
        while b"connected" not in client.received.get(stream_id, b""):
            await client.read()
        yield client, stream_id
    finally:
        await trio.aclose_forcefully(stream)


async def publish_big(server: RunningServer) -> None:
    for number in range(PUBLISHED):
        await server.streamd.publish("big", f"{number} " + "x" * EVENT_BYTES)


async def publish_until_alone(server: RunningServer, other: StreamReader) -> None:
    """Publish to the other client, event after event, until it is the only connection."""
    number = 0
    while server.streamd.connections.statistics()["active"] > 1:
        await expect_event(server, other, str(number))
        number += 1


async def expect_event(server: RunningServer, other: StreamReader, data: str) -> None:
    await server.streamd.publish("small", data)
    event = await other.next_event()
    assert event is not None
    assert event.data == data


async def check_reset(stream: trio.abc.Stream) -> None:
    """Check that unsent bytes were dropped: the client finds a reset before all events have arrived."""
    received = 0
    with pytest.raises(trio.BrokenResourceError) as broken:
        while data := await stream.receive_some(65_536):
            received += len(data)
    assert isinstance(broken.value.__cause__, ConnectionResetError)
    assert received < PUBLISHED * EVENT_BYTES


def reaped(server: RunningServer) -> float | None:
    return server.streamd.runtime.broker.metrics.registry.get_sample_value(REAPED)


@pytest.mark.parametrize(
    ("write_timeout_seconds", "stale_seconds", "by_sweeper"),
    [(SOON_SECONDS, NEVER_SECONDS, 0), (NEVER_SECONDS, SOON_SECONDS, 1)],
    ids=["write timeout", "sweeper"],
)
async def test_a_client_that_stops_reading_is_ended_and_others_are_served(
    certificate: str,
    trusting: ssl.SSLContext,
    write_timeout_seconds: float,
    stale_seconds: float,
    by_sweeper: int,
) -> None:
    timeouts = {"write_timeout_seconds": write_timeout_seconds, "stale_seconds": stale_seconds}
    async with serving(certificate, **timeouts) as server:
        async with open_stream(server.url, topics=["small"], tls=trusting) as other:
            await other.next_control("connected")
            async with stalled_client(server, trusting) as stalled:
                await publish_big(server)
                await publish_until_alone(server, other)
                assert reaped(server) == by_sweeper
                await check_reset(stalled)
            await expect_event(server, other, "still here")
            # Its slot and its client id are free: a reconnect receives all that it missed.
            async with open_stream(
                server.url,
                topics=["big"],
                tls=trusting,
                last_event_id="earliest",
                client_id="stalled",
            ) as again:
                for number in range(PUBLISHED):
                    event = await again.next_event()
                    assert event is not None
                    assert event.data.startswith(f"{number} ")
            assert reaped(server) == by_sweeper


async def test_an_http2_client_that_stops_reading_is_ended_by_the_write_timeout(
    certificate: str, trusting: ssl.SSLContext
) -> None:
    timeouts = {"write_timeout_seconds": SOON_SECONDS, "stale_seconds": NEVER_SECONDS}
    async with serving(certificate, **timeouts) as server:
        async with open_stream(server.url, topics=["small"], tls=trusting) as other:
            await other.next_control("connected")
            async with stalled_http2_client(server, trusting) as (client, _):
                await publish_big(server)
                await publish_until_alone(server, other)
                assert reaped(server) == 0
                await check_reset(client.stream)
            await expect_event(server, other, "still here")


async def test_the_sweeper_ends_only_the_stream_of_an_http2_client_that_stops_reading(
    certificate: str, trusting: ssl.SSLContext
) -> None:
    """The stream releases its slot at once; the connection goes on once it is read again."""
    timeouts = {"write_timeout_seconds": NEVER_SECONDS, "stale_seconds": SOON_SECONDS}
    async with serving(certificate, **timeouts) as server:
        async with open_stream(server.url, topics=["small"], tls=trusting) as other:
            await other.next_control("connected")
            async with stalled_http2_client(server, trusting) as (client, stalled):
                await publish_big(server)
                await publish_until_alone(server, other)
                assert reaped(server) == 1
                while stalled not in client.reset:
                    await client.read()
                assert len(client.received[stalled]) < PUBLISHED * EVENT_BYTES
                following = await client.get("/events?topic=small")
                while b"connected" not in client.received.get(following, b""):
                    await client.read()
            await expect_event(server, other, "still here")


async def test_a_client_that_stops_during_the_handshake_is_ended(certificate: str) -> None:
    settings = Settings(
        server=ServerSettings(certfile=certificate, keyfile=certificate, tls_handshake_timeout_seconds=0.2)
    )
    with trio.fail_after(SECONDS):
        async with run_server(settings) as server:
            async with await trio.open_tcp_stream(server.host, server.port) as stream:
                await stream.send_all(b"\x16\x03\x01\x02\x00")  # the header of a record that is never sent
                with suppress(trio.BrokenResourceError):  # a reset closes the connection, too
                    assert await stream.receive_some() == b""
