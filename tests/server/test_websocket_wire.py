"""WebSocket (RFC 6455) with direct writes: closing, pings, extensions, and WebSocket over HTTP/2.

Clients check every frame, and that nothing follows a Close frame.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import h2.config
import h2.connection
import h2.events
import pytest
import trio
import trio.testing

from streamd.server.settings import ServerSettings
from streamd.server.wires import WebSocketWire
from streamd.testing import RunningServer, run_server
from tests.support.waiting import until
from tests.support.wire_clients import HTTP2Client, WebSocketClient
from tests.support.wire_kinds import WIRES, WireKind, connect_to, settings_for, subscribed, subscription_of

SECONDS = 30
LARGE_BYTES = 40_000  # more than the kernel buffers while the client does not read
PIECES = (1, 2, 3, 7, 61, 509, 1021, 4093)  # maximum size of a read (bytes)
DEFLATE = "permessage-deflate; client_max_window_bits"


class DeflatingClient(WebSocketClient):
    """A client that offers compression."""

    headers = f"Sec-WebSocket-Extensions: {DEFLATE}\r\n"


class WebSocketOverHTTP2(WebSocketClient):
    """A WebSocket on one stream of an HTTP/2 connection (RFC 8441).

    Attributes:
        answer: headers of the answer.
        body: of an error response.
        stream_ended: the server has ended the stream.
    """

    alpn = "h2"

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.answer: dict[str, str] = {}
        self.body = b""
        self.stream_ended = False

    async def open(self, target: str, window_bytes: int) -> None:
        self.http.initiate_connection()
        await self.stream.send_all(self.http.data_to_send())
        await self.read_until(lambda: self.http.remote_settings.enable_connect_protocol == 1)
        pseudo = {":method": "CONNECT", ":protocol": "websocket", ":path": target}
        head = {":scheme": "http", ":authority": "x", "sec-websocket-version": "13"}
        extensions = {"sec-websocket-extensions": DEFLATE}
        self.http.send_headers(1, [*pseudo.items(), *head.items(), *extensions.items()])
        await self.stream.send_all(self.http.data_to_send())

    def feed(self, data: bytes) -> bytes:
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                headers: list[Any] = list(event.headers or ())
                self.answer = dict(headers)
            elif isinstance(event, h2.events.DataReceived):
                assert not self.stream_ended
                if self.answer[":status"] != "200":
                    self.body += event.data or b""
                    continue
                self._rest += event.data or b""
                answer = self.feed_frames(event.data or b"")
                if answer:
                    self.http.send_data(1, answer)
                if event.flow_controlled_length:
                    self.http.increment_flow_control_window(event.flow_controlled_length)
                    self.http.increment_flow_control_window(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.StreamEnded):
                self.stream_ended = True
        return self.http.data_to_send()

    async def send(self, frame: bytes) -> None:
        self.http.send_data(1, frame)
        await self.stream.send_all(self.http.data_to_send())


SOCKETS = [wire for wire in WIRES if wire.client is WebSocketClient]
HTTP2 = [
    attrs.evolve(wire, name=f"WebSocket over {wire.name}", client=WebSocketOverHTTP2)
    for wire in WIRES
    if wire.client is HTTP2Client
]
on_each_socket = pytest.mark.parametrize("wire", SOCKETS, ids=lambda wire: wire.name)
over_http2 = pytest.mark.parametrize("wire", HTTP2, ids=lambda wire: wire.name)


@asynccontextmanager
async def connected(wire: WireKind, folder: Path) -> AsyncIterator[tuple[RunningServer, Any]]:
    """Run a server with small buffers, and a client called ``me`` that is subscribed to ``a``."""
    settings = settings_for(wire, folder, ServerSettings(send_buffer_bytes=4608))
    with trio.fail_after(SECONDS):
        async with (
            run_server(settings) as server,
            subscribed(server, wire, "a", receive_buffer_bytes=4096, client_id="me") as client,
        ):
            yield server, client


async def publish(server: RunningServer, client: WebSocketClient, *texts: str) -> list[bytes]:
    """Publish, and return the events that the client must receive."""
    return [client.encode(await server.streamd.publish("a", text), "a", text) for text in texts]


async def fill(server: RunningServer, client: WebSocketClient) -> list[bytes]:
    """Publish an event of which the kernel takes only a part, because the client does not read."""
    await until(lambda: subscription_of(server, "me")._wire is not None)
    expected = await publish(server, client, "x" * LARGE_BYTES)
    wire = subscription_of(server, "me")._wire
    assert isinstance(wire, WebSocketWire)
    assert wire._output is not None
    output = wire._output
    await until(lambda: bool(output._tail))
    return expected


async def check_gone(server: RunningServer) -> None:
    await until(lambda: server.streamd.connections.statistics()["active"] == 0)
    assert server.streamd.hub.statistics()["subscriptions"] == 0


@pytest.mark.parametrize("is_behind", [False, True], ids=["level", "behind"])
@on_each_socket
async def test_nothing_follows_the_answer_to_a_clients_close(
    wire: WireKind, is_behind: bool, tmp_path: Path
) -> None:
    async with connected(wire, tmp_path) as (server, client):
        expected = await fill(server, client) if is_behind else []
        client.answers_close = False  # the client closes first
        await client.stream.send_all(client.frames.close(1000, "enough"))
        for number in range(20):
            expected += await publish(server, client, f"{number}", "é" * 300)
        await client.read_until(lambda: client.at_eof, 1021)
        assert client.close_code == 1000
        assert client.events == expected[: len(client.events)]
        assert len(client.events) >= is_behind  # an event that was begun is completed
        await check_gone(server)


@pytest.mark.parametrize("is_behind", [False, True], ids=["level", "behind"])
@on_each_socket
async def test_nothing_follows_the_servers_close_frame(
    wire: WireKind, is_behind: bool, tmp_path: Path
) -> None:
    async with connected(wire, tmp_path) as (server, client):
        expected = await fill(server, client) if is_behind else []
        expected += await publish(server, client, *map(str, range(5)))
        server.streamd.connections.close("me")
        expected += await publish(server, client, *map(str, range(5, 20)))
        await client.read_until(lambda: client.at_eof, 1021)
        assert client.close_code == 1000
        assert client.controls[-1] == ("closing", {"reason": "closed"})
        assert client.events == expected[: len(client.events)]
        assert len(client.events) >= is_behind
        await check_gone(server)


@on_each_socket
async def test_pings_are_answered_in_order_between_direct_writes(wire: WireKind, tmp_path: Path) -> None:
    async with connected(wire, tmp_path) as (server, client):
        expected: list[bytes] = []
        pings = []
        for number, size in enumerate((1, 125, 126, 20_000, 2, 65_535, 65_536, 7, 30_000, 3)):
            expected += await publish(server, client, "x" * size)
            for payload in (b"", f"{number}".encode(), b"p" * 125):
                await client.stream.send_all(client.frames.ping(payload) + client.frames.pong(b"unasked"))
                pings.append(payload)
                expected += await publish(server, client, f"after {payload!r}", "é" * size)
            for piece in PIECES:
                if len(client.events) < len(expected):  # there is more to read
                    await client.read(piece)
        text = b'{"control":"ping","nonce":1}'
        await client.stream.send_all(client.frames.send_data(text.decode()))
        await client.read_until(
            lambda: len(client.events) == len(expected) and len(client.pongs) == len(pings)
        )
        assert await client.read_control("pong") == {"nonce": 1}
        assert client.events == expected
        assert client.pongs == pings
        assert subscription_of(server, "me").live


@on_each_socket
async def test_an_offer_of_compression_is_ignored(wire: WireKind, tmp_path: Path) -> None:
    async with connected(attrs.evolve(wire, client=DeflatingClient), tmp_path) as (server, client):
        assert b"sec-websocket-extensions" not in client.head.lower()
        expected = await publish(server, client, "x" * 10_000, "short")
        await client.read_until(lambda: len(client.events) == 2)
        assert client.events == expected


@over_http2
async def test_over_http2_the_frames_are_the_same(wire: WireKind, tmp_path: Path) -> None:
    async with connected(wire, tmp_path) as (server, client):
        assert client.answer[":status"] == "200"
        assert "sec-websocket-extensions" not in client.answer
        expected: list[bytes] = []
        pings = []
        for number, size in enumerate((1, 125, 126, 20_000, 65_536, 3)):
            expected += await publish(server, client, "x" * size, "é")
            pings.append(f"{number}".encode())
            await client.send(client.frames.ping(pings[-1]))
            await client.read(61)
        await client.read_until(
            lambda: len(client.events) == len(expected) and len(client.pongs) == len(pings), 1021
        )
        assert client.events == expected
        assert client.pongs == pings
        server.streamd.connections.close("me")
        await client.read_until(lambda: client.stream_ended)
        assert client.close_code == 1000
        assert client.controls[-1] == ("closing", {"reason": "closed"})
        await check_gone(server)


@over_http2
async def test_over_http2_a_clients_close_is_answered_and_the_stream_ends(
    wire: WireKind, tmp_path: Path
) -> None:
    async with connected(wire, tmp_path) as (server, client):
        expected = await publish(server, client, *map(str, range(5)))
        client.answers_close = False
        await client.send(client.frames.close(1000))
        await publish(server, client, *map(str, range(5, 20)))
        await client.read_until(lambda: client.ended)
        assert client.close_code == 1000
        assert client.events[:5] == expected[: len(client.events)]
        await client.read_until(lambda: client.stream_ended)
        await check_gone(server)


@over_http2
async def test_over_http2_a_ping_is_answered_behind_a_closed_window(wire: WireKind, tmp_path: Path) -> None:
    """The trio task that answers also reads the connection: waiting for the window would be a deadlock."""
    async with connected(wire, tmp_path) as (server, client):
        connection = server.streamd.connections.find("me")
        expected = await publish(server, client, *["x" * 300_000] * 3)
        await until(lambda: connection.stalled_since is not None)
        await trio.testing.wait_all_tasks_blocked()
        await client.send(client.frames.ping(b"there?"))
        await client.read_until(lambda: len(client.events) == len(expected) and bool(client.pongs), 1021)
        assert client.events == expected
        assert client.pongs == [b"there?"]


@over_http2
async def test_over_http2_a_rejected_handshake_gets_an_ordinary_response(
    wire: WireKind, tmp_path: Path
) -> None:
    with trio.fail_after(SECONDS):
        async with run_server(settings_for(wire, tmp_path, ServerSettings())) as server:
            client = WebSocketOverHTTP2(await connect_to(server, wire))
            async with client.stream:
                await client.open("/events", 65_535)  # without a topic
                await client.read_until(lambda: client.stream_ended)
                assert client.answer[":status"] == "400"
                assert b'"code":"invalid-field"' in client.body
