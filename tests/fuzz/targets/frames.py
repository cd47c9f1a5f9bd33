"""Frames of HTTP/2 and of WebSockets: any bytes end in events, or in an error of the protocol."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import hpack
import trio
from h2.exceptions import ProtocolError
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, SettingsFrame
from wsproto.connection import Connection, ConnectionType
from wsproto.frame_protocol import CloseReason

from streamd.server.http1.websocket import WebSocketExchange
from streamd.server.hypercorn_internals.http2_heads import HTTP2Connection
from streamd.server.settings import ServerSettings
from tests.fuzz.target import Target, split
from tests.support.http2_frames import GET, PREFACE

_HEAD_BYTES_MAX: Final = 4096
_STREAMS_MAX: Final = 3
_MESSAGE_BYTES_MAX: Final = 64
_OF_ONE_MESSAGE: Final = {CloseReason.INVALID_FRAME_PAYLOAD_DATA, CloseReason.MESSAGE_TOO_BIG}
"""A message may be both: the first that is noticed depends on where it was cut."""


def _take_http2(data: bytes) -> None:
    """Process frames behind a preface in parts, whose lengths are the first four bytes."""
    stream = SettingsFrame(0).serialize() + data[4:]

    async def run() -> None:
        whole, end = _receive([PREFACE + stream])
        kinds, split_end = _receive([PREFACE, *split(stream, data[:4])])
        assert kinds[: len(whole)] == whole
        assert split_end == end

    trio.run(run)


def _receive(parts: Sequence[bytes]) -> tuple[list[str], str]:
    """Return the kinds of the events of a connection, and how it ended."""
    connection = HTTP2Connection(_HEAD_BYTES_MAX, _STREAMS_MAX)
    connection.initiate_connection()
    kinds: list[str] = []
    for part in parts:
        rest = part
        while True:
            try:
                events = connection.receive_data(rest)
            except ProtocolError as error:
                return kinds, type(error).__name__
            kinds += [type(event).__name__ for event in events]
            for stream_id in list(connection.refused):
                del connection.refused[stream_id]
                with suppress(ProtocolError):  # reset by the client
                    connection.reset_stream(stream_id)
            assert sum(not stream.closed for stream in connection.streams.values()) <= _STREAMS_MAX
            if not connection.has_paused:
                break
            rest = b""
    return kinds, "open"


class _Client:
    """A connection that has received parts of a stream, and keeps what is sent."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.read_ahead = b""
        self.server = self
        self.settings = ServerSettings()
        self.output = self
        self.closed = False
        self.max_message_bytes = _MESSAGE_BYTES_MAX
        self._parts = iter(parts)

    async def read(self) -> bytes:
        return next(self._parts, b"")

    async def send(self, data: bytes) -> None:
        assert data

    def put(self, data: bytes) -> None:
        assert data

    def begin_reading(self) -> None:
        """Do nothing, as the timeouts of a connection are not looked at."""

    end_reading = revoke = begin_reading


def _take_websocket(data: bytes) -> None:
    """Process frames in parts, whose lengths are the first four bytes."""
    stream = data[4:]

    async def run() -> None:
        whole, code = await _messages([stream])
        messages, split_code = await _messages(split(stream, data[:4]))
        assert messages == whole
        assert split_code == code or {code, split_code} == _OF_ONE_MESSAGE

    trio.run(run)


async def _messages(parts: Sequence[bytes]) -> tuple[list[Any], int]:
    """Return the messages of a connection, and the code of its end."""
    client: Any = _Client(parts)
    head: Any = _Head()
    exchange: Any = WebSocketExchange(client, head, head)
    exchange._websocket, exchange._told_connect = Connection(ConnectionType.SERVER), True
    messages = []
    while (message := await exchange.receive())["type"] == "websocket.receive":
        content = message["text"] if message["bytes"] is None else message["bytes"]
        assert len(content) <= _MESSAGE_BYTES_MAX
        messages.append(content)
    return messages, message["code"]


class _Head:
    """The head of a handshake that was accepted."""

    keeps_alive = True

    def __getattr__(self, name: str) -> Any:
        return None


def _frames(*frames: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in frames)


_BLOCK: Final = hpack.Encoder().encode(GET)
_ENDS: Final = ["END_HEADERS", "END_STREAM"]

TARGETS: Final = {
    "http2": Target(
        _take_http2,
        (
            b"\1\2\3\5" + _frames(HeadersFrame(1, _BLOCK, flags=_ENDS), PingFrame(0, b"12345678")),
            b"\xff\xff\xff\xff"
            + _frames(HeadersFrame(1, _BLOCK, flags=_ENDS[:1]), DataFrame(1, b"abc", flags=_ENDS[1:])),
        ),
        (b"\0\0\0", b"\0\0\4\3", b"\0\0\4\x08", _BLOCK, b"\0\0\0\1", b"\x40\0", b"\x82\x84"),
    ),
    "websocket": Target(
        _take_websocket,
        (
            b"\1\2\3\5\x81\x83\0\0\0\0abc\x89\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8",
            b"\xff\0\0\0\x01\x81\1\2\3\4a\x80\x81\1\2\3\4b\x82\xfe\x00\x80\0\0\0\0" + b"x" * 128,
        ),
        (b"\x81\x80\0\0\0\0", b"\x00\x80\0\0\0\0", b"\x89\x80\0\0\0\0", b"\x88\x82\0\0\0\0", b"\xff"),
        512,
    ),
}
