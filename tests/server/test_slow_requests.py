"""Requests that never end: trickling bodies (slowloris), and heads that are too large."""

from itertools import repeat
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.support.slow_client import (
    SETTINGS,
    ask,
    ask_http2,
    make_clock,
    seconds_until_closed,
    serving,
    trickle,
)

POST = b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
TRANSPORTS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@pytest.fixture
def clock() -> MockClock:
    return make_clock()


@TRANSPORTS
async def test_a_trickling_body_is_rejected(clock: MockClock, tmp_path: Path, tls: bool) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        stream = await timed.connect()
        await trickle(stream, [POST, b"{"])
        began = trio.current_time()
        answer = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle, stream, repeat(b" ", 1000))
            while b"in time" not in answer:
                part = await stream.receive_some()
                assert part, answer
                answer += part
            nursery.cancel_scope.cancel()
        assert b" 400 " in answer
        assert trio.current_time() - began == pytest.approx(20 - 2)  # two parts were sent before
        # The rest of the body may still arrive, so that the connection cannot be reused.
        assert await seconds_until_closed(stream) < 1


@TRANSPORTS
async def test_a_trickling_body_over_http2_is_rejected(clock: MockClock, tmp_path: Path, tls: bool) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        client = await timed.connect_http2()
        began = trio.current_time()
        slow = await client.post("/events", {"content-type": "application/json"})
        while b"in time" not in client.received.get(slow, b""):
            await client.send_body(slow, b" ")
            with trio.move_on_after(1):
                await client.read()
        assert trio.current_time() - began == pytest.approx(20)
        await ask_http2(client)
        await trio.aclose_forcefully(client.stream)


@TRANSPORTS
@pytest.mark.parametrize("requests", [0, 1])
async def test_a_head_that_is_too_large_is_rejected(
    clock: MockClock, tmp_path: Path, tls: bool, requests: int
) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        stream = await timed.connect()
        for _ in range(requests):
            await ask(stream)
        head = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
        # One byte more than the limit: the server reads all of it, so that no reset destroys the answer.
        head += b"x" * (SETTINGS.server.max_request_head_bytes + 1 - len(head))
        await stream.send_all(head)
        answer = b""
        while part := await stream.receive_some():
            answer += part
        assert answer.split()[1] == b"431"
        await trio.aclose_forcefully(stream)


async def test_an_endless_head_closes_the_connection(clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path, tls=False) as timed:
        stream = await timed.connect()
        assert await seconds_until_closed(stream, repeat(b"GET" + b"x" * 8000), 0) < 1


@TRANSPORTS
async def test_http2_headers_that_are_too_large_leave_the_keep_alive_timeout(
    clock: MockClock, tmp_path: Path, tls: bool
) -> None:
    async with serving(tmp_path, tls=tls) as timed:
        client = await timed.connect_http2()
        await ask_http2(client)
        await client.post("/events", {f"x-{number}": "x" * 4000 for number in range(20)})
        assert 9 < await seconds_until_closed(client.stream) < 11
