"""Headers of the PROXY protocol on real sockets: before TLS, HTTP/1.1, HTTP/2 and WebSocket."""

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h11
import pytest
import structlog
import trio
from trio.testing import MockClock

from streamd.proxies import TrustedProxies
from streamd.server.preamble import read_proxy_header
from tests.support.http2_client import ManualHTTP2Client
from tests.support.scope_app import telling_scope, tls_behind
from tests.support.sockets import connect

CLIENT = ("192.0.2.7", 56324)
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
V2_START = b"\r\n\r\n\x00\r\nQUIT\n"
V2_ADDRESSES = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + struct.pack("!HH", 56324, 443)
V2 = V2_START + b"\x21\x11\x00\x0c" + V2_ADDRESSES
V2_TLS = V2_START + b"\x21\x11\x00\x14" + V2_ADDRESSES + b"\x20\x00\x05\x01\x00\x00\x00\x00"
V2_LOCAL = V2_START + b"\x20\x00\x00\x00"
V2_UNSPEC = V2_START + b"\x21\x00\x00\x00"
REQUEST = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
SETTINGS: dict[str, Any] = {"proxy_protocol": True, "trusted_proxies": ["127.0.0.0/8"]}
each_version = pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])


async def read_answers(stream: trio.abc.Stream, count: int = 1) -> list[dict[str, Any]]:
    """Read the bodies of responses to GET."""
    answers = []
    received = b""
    for _ in range(count):
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        if received:  # of the response before
            parser.receive_data(received)
        body = b""
        while not isinstance(event := parser.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                parser.receive_data(bytes(await stream.receive_some()))
            elif isinstance(event, h11.Data):
                body += event.data
        received, _ = parser.trailing_data
        answers.append(json.loads(body))
    return answers


@each_version
async def test_the_header_names_the_client_of_each_request(header: bytes) -> None:
    async with telling_scope(**SETTINGS) as url, await connect(url) as stream:
        await stream.send_all(header + REQUEST + REQUEST)
        answers = await read_answers(stream, 2)
        await stream.send_all(REQUEST)
        answers += await read_answers(stream)
        assert [tuple(answer["client"]) for answer in answers] == [CLIENT] * 3
        assert answers[0]["scheme"] == "http"
        assert answers[0]["proxies"] == ["127.0.0.1"]


@each_version
async def test_the_header_may_arrive_byte_by_byte(header: bytes) -> None:
    async with telling_scope(**SETTINGS) as url, await connect(url) as stream:
        for at in range(len(header)):
            await stream.send_all(header[at : at + 1])
        await stream.send_all(REQUEST)
        [answer] = await read_answers(stream)
        assert tuple(answer["client"]) == CLIENT


@each_version
async def test_the_header_precedes_tls(header: bytes, tmp_path: Path) -> None:
    async with telling_scope(tmp_path, **SETTINGS) as url:
        async with await tls_behind(header, url) as stream:
            await stream.send_all(REQUEST)
            [answer] = await read_answers(stream)
            assert (tuple(answer["client"]), answer["scheme"]) == (CLIENT, "https")
        async with await tls_behind(header, url, "h2") as stream:
            assert stream.selected_alpn_protocol() == "h2"
            assert await told_over_http2(ManualHTTP2Client(stream)) == (CLIENT, "https", "2")


async def told_over_http2(client: ManualHTTP2Client) -> tuple[tuple[str, int], str, str]:
    stream = await client.get("/a")
    while not client.received.get(stream, b"").endswith(b"}"):
        await client.read()
    answer = json.loads(client.received[stream])
    return tuple(answer["client"]), answer["scheme"], answer["http_version"]


@each_version
async def test_the_header_precedes_http2_by_prior_knowledge(header: bytes) -> None:
    async with telling_scope(**SETTINGS) as url, await connect(url) as stream:
        await stream.send_all(header)
        assert await told_over_http2(ManualHTTP2Client(stream)) == (CLIENT, "http", "2")


@each_version
async def test_the_header_precedes_a_websocket(header: bytes) -> None:
    upgrade = (
        b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with telling_scope(**SETTINGS) as url, await connect(url) as stream:
        await stream.send_all(header + upgrade)
        received = b""
        while b'"192.0.2.7"' not in received:
            part = await stream.receive_some()
            assert part, received
            received += part
        assert b'"scheme": "ws"' in received


@pytest.mark.parametrize("header", [V2_LOCAL, V2_UNSPEC, b"PROXY UNKNOWN\r\n"])
async def test_a_header_without_a_client_keeps_the_peer(header: bytes) -> None:
    async with telling_scope(**SETTINGS) as url, await connect(url) as stream:
        await stream.send_all(header + REQUEST)
        [answer] = await read_answers(stream)
        assert answer["client"][0] == "127.0.0.1"
        assert answer["proxies"] == []


async def test_the_scheme_is_https_where_the_proxy_has_ended_tls() -> None:
    async with telling_scope(**SETTINGS) as url, await connect(url) as stream:
        await stream.send_all(V2_TLS + REQUEST)
        [answer] = await read_answers(stream)
        assert (tuple(answer["client"]), answer["scheme"]) == (CLIENT, "https")


async def test_forwarding_headers_count_behind_a_header_only_if_its_client_is_trusted() -> None:
    request = REQUEST.replace(b"Host: x", b"Host: x\r\nX-Forwarded-For: 203.0.113.9")
    trusted = {**SETTINGS, "trusted_proxies": ["127.0.0.1", "192.0.2.7"]}
    for settings, expected in ((SETTINGS, CLIENT), (trusted, ("203.0.113.9", 0))):
        async with telling_scope(**settings) as url, await connect(url) as stream:
            await stream.send_all(V1 + request)
            [answer] = await read_answers(stream)
            assert tuple(answer["client"]) == expected


async def received_until_closed(stream: trio.abc.Stream) -> bytes:
    received = b""
    try:
        while part := await stream.receive_some():
            received += part
    except trio.BrokenResourceError:  # a reset: the server had not read everything
        pass
    return received


@pytest.mark.parametrize(
    "data",
    [
        REQUEST,
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 65536\r\n" + REQUEST,
        V2_START + b"\x31\x11\x00\x0c" + V2_ADDRESSES + REQUEST,
        V2_START + b"\x21\x11\xff\xff" + V2_ADDRESSES,
        b"PROXY" + b"x" * 200,
    ],
)
async def test_a_connection_without_a_valid_header_is_closed(data: bytes) -> None:
    with structlog.testing.capture_logs() as logs:
        async with telling_scope(**SETTINGS) as url, await connect(url) as stream:
            await stream.send_all(data)
            assert await received_until_closed(stream) == b""
    [line] = [line for line in logs if line["event"] == "proxy_header_refused"]
    assert line["address"] == "127.0.0.1"


@each_version
async def test_a_peer_that_is_not_trusted_is_closed(header: bytes) -> None:
    async with telling_scope(proxy_protocol=True, trusted_proxies=["10.0.0.0/8"]) as url:
        async with await connect(url) as stream:
            assert await received_until_closed(stream) == b""  # before it has sent anything
        async with await connect(url) as stream:
            try:
                await stream.send_all(header + REQUEST)
            except trio.BrokenResourceError:
                pass
            assert await received_until_closed(stream) == b""


async def test_a_header_that_has_begun_is_awaited_for_a_bounded_time(autojump_clock: MockClock) -> None:
    def sending(parts: Iterable[bytes]) -> Any:
        left = iter(parts)

        async def receive() -> bytes:
            await trio.sleep(1)
            return next(left)

        return receive

    trusted = TrustedProxies.create(["127.0.0.1"])
    peer = ("127.0.0.1", 1)
    assert await read_proxy_header(peer, trusted, sending([V1[:9], V1[9:], b"x"])) is not None
    began = trio.current_time()
    slow = (V1[at : at + 1] for at in range(len(V1)))
    assert await read_proxy_header(peer, trusted, sending(slow)) is None
    assert trio.current_time() - began == 5
    assert await read_proxy_header(peer, trusted, sending([V1[:9], b""])) is None
    assert await read_proxy_header(None, trusted, sending([V1])) is None


async def test_a_probe_that_sends_nothing_leaves_no_line() -> None:
    async def receive() -> bytes:
        await trio.lowlevel.checkpoint()
        return b""

    with structlog.testing.capture_logs() as logs:
        assert (
            await read_proxy_header(("127.0.0.1", 1), TrustedProxies.create(["127.0.0.1"]), receive) is None
        )
    assert logs == []


async def test_without_the_setting_a_header_is_no_request() -> None:
    async with telling_scope(trusted_proxies=["127.0.0.1"]) as url, await connect(url) as stream:
        await stream.send_all(V1 + REQUEST)
        assert (await received_until_closed(stream)).startswith(b"HTTP/1.1 400 ")
