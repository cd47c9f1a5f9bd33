"""Clients that never read are bounded and reaped, and disturb no other client."""

import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import trio

from streamd.testing import open_stream
from tests.support.certificates import trusting, write_certificate
from tests.support.server_process import ServerProcess, server_process
from tests.support.sockets import connect

GET = b"GET /events?topic=big HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /events?topic=big HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PUBLISHED = 150
EVENT_BYTES = 200_000  # 30 MB in total, far more than the buffers in between


async def connect_and_never_read(server: ServerProcess, request: bytes) -> trio.abc.Stream:
    stream = await connect(server.url, receive_buffer_bytes=4096)
    await stream.send_all(request)
    return stream


async def publish(http: httpx.AsyncClient, server: ServerProcess, topic: str, data: str) -> None:
    answer = await http.post(f"{server.url}/events", json={"topic": topic, "data": data})
    assert answer.status_code == 201, answer.text


async def until(
    http: httpx.AsyncClient, server: ServerProcess, holds: Callable[[dict[str, object]], bool]
) -> None:
    """Poll the server's statistics until a condition holds."""
    with trio.fail_after(30):
        while not holds((await http.get(f"{server.url}/connections")).json()):
            pass


@pytest.mark.parametrize("request_head", [GET, UPGRADE], ids=["sse", "websocket"])
async def test_a_stalled_client_is_reaped_and_costs_little_memory_and_others_are_served(
    request_head: bytes,
) -> None:
    settings = {
        "tuning__connections__unhealthy_seconds": 0.5,
        "connections__stale_seconds": 1,
        "tuning__connections__sweep_seconds": 0.1,
        "log__topic_max_bytes": 2_000_000,
        "log__max_bytes": 4_000_000,
    }
    async with server_process(**settings) as server, httpx.AsyncClient() as http:
        stalled = await connect_and_never_read(server, request_head)
        await until(http, server, lambda figures: figures["active"] == 1)
        async with stalled, open_stream(server.url, topics=["small"]) as reader:
            await reader.next_control("connected")
            for number in range(PUBLISHED):
                if number == PUBLISHED // 2:  # the log, the ring and the send queue are full
                    before = server.rss_bytes
                await publish(http, server, "big", "x" * EVENT_BYTES)
                await publish(http, server, "small", str(number))
                event = await reader.next_event()
                assert event is not None
                assert event.data == str(number)
            await until(http, server, lambda figures: figures["active"] == 1)  # only the reader
            metrics = (await http.get(f"{server.url}/metrics")).text
            assert "streamd_connections_reaped_total 1.0" in metrics
            assert server.rss_bytes - before < 10_000_000  # while 15 MB were published


async def test_stalled_clients_do_not_delay_shutdown() -> None:
    async with server_process(server__drain_seconds=0.5, tuning__server__grace_seconds=0.5) as server:
        async with httpx.AsyncClient() as http:
            stalled = [await connect_and_never_read(server, head) for head in (GET, UPGRADE)]
            await until(http, server, lambda figures: figures["active"] == 2)
            for _ in range(20):
                await publish(http, server, "big", "x" * EVENT_BYTES)
            server.program.signal(signal.SIGTERM)
            assert await server.exit_status(10) == 0
            for stream in stalled:
                await stream.aclose()


async def test_a_stalled_client_over_tls_does_not_delay_shutdown(tmp_path: Path) -> None:
    pem, context = write_certificate(tmp_path), trusting()
    options = ("--certfile", pem, "--keyfile", pem)
    quick = {"server__drain_seconds": 0.5, "tuning__server__grace_seconds": 0.5}
    async with server_process(*options, **quick) as server:
        stalled = await connect(server.url, tls=context)
        await stalled.send_all(GET)
        await stalled.receive_some()  # the head of the answer, and nothing after it
        async with httpx.AsyncClient(verify=context) as http:
            for _ in range(50):
                await publish(http, server, "big", "x" * EVENT_BYTES)
        server.program.signal(signal.SIGTERM)
        assert await server.exit_status(10) == 0
        await trio.aclose_forcefully(stalled)
