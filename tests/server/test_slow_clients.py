"""Slow clients: timeouts of idle connections, heads and handshakes; none for quiet streams."""

import ssl
from itertools import repeat
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock
from trio_websocket import wrap_client_stream

from streamd.testing import open_stream
from tests.support.slow_client import (
    GET,
    ask,
    ask_http2,
    make_clock,
    seconds_until_closed,
    serving,
    skip_long,
    trickle,
)
from tests.support.sockets import connect

TRANSPORTS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@pytest.fixture
def clock() -> MockClock:
    return make_clock()


# --- idle connections, and heads of requests ------------------------------------------------------


@TRANSPORTS
@pytest.mark.parametrize("requests", [0, 1, 2])
async def test_an_idle_connection_is_closed(
    clock: MockClock, tmp_path: Path, tls: bool, requests: int
) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        stream = await timed.connect()
        for number in range(requests):
            await trio.sleep(6 if number else 0)  # each answer restarts the timeout
            await ask(stream)
        assert await seconds_until_closed(stream) == pytest.approx(10 if requests else 4)


@TRANSPORTS
@pytest.mark.parametrize("requests", [0, 1])
async def test_a_trickling_head_closes_the_connection(
    clock: MockClock, tmp_path: Path, tls: bool, requests: int
) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        stream = await timed.connect()
        for _ in range(requests):
            await ask(stream)
        await trio.sleep(3)
        head = [b"G", b"E", b"T", b" ", b"/", b" HTTP/1.1\r\n", b"X: ", *repeat(b"x", 1000)]
        # The first byte of the first request has that time from the beginning, and does not extend it.
        assert await seconds_until_closed(stream, head) == pytest.approx(4 if requests else 1)


async def test_a_head_that_begins_late_does_not_extend_the_keep_alive_timeout(
    clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, tls=False) as timed:
        stream = await timed.connect()
        await ask(stream)
        await trio.sleep(8)
        head = [b"GET / HTTP/1.1\r\nX: ", *repeat(b"x", 1000)]
        assert await seconds_until_closed(stream, head) == pytest.approx(2)


async def test_a_slow_head_within_the_timeout_is_answered(clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path, tls=False) as timed:
        stream = await timed.connect()
        await trickle(stream, [GET[:10], GET[10:20], GET[20:30]], every_seconds=1)
        await ask(stream, GET[30:])
        await trickle(stream, [GET[:10], GET[10:20], GET[20:30]], every_seconds=1)
        await ask(stream, GET[30:])
        assert await seconds_until_closed(stream) == pytest.approx(10)


@pytest.mark.parametrize("seen", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
async def test_an_incomplete_handshake_closes_the_connection(
    clock: MockClock, tmp_path: Path, seen: bytes
) -> None:
    async with serving(tmp_path, tls=True) as timed:
        stream = await connect(timed.server.url)
        assert await seconds_until_closed(stream, [seen]) == pytest.approx(3)


async def test_a_trickling_handshake_closes_the_connection(clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path, tls=True) as timed:
        assert timed.tls is not None
        outgoing = ssl.MemoryBIO()
        hello = timed.tls.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
        with pytest.raises(ssl.SSLWantReadError):
            hello.do_handshake()
        parts = [bytes([byte]) for byte in outgoing.read()]
        stream = await connect(timed.server.url)
        assert await seconds_until_closed(stream, parts) == pytest.approx(3)


async def test_an_http2_client_that_begins_with_nothing_is_closed_as_soon(
    clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, tls=True) as timed:
        assert timed.tls is not None
        timed.tls.set_alpn_protocols(["h2"])
        stream = await timed.connect()
        assert await seconds_until_closed(stream) == pytest.approx(4)


# --- HTTP/2 -----------------------------------------------------------------------------------------


@TRANSPORTS
@pytest.mark.parametrize("before", ["nothing", "an answer", "a stream that it reset"])
async def test_an_idle_http2_connection_is_closed_although_it_pings(
    clock: MockClock, tmp_path: Path, tls: bool, before: str
) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        client = await timed.connect_http2()
        if before != "nothing":
            await ask_http2(client)
        if before == "a stream that it reset":
            leaving = await client.get("/events?topic=a")
            while b"connected" not in client.received.get(leaving, b""):
                await client.read()
            await skip_long(timed, clock)
            await client.cancel(leaving)
        pings = []
        for number in range(100):
            client.http.ping(number.to_bytes(8, "big"))
            pings.append(client.http.data_to_send())
        assert await seconds_until_closed(client.stream, pings) == pytest.approx(10)


@TRANSPORTS
async def test_an_http2_request_with_an_incomplete_head_closes_the_connection(
    clock: MockClock, tmp_path: Path, tls: bool
) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        client = await timed.connect_http2()
        await client.get("/health/live")
        begun = b"\x00\x00\x01\x01\x00\x00\x00\x00\x03\x82"  # HEADERS of stream 3, without END_HEADERS
        assert await seconds_until_closed(client.stream, [begun]) == pytest.approx(10)


# --- quiet streams ----------------------------------------------------------------------------------


@TRANSPORTS
async def test_a_quiet_event_stream_has_no_timeout(clock: MockClock, tmp_path: Path, tls: bool) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        stream = await timed.connect()
        await ask(stream)
        async with open_stream(timed.server.url, topics=["a"], stream=stream) as reader:
            await reader.next_control("connected")
            await skip_long(timed, clock)
            await timed.server.streamd.publish("a", "still here")
            event = await reader.next_event()
            assert event is not None
            assert event.data == "still here"


@TRANSPORTS
async def test_a_quiet_event_stream_over_http2_has_no_timeout(
    clock: MockClock, tmp_path: Path, tls: bool
) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        client = await timed.connect_http2()
        following = await client.get("/events?topic=a")
        for _ in range(2):  # answers on the same connection, after which only the stream is open
            await ask_http2(client)
        await skip_long(timed, clock)
        await timed.server.streamd.publish("a", "still here")
        while b"still here" not in client.received.get(following, b""):
            await client.read()
        await trio.aclose_forcefully(client.stream)


@TRANSPORTS
async def test_a_quiet_websocket_has_no_timeout(clock: MockClock, tmp_path: Path, tls: bool) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        stream = await timed.connect()
        assert isinstance(stream, trio.SocketStream | trio.SSLStream)
        async with trio.open_nursery() as nursery:
            websocket = await wrap_client_stream(nursery, stream, "x", "/events?topic=a")
            assert "connected" in await websocket.get_message()
            await skip_long(timed, clock)
            await websocket.send_message('{"control": "ping"}')
            assert "pong" in await websocket.get_message()
            await timed.server.streamd.publish("a", "still here")
            assert "still here" in await websocket.get_message()
            nursery.cancel_scope.cancel()
        await trio.aclose_forcefully(stream)
