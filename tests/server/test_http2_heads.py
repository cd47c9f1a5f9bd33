"""HTTP/2: a bad head ends its own stream, with a problem; the other streams go on."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs
import pytest
import trio
from h2.errors import ErrorCodes
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, SettingsFrame

from streamd.server.http2_budgets import RESETS
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.http2_frames import GET, FrameClient

LIMIT = 16_384  # bytes of a head
_DEFAULTS = Settings()
SETTINGS = attrs.evolve(
    _DEFAULTS,
    server=attrs.evolve(_DEFAULTS.server, max_request_head_bytes=LIMIT, http2_max_concurrent_streams=4),
)
EVENTS = [*((name, value) for name, value in GET if name != b":path"), (b":path", b"/events?topic=a")]


@asynccontextmanager
async def connected() -> AsyncIterator[FrameClient]:
    """Run a server, and connect to it, with an event stream open as stream 1."""
    with trio.fail_after(30):
        async with run_server(SETTINGS) as server:
            async with await trio.open_tcp_stream(server.host, server.port) as tcp:
                client = FrameClient(tcp)
                await client.begin()
                await client.ask(1, EVENTS)
                while b"connected" not in client.bodies.get(1, b""):
                    await client.read()
                yield client
                assert client.closed or 1 not in client.ended | {*client.resets}


def replaced(**changes: bytes | None) -> list[tuple[bytes, bytes]]:
    """Build the head of a GET with other pseudo-headers; None leaves one out."""
    wanted = dict(GET)
    for name, value in changes.items():
        wanted[f":{name}".encode()] = value or b""
    return [(name, value) for name, value in wanted.items() if value]


def check_problem(client: FrameClient, stream_id: int, status: int, code: str) -> None:
    """Check the refusal of one stream."""
    head = client.heads[stream_id]
    assert head[b":status"] == b"%d" % status
    assert head[b"content-type"] == b"application/problem+json"
    assert head[b"cache-control"] == b"no-store"
    assert b"date" in head
    body = client.bodies[stream_id]
    assert head[b"content-length"] == b"%d" % len(body)
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)


async def check_serves(client: FrameClient, stream_id: int) -> None:
    """Check that the connection goes on."""
    await client.ask(stream_id)
    await client.read_until_over(stream_id)
    assert client.heads[stream_id][b":status"] == b"200"
    assert b'"alive"' in client.bodies[stream_id]
    assert client.goaways == []


@pytest.mark.parametrize("times", [1, 5], ids=["just above", "five times"])
@pytest.mark.parametrize("end", [True, False], ids=["whole", "with a body"])
async def test_a_head_over_the_limit_ends_its_stream_with_431(times: int, end: bool) -> None:
    async with connected() as client:
        large = [*GET, *((b"x-%d" % number, b"x" * 1000) for number in range(times * LIMIT // 1000))]
        await client.ask(3, large, end=end)
        await client.read_until_over(3)
        check_problem(client, 3, 431, "head-too-large")
        if not end:
            while 3 not in client.resets:
                await client.read()
            assert client.resets[3] == ErrorCodes.NO_ERROR
            await client.send(DataFrame(3, b"x" * 1000))  # was on its way
        await check_serves(client, 5)


async def test_a_head_below_the_limit_is_served() -> None:
    async with connected() as client:
        await client.ask(3, [*GET, *((b"x-%d" % number, b"x" * 1000) for number in range(15))])
        await client.read_until_over(3)
        assert client.heads[3][b":status"] == b"200"


async def test_fields_count_with_their_overhead() -> None:
    async with connected() as client:
        await client.ask(3, [*GET, *((b"a", b"") for _ in range(LIMIT // 33))])
        await client.read_until_over(3)
        check_problem(client, 3, 431, "head-too-large")


async def test_the_head_of_a_head_request_is_refused_without_a_body() -> None:
    async with connected() as client:
        await client.ask(3, [*replaced(method=b"HEAD"), (b"x", b"x" * LIMIT)])
        await client.read_until_over(3)
        assert client.heads[3][b":status"] == b"431"
        assert 3 not in client.bodies


async def test_a_decompression_bomb_ends_the_connection() -> None:
    async with connected() as client:
        await client.ask(3, [*GET, (b"x-bomb", b"x" * 4000)])  # now in the table of HPACK
        await client.ask(5, [*GET, *((b"x-bomb", b"x" * 4000) for _ in range(40))])
        await client.read_until_closed()
        assert client.goaways == [(3, ErrorCodes.ENHANCE_YOUR_CALM)]


@pytest.mark.parametrize("part", [16_000, 0], ids=["large", "empty"])
async def test_a_flood_of_continuations_ends_the_connection(part: int) -> None:
    async with connected() as client:
        with suppress(trio.BrokenResourceError):
            await client.send(HeadersFrame(3, b""))
            for _ in range(100):
                await client.send(ContinuationFrame(3, b"\x00" * part))
        await client.read_until_closed()


async def test_a_client_whose_requests_are_all_refused_is_cut_off() -> None:
    async with connected() as client:
        stream_id = 3
        while not client.closed:
            with suppress(trio.BrokenResourceError):
                for _ in range(50):
                    await client.ask(stream_id, replaced(path=None))
                    stream_id += 2
            await client.read()
        assert RESETS.burst <= len(client.resets) <= 2 * RESETS.burst
        [(_, error)] = client.goaways
        assert error == ErrorCodes.ENHANCE_YOUR_CALM


MALFORMED = {
    "no path": replaced(path=None),
    "no method": replaced(method=None),
    "no scheme": replaced(scheme=None),
    "no authority": replaced(authority=None),
    "path twice": [*GET, (b":path", b"/")],
    "unknown pseudo-header": [*GET, (b":x", b"y")],
    "response's": [*GET, (b":status", b"404")],
    "pseudo-header at the end": [*GET[:3], (b"x", b"y"), GET[3]],
    "upper case": [*GET, (b"X-Name", b"y")],
    "connection header": [*GET, (b"connection", b"close")],
    "transfer-encoding": [*GET, (b"transfer-encoding", b"chunked")],
    "other host": [*GET, (b"host", b"other")],
    "line break": [*GET, (b"x", b"a\r\nb: c")],
    "invalid length": [*GET, (b"content-length", b"-1")],
    "two lengths": [*GET, (b"content-length", b"1"), (b"content-length", b"2")],
    "relative path": replaced(path=b"health"),
    "asterisk": replaced(path=b"*"),
    "fragment": replaced(path=b"/health/live#a"),
    "space": replaced(path=b"/health/live a"),
    "not encoded": replaced(path="/events/gr\u00f6\u00dfe".encode()),
    "lower-case method": replaced(method=b"get"),
    "method that is no token": replaced(method=b"G T"),
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_head_ends_its_stream_with_400(fields: list[tuple[bytes, bytes]]) -> None:
    async with connected() as client:
        await client.ask(3, fields)
        await client.read_until_over(3)
        check_problem(client, 3, 400, "malformed-request")
        await client.ping()
        assert client.resets == {3: ErrorCodes.PROTOCOL_ERROR}
        await check_serves(client, 5)


async def test_the_connect_of_a_proxy_is_not_implemented() -> None:
    async with connected() as client:
        await client.ask(3, [(b":method", b"CONNECT"), (b":authority", b"localhost:22")], end=False)
        await client.read_until_over(3)
        check_problem(client, 3, 501, "unsupported-method")
        await check_serves(client, 5)


async def test_streams_above_the_maximum_are_refused_alone() -> None:
    async with connected() as client:
        for stream_id in (3, 5, 7, 9, 11):
            await client.ask(stream_id, EVENTS)
        await client.read_until_over(9, 11)
        assert client.resets == {9: ErrorCodes.REFUSED_STREAM, 11: ErrorCodes.REFUSED_STREAM}
        await client.ping()
        assert client.goaways == []


def post(length: bytes) -> list[tuple[bytes, bytes]]:
    """Build the head of a request with a body."""
    head = replaced(method=b"POST", path=b"/events")
    return [*head, (b"content-type", b"application/json"), (b"content-length", length)]


@pytest.mark.parametrize("kind", ["short", "long", "pseudo-header", "trailers without an end", "connection"])
async def test_a_malformed_rest_of_a_request_resets_its_stream(kind: str) -> None:
    """An answer may have begun already."""
    async with connected() as client:
        for stream_id in range(3, 203, 2):  # more than the connection's window, if it were not given back
            await client.ask(stream_id, post(b"1000"), end=False)
            if kind == "long":
                await client.send(DataFrame(stream_id, b"x" * 1001))
            elif kind == "short":
                await client.send(DataFrame(stream_id, b"x" * 999, flags=["END_STREAM"]))
            else:
                trailers = {"pseudo-header": (b":path", b"/"), "connection": (b"connection", b"close")}
                field = trailers.get(kind, (b"x", b"y"))
                await client.ask(stream_id, [field], end=kind != "trailers without an end")
            await client.read_until_over(stream_id)
            assert client.resets[stream_id] == ErrorCodes.PROTOCOL_ERROR
        await check_serves(client, 203)


WITHOUT_WINDOW = {
    "malformed": replaced(path=b"*"),
    "version": [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        *((name, value) for name, value in GET if name != b":method"),
    ],
}


@pytest.mark.parametrize("fields", WITHOUT_WINDOW.values(), ids=WITHOUT_WINDOW)
async def test_a_refusal_waits_for_no_window(fields: list[tuple[bytes, bytes]]) -> None:
    async with connected() as client:
        await client.send(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0}))
        await client.ask(3, fields, end=False)
        await client.read_until_over(3)
        assert client.heads[3][b":status"] == b"400"
        assert client.heads[3][b"content-length"] == b"0"
        await client.ping()


async def test_trailers_are_ignored() -> None:
    async with connected() as client:
        await client.ask(3, post(b"2"), end=False)
        await client.send(DataFrame(3, b"{}"))
        await client.ask(3, [(b"x-checksum", b"y")])
        await client.read_until_over(3)
        assert b"invalid-field" in client.bodies[3]
        await check_serves(client, 5)


@pytest.mark.parametrize("frame", [HeadersFrame(3, b"\xff\xff\xff\xff\xff\xff"), HeadersFrame(2, b"")])
async def test_what_concerns_the_connection_ends_it(frame: HeadersFrame) -> None:
    for flag in ("END_HEADERS", "END_STREAM"):
        frame.flags.add(flag)
    async with connected() as client:
        await client.send(frame)
        await client.read_until_closed()
        [(last, error)] = client.goaways
        assert last == 1
        assert error == (ErrorCodes.COMPRESSION_ERROR if frame.stream_id == 3 else ErrorCodes.PROTOCOL_ERROR)
