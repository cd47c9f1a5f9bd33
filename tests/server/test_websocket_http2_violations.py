"""WebSockets over HTTP/2 (RFC 8441): violations end with a Close frame, and refusals leak no stream."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame

from streamd.server import serve
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.http2_frames import FrameClient

MAX_BYTES = 1000
STREAMS = 4
_DEFAULTS = Settings()
SETTINGS = attrs.evolve(
    _DEFAULTS,
    server=attrs.evolve(_DEFAULTS.server, http2_max_concurrent_streams=STREAMS),
    connections=attrs.evolve(_DEFAULTS.connections, max_message_bytes=MAX_BYTES),
)
MASK = b"\0\0\0\0"  # leaves the payload as it is


def connect_head(path: bytes = b"/events?topic=a", **headers: bytes) -> list[tuple[bytes, bytes]]:
    """Build the head of a handshake."""
    fields = {
        b":method": b"CONNECT",
        b":protocol": b"websocket",
        b":scheme": b"http",
        b":path": path,
        b":authority": b"localhost",
        b"sec-websocket-version": b"13",
    }
    fields.update({name.replace("_", "-").encode(): value for name, value in headers.items()})
    return list(fields.items())


def frame(first: int, payload: bytes) -> bytes:
    """Build a client's frame from its first byte (FIN and opcode) and its payload."""
    if len(payload) < 126:
        return bytes([first, 0x80 | len(payload)]) + MASK + payload
    return bytes([first, 0x80 | 126]) + len(payload).to_bytes(2, "big") + MASK + payload


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[RunningServer, FrameClient]]:
    """Run a server with a client, whose WebSocket is stream 1."""
    with trio.fail_after(30):
        async with run_server(SETTINGS) as server:
            async with await trio.open_tcp_stream(server.host, server.port) as tcp:
                client = FrameClient(tcp)
                await client.begin()
                await client.ask(1, connect_head(), end=False)
                while b'"connected"' not in client.bodies.get(1, b""):
                    await client.read()
                yield server, client


VIOLATIONS = {
    "unmasked": (b"\x81\x02hi", 1002),
    "reserved bit": (frame(0xC1, b"hi"), 1002),
    "unknown opcode": (frame(0x83, b"hi"), 1002),
    "fragmented ping": (frame(0x09, b"hi"), 1002),
    "continuation of nothing": (frame(0x80, b"hi"), 1002),
    "no UTF-8": (frame(0x81, b"\xff"), 1007),
    "too large": (frame(0x82, b"x" * (MAX_BYTES + 1)), 1009),
    "too large in parts": (frame(0x02, b"x" * 600) + frame(0x80, b"x" * 600), 1009),
    "one byte as a reason": (frame(0x88, b"\x03"), 1002),
    "too many pongs": (frame(0x8A, b"") * 2000, 1008),
    "too many empty fragments": (frame(0x01, b"") + frame(0x00, b"") * 2000, 1008),
}


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS)
async def test_a_violation_ends_with_a_close_frame(data: bytes, code: int) -> None:
    async with connected() as (server, client):
        await client.send(DataFrame(1, data))
        while 1 not in client.ended or 1 not in client.resets:
            await client.read()
        tail = client.bodies[1]
        at = tail.rindex(b"\x88")
        assert len(tail) == at + 2 + tail[at + 1]
        assert int.from_bytes(tail[at + 2 : at + 4], "big") == code
        assert client.resets[1] == ErrorCodes.NO_ERROR
        await client.ask(3)
        await client.read_until_over(3)
        assert client.heads[3][b":status"] == b"200"
        assert client.goaways == []
        while server.streamd.connections.statistics()["active"]:
            await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize(
    "data",
    [frame(0x82, b""), frame(0x02, b"") + frame(0x80, b""), frame(0x81, b"")],
    ids=["one", "two", "text"],
)
async def test_an_empty_message_is_a_message(data: bytes) -> None:
    async with connected() as (_, client):
        await client.send(DataFrame(1, data))
        while b'"error"' not in client.bodies[1]:
            await client.read()
        await client.send(DataFrame(1, frame(0x81, b'{"control":"ping"}')))
        while b'"pong"' not in client.bodies[1]:
            await client.read()


REFUSED = {
    "unknown path": (connect_head(b"/nope"), 404),
    "no topic": (connect_head(b"/events"), 400),
    "version": (connect_head(sec_websocket_version=b"8"), 400),
    "foreign page": (connect_head(origin=b"https://other.example"), 403),
}


@pytest.mark.parametrize(("head", "status"), REFUSED.values(), ids=REFUSED)
async def test_refused_handshakes_leak_no_stream(head: list[tuple[bytes, bytes]], status: int) -> None:
    async with connected() as (_, client):
        for stream_id in range(3, 3 + 2 * 3 * STREAMS, 2):
            await client.ask(stream_id, head, end=False)
            while stream_id not in client.resets:
                await client.read()
            assert client.resets[stream_id] == ErrorCodes.NO_ERROR
            assert stream_id in client.ended
            assert client.heads[stream_id][b":status"] == b"%d" % status
            assert client.heads[stream_id][b"content-type"] == b"application/problem+json"
            assert json.loads(client.bodies[stream_id])["status"] == status
        if dict(head)[b"sec-websocket-version"] != b"13":
            assert client.heads[3][b"sec-websocket-version"] == b"13"
            assert client.heads[3][b"cache-control"] == b"no-store"
        await client.ping()
        assert client.goaways == []
        assert 1 not in client.ended


async def test_frames_before_the_answer_are_processed_after_it() -> None:
    async with connected() as (_, client):
        frames = client.head(3, connect_head(), end=False)
        pings = [frame(0x89, b"%d" % number) for number in range(50)]
        await client.send(*frames, *(DataFrame(3, ping) for ping in pings))
        await client.send(DataFrame(3, frame(0x89, b"last")))
        while b"\x8a\x04last" not in client.bodies.get(3, b""):
            await client.read()
        found = [client.bodies[3].index(b"\x8a%c%d" % (len(str(number)), number)) for number in range(50)]
        assert found == sorted(found)


async def test_frames_before_the_answer_are_bounded() -> None:
    """The stream is reset, and the application, which has answered nothing, is told that the client left."""
    left = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": message["type"] + ".complete"})
            await send({"type": "lifespan.shutdown.complete"})
        else:
            while (await receive())["type"] != "websocket.disconnect":
                pass
            left.set()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            [url] = await nursery.start(serve, app, ServerSettings(bind=["127.0.0.1:0"]))
            async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as tcp:
                client = FrameClient(tcp)
                await client.begin()
                await client.ask(1, connect_head(), end=False)
                for _ in range(3):
                    await client.send(*[DataFrame(1, b"x" * 10_000)] * 3)
                    await client.ping()
                while 1 not in client.resets:
                    await client.read()
                await left.wait()
                await client.ping()
            nursery.cancel_scope.cancel()
