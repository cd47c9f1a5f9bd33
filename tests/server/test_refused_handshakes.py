"""Refused WebSocket handshakes: the client reads the whole answer, and then the connection ends."""

import http.client
import json
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from streamd.testing import run_server
from tests.support.http2_client import ManualHTTP2Client
from tests.support.log_lines import faults
from tests.support.slow_client import GET, SETTINGS, make_clock, seconds_until_closed, serving, trickle

SECONDS = 30
TRANSPORTS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
UPGRADE = {
    "Host": "x",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
PING = b"\x89\x80\x00\x00\x00\x00"  # without payload; the mask is zero
PONG = b"\x8a\x00"
CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":path", "/nope"),
    (":scheme", "http"),
    (":authority", "x"),
]


def handshake(path: str = "/events?topic=a", **headers: str | None) -> bytes:
    """Build the head of an upgrade request; None leaves a header out."""
    changed = {**UPGRADE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"{name}: {value}" for name, value in changed.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


REFUSED = {
    "unknown path": (handshake("/nope"), 404),
    "foreign origin": (handshake(Origin="https://other.example"), 403),
    "invalid topic": (handshake("/events?topic="), 400),
    "unknown version": (handshake(Sec_WebSocket_Version="12"), 426),
    "no key": (handshake(Sec_WebSocket_Key=None), 400),
}
KINDS = pytest.mark.parametrize(("request_", "status"), REFUSED.values(), ids=REFUSED)


def check_answer(answer: bytes, status: int) -> None:
    """Check that this is one whole answer, which announces the end of the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first.split()[1] == str(status)
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)


@pytest.mark.parametrize("behind", [b"", GET, PING, GET * 2000], ids=["nothing", "request", "frame", "much"])
@KINDS
@TRANSPORTS
async def test_a_refused_client_reads_the_answer_to_its_end(
    tmp_path: Path, clock: MockClock, tls: bool, request_: bytes, status: int, behind: bytes
) -> None:
    with capture_logs() as logs:
        async with serving(tmp_path, tls=tls) as timed:
            stream = await timed.connect()
            await stream.send_all(request_ + behind)
            check_answer(b"".join([bytes(part) async for part in stream]), status)
            await trio.aclose_forcefully(stream)
    assert faults(logs) == []


@pytest.fixture
def clock() -> MockClock:
    return make_clock()


@KINDS
@TRANSPORTS
async def test_a_refused_client_that_goes_on_sending_reads_the_answer_all_the_same(
    tmp_path: Path, clock: MockClock, tls: bool, request_: bytes, status: int
) -> None:
    """To close a socket with unread bytes resets it, and a reset would destroy the answer."""
    with capture_logs() as logs:
        async with serving(tmp_path, tls=tls) as timed:
            stream = await timed.connect()
            await trickle(stream, [request_, *[PING] * 3], every_seconds=0.1)
            check_answer(b"".join([bytes(part) async for part in stream]), status)
            began = trio.current_time()
            await trickle(stream, [PING] * 600, every_seconds=0.1)
            assert trio.current_time() - began < 5, "the socket is closed at last"
            await trio.aclose_forcefully(stream)
    assert faults(logs) == []


async def test_a_client_reuses_its_connection_object_after_a_refusal() -> None:
    def upgrade_and_get(host: str, port: int) -> list[int]:
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
        statuses = []
        for headers in ({**UPGRADE, "Origin": "https://other.example"}, {}):
            connection.request("GET", "/events/poll?topic=a&wait=0", headers=headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
        return statuses

    async with run_server() as server:
        statuses = await trio.to_thread.run_sync(upgrade_and_get, server.host, server.port)
    assert statuses[1] == 200
    assert statuses[0] >= 400


async def test_frames_right_behind_a_handshake_are_read_once_it_is_accepted() -> None:
    with trio.fail_after(SECONDS):
        async with run_server() as server:
            async with await trio.open_tcp_stream(server.host, server.port) as stream:
                await stream.send_all(handshake() + PING)
                answer = b""
                while b"connected" not in answer or PONG not in answer:
                    part = await stream.receive_some()
                    assert part, answer
                    answer += part
            assert answer.startswith(b"HTTP/1.1 101 ")


async def refuse_over_http2(client: ManualHTTP2Client, **headers: str) -> None:
    stream_id = client.http.get_next_available_stream_id()
    client.http.send_headers(stream_id, CONNECT + list(headers.items()))
    await client.stream.send_all(client.http.data_to_send())
    while stream_id not in client.ended:
        await client.read()


@pytest.mark.parametrize("version", ["13", "12"], ids=["unknown path", "unknown version"])
async def test_a_refusal_over_http2_ends_its_stream_only(
    tmp_path: Path, clock: MockClock, version: str
) -> None:
    with capture_logs() as logs:
        async with serving(tmp_path, tls=False) as timed:
            client = await timed.connect_http2()
            for _ in range(3):
                await refuse_over_http2(client, **{"sec-websocket-version": version})
            stream_id = await client.get("/health/live")
            while b"alive" not in client.received.get(stream_id, b""):
                await client.read()
            idle = await seconds_until_closed(client.stream)
            assert idle == pytest.approx(SETTINGS.server.keep_alive_seconds), "no stream is left open"
    assert faults(logs) == []


async def test_the_problem_of_an_unknown_path_is_whole() -> None:
    with trio.fail_after(SECONDS):
        async with run_server() as server:
            async with await trio.open_tcp_stream(server.host, server.port) as stream:
                await stream.send_all(handshake("/nope") + GET)
                answer = b"".join([bytes(part) async for part in stream])
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "not-found"
