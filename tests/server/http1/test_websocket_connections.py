"""WebSocket on real sockets: handshakes, messages, errors of the protocol, and the closing handshake."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from structlog.testing import capture_logs
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode

from tests.support.client_rig import HANDSHAKE
from tests.support.echo_server import EchoServer, echoing
from tests.support.raw_answers import exchange
from tests.support.sockets import connect
from tests.support.waiting import until

MAX_BYTES = 1000


def handshake(
    path: str = "/", *, version: str = "1.1", method: str = "GET", body: str = "", **changes: str | None
) -> bytes:
    """Build a handshake; None leaves a field out."""
    fields = {**HANDSHAKE, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *lines, "", body]).encode()


REFUSED = {
    "version 8": (handshake(Sec_WebSocket_Version="8"), 426),
    "no version": (handshake(Sec_WebSocket_Version=None), 426),
    "Upgrade dropped": (handshake(Upgrade=None), 426),
    "Connection dropped": (handshake(Connection=None), 426),
    "both dropped": (handshake(Upgrade=None, Connection="close"), 426),
    "HTTP/1.0": (handshake(version="1.0"), 426),
    "no key": (handshake(Sec_WebSocket_Key=None), 400),
    "short key": (handshake(Sec_WebSocket_Key="dGhlIHNhbXBsZQ=="), 400),
    "no base64": (handshake(Sec_WebSocket_Key="!" * 24), 400),
    "two keys": (handshake(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: x"), 400),
    "a body": (handshake(Content_Length="5", body="hello"), 400),
    "chunks": (handshake(Transfer_Encoding="chunked", body="0\r\n\r\n"), 400),
    "by the application": (handshake("/refuse"), 403),
}


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
async def test_a_refused_handshake_ends_its_connection(sent: bytes, status: int) -> None:
    with capture_logs() as logs:
        async with echoing() as server:
            [answer] = await exchange(server.url, sent + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer.status == status
            assert answer.headers["content-type"] == "application/problem+json"
            assert server.paths == (["/refuse"] if status == 403 else [])
            if status == 426:
                assert answer.headers["sec-websocket-version"] == "13"
                assert answer.headers["upgrade"] == "websocket"
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


async def test_another_method_than_get_is_an_ordinary_request() -> None:
    async with echoing() as server:
        sent = handshake(method="POST", Content_Length="5\r\nConnection: close", body="hello")
        [answer] = await exchange(server.url, sent, "POST")
        assert (answer.status, answer.body) == (200, b'"hello"')


async def test_a_handshake_whose_application_fails_is_answered_500() -> None:
    with capture_logs() as logs:
        async with echoing() as server:
            [answer] = await exchange(server.url, handshake("/raise"))
            assert answer.status == 500
    assert len([entry for entry in logs if entry["log_level"] == "error"]) == 1


def frame(first: int, payload: bytes = b"") -> bytes:
    """Build a frame from its first byte (FIN and opcode) and its payload, masked by zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([first]) + length + b"\0\0\0\0" + payload


class FrameClient:
    """An open WebSocket.

    Attributes:
        received: opcodes and payloads of the server's frames.
    """

    def __init__(self, server: EchoServer, stream: trio.SocketStream) -> None:
        self.server = server
        self.stream = stream
        self.frames = FrameProtocol(client=True, extensions=[])
        self.received: list[tuple[Opcode, object]] = []

    async def send(self, *frames: bytes | bytearray) -> None:
        await self.stream.send_all(b"".join(map(bytes, frames)))

    async def read(self, count: int) -> list[tuple[Opcode, object]]:
        """Read frames until there are so many, or the server closes."""
        while len(self.received) < count and (data := await self.stream.receive_some()):
            self.frames.receive_bytes(bytes(data))
            self.received += [(frame.opcode, frame.payload) for frame in self.frames.received_frames()]
        return self.received

    async def read_close(self) -> int:
        """Read up to the Close frame, then to the end of the connection, and return its code."""
        frames = await self.read(1000)
        opcode, payload = frames[-1]
        assert opcode is Opcode.CLOSE
        assert isinstance(payload, tuple)
        return int(payload[0])


@asynccontextmanager
async def opened(max_message_bytes: int = MAX_BYTES) -> AsyncIterator[FrameClient]:
    async with echoing(max_message_bytes=max_message_bytes) as server:
        stream = await connect(server.url)
        assert isinstance(stream, trio.SocketStream)
        async with stream:
            offered = "permessage-deflate; client_max_window_bits"
            await stream.send_all(handshake(Sec_WebSocket_Extensions=offered))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await stream.receive_some(1)
            assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455 section 1.3
            assert b"extensions" not in head
            yield FrameClient(server, stream)


@pytest.mark.parametrize("data", [b"", "", b"\x00\xff", "é" * 400, b"x" * MAX_BYTES])
@pytest.mark.parametrize("parts", [1, 3])
async def test_a_message_is_received_whole(data: str | bytes, parts: int) -> None:
    async with opened() as client:
        cut = len(data) // parts
        for number in range(parts - 1):
            await client.send(client.frames.send_data(data[number * cut : (number + 1) * cut], False))
            await client.send(client.frames.ping(b"between"))
        await client.send(client.frames.send_data(data[(parts - 1) * cut :], True))
        opcode = Opcode.TEXT if isinstance(data, str) else Opcode.BINARY
        expected: list[tuple[Opcode, object]] = [(Opcode.PONG, b"between")] * (parts - 1)
        received = await client.read(parts)
        assert received[: parts - 1] == expected
        assert received[parts - 1][0] is opcode
        assert client.server.messages == [data]


@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("parts", [1, 200])
async def test_a_message_that_is_too_large_is_refused_before_it_is_complete(kind: str, parts: int) -> None:
    async with opened() as client:
        part = "é" * (600 // parts) if kind == "text" else b"x" * (1200 // parts)
        for _ in range(parts):
            await client.send(client.frames.send_data(part, False))
        assert await client.read_close() == CloseReason.MESSAGE_TOO_BIG
        await until(lambda: client.server.messages == [1009])


BROKEN = {
    "unmasked": (b"\x81\x01x", CloseReason.PROTOCOL_ERROR),
    "unknown opcode": (b"\x83\x80\0\0\0\0", CloseReason.PROTOCOL_ERROR),
    "reserved bit": (b"\xc1\x80\0\0\0\0", CloseReason.PROTOCOL_ERROR),
    "continuation of nothing": (b"\x80\x80\0\0\0\0", CloseReason.PROTOCOL_ERROR),
    "long ping": (b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126, CloseReason.PROTOCOL_ERROR),
    "no UTF-8": (b"\x81\x81\0\0\0\0\xff", CloseReason.INVALID_FRAME_PAYLOAD_DATA),
    "close of one byte": (b"\x88\x81\0\0\0\0x", CloseReason.PROTOCOL_ERROR),
    "invalid close code": (b"\x88\x82\0\0\0\0\x03\xed", CloseReason.PROTOCOL_ERROR),
}


@pytest.mark.parametrize(("sent", "code"), BROKEN.values(), ids=BROKEN)
async def test_an_error_of_the_protocol_ends_with_a_close_frame(sent: bytes, code: int) -> None:
    with capture_logs() as logs:
        async with opened() as client:
            await client.send(sent, client.frames.send_data("behind it", True))
            assert await client.read_close() == code
            await until(lambda: client.server.messages == [code])
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


async def test_the_close_of_a_client_is_answered() -> None:
    async with opened() as client:
        await client.send(client.frames.close(3000, "enough"), os.urandom(100))
        assert await client.read_close() == 3000
        await until(lambda: client.server.messages == [3000])


@pytest.mark.parametrize("answers", [True, False])
async def test_the_server_closes_in_bounded_time(answers: bool) -> None:
    async with opened() as client:
        await client.send(client.frames.send_data("close", True))
        await client.read(1)
        if answers:
            await client.send(client.frames.close(4000))
        assert await client.read_close() == 4000  # and the end of the connection


async def test_an_application_that_fails_closes_with_1011() -> None:
    with capture_logs():
        async with opened() as client:
            await client.send(client.frames.send_data("raise", True))
            assert await client.read_close() == CloseReason.INTERNAL_ERROR


async def test_a_client_that_leaves_without_close_is_told_as_1006() -> None:
    async with opened() as client:
        await client.stream.send_eof()
        await until(lambda: client.server.messages == [1006])


# --- bounds -------------------------------------------------------------------------------------------

ALLOWED = 500  # more may be earned while a test runs: a few
FLOODS = {
    "pings": frame(0x89),
    "pongs": frame(0x8A),
    "empty fragments": frame(0x00),
    "fragments of a byte": frame(0x00, b"x"),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_flood_of_frames_ends_with_1008(flood: bytes) -> None:
    async with opened(max_message_bytes=1_000_000) as client:
        await client.send(frame(0x01, b"begun"), flood * 20_000)
        assert await client.read_close() == CloseReason.POLICY_VIOLATION
        answered = sum(opcode is Opcode.PONG for opcode, _ in client.received)
        assert answered < 2 * ALLOWED
        await until(lambda: client.server.messages == [1008])


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_some_of_these_frames_are_allowed(flood: bytes) -> None:
    async with opened() as client:
        await client.send(frame(0x01, b"begun"), flood * (ALLOWED - 1), frame(0x80))
        while not client.server.messages:
            await client.read(len(client.received) + 1)
        assert client.server.messages[0].startswith("begun")


async def test_fragments_with_content_are_bounded_by_the_message_alone() -> None:
    async with opened(max_message_bytes=1_000_000) as client:
        await client.send(frame(0x02), frame(0x00, b"x" * 16) * 20_000, frame(0x80))
        await until(lambda: client.server.messages == [b"x" * 320_000])


async def test_a_flood_while_the_server_closes_ends_its_wait() -> None:
    async with opened() as client:
        await client.send(client.frames.send_data("close", True), frame(0x89) * 20_000)
        assert await client.read_close() == 4000


async def test_a_client_that_sends_on_after_1009_is_cut_off() -> None:
    """It neither answers the Close frame nor reads: TCP is closed soon (RFC 6455 section 7.1.7)."""
    async with opened() as client:
        with pytest.raises(trio.BrokenResourceError):
            while True:
                await client.send(frame(0x01, b"x" * 60_000), frame(0x00, b"x" * 60_000) * 20)
        assert client.server.messages == [1009]
