"""Clients that parse each wire by hand, in pieces of any size, and check all of its framing.

A client reads only inside :meth:`WireClient.read`: unread bytes stay in the kernel. Any deviation from the
exact framing fails an assertion, where the reader of :mod:`streamd.testing` accepts all that h11 accepts.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import trio
from h2.settings import SettingCodes
from wsproto.frame_protocol import FrameProtocol, Opcode

ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3, for the key below
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_CHUNK_SIZE = re.compile(rb"(0|[1-9a-f][0-9a-f]*)\r\n")


class WireClient(ABC):
    """One subscriber.

    Attributes:
        events: published events as received: SSE blocks, or JSON texts.
        controls: names and fields of control frames.
        head: of the answer, on HTTP/1.1.
        ended: the stream was ended as its protocol prescribes.
        at_eof: the connection was closed.
    """

    alpn: ClassVar[str] = "http/1.1"

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.events: list[bytes] = []
        self.controls: list[tuple[str, dict[str, Any]]] = []
        self.head = b""
        self.ended = False
        self.at_eof = False
        self._rest = bytearray()  # of the incomplete block, chunk or frame

    @abstractmethod
    async def open(self, target: str, window_bytes: int) -> None:
        """Send the request."""

    @abstractmethod
    def feed(self, data: bytes) -> bytes:
        """Process bytes of the server, and return the bytes to answer with."""

    @staticmethod
    @abstractmethod
    def encode(id: str, topic: str, data: str) -> bytes:
        """Encode an event as it must appear in ``events``, without streamd's code."""

    async def read(self, max_bytes: int = 65_536) -> None:
        """Read at most ``max_bytes`` from the connection, waiting for at least one.

        Raises:
            trio.BrokenResourceError: the connection was reset.
        """
        assert not self.at_eof, "the connection has ended"
        data = await self.stream.receive_some(max_bytes)
        if not data:
            self.at_eof = True
            self.end_of_connection()
        elif answer := self.feed(bytes(data)):
            await self.stream.send_all(answer)

    async def read_until(self, holds: Callable[[], bool], max_bytes: int = 65_536) -> None:
        """Read until a condition holds, at most ``max_bytes`` at a time."""
        while not holds():
            await self.read(max_bytes)

    async def read_control(self, name: str) -> dict[str, Any]:
        """Read up to a control frame, and return its fields."""
        await self.read_until(lambda: any(seen == name for seen, _ in self.controls))
        return next(fields for seen, fields in self.controls if seen == name)

    def end_of_connection(self) -> None:
        """Process the end of the connection."""
        assert not self._rest, self._rest[:100]

    def _take_block(self, block: bytes) -> None:
        """Process one block of an event stream, its blank line included."""
        lines = block.splitlines()
        if any(line.startswith(b"id: ") for line in lines):
            assert lines[-2].startswith(b"id: "), block  # the last field: see streamd.events.sse.encode_block
            self.events.append(block)
        else:
            fields = dict(line.split(b": ", 1) for line in lines if line)
            self.controls.append((fields[b"event"].decode(), json.loads(fields[b"data"])))

    def _take_blocks(self, text: bytearray) -> None:
        """Process the complete blocks, and remove them from the text."""
        while (end := text.find(b"\n\n")) >= 0:
            self._take_block(bytes(text[: end + 2]))
            del text[: end + 2]


def encode_block(id: str, topic: str, data: str) -> bytes:
    """Encode an event as a block of an event stream (WHATWG HTML section 9.2)."""
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"{lines}id: {id}\n\n".encode()


class HTTP11Client(WireClient):
    """Server-Sent Events in chunks: each chunk must contain whole blocks, with the shortest size line."""

    version = "1.1"
    encode = staticmethod(encode_block)

    async def open(self, target: str, window_bytes: int) -> None:
        await self.stream.send_all(f"GET {target} HTTP/{self.version}\r\nHost: localhost\r\n\r\n".encode())

    def feed(self, data: bytes) -> bytes:
        self._rest += data
        if not self.head:
            end = self._rest.find(b"\r\n\r\n")
            if end < 0:
                return b""
            self.head = bytes(self._rest[: end + 4])
            assert self.head.startswith(b"HTTP/1.1 200 "), self.head
            del self._rest[: end + 4]
        self._take_body()
        return b""

    def _take_body(self) -> None:
        assert b"\r\ntransfer-encoding: chunked\r\n" in self.head.lower()
        while self._rest and not self.ended:
            size = _CHUNK_SIZE.match(self._rest)
            if size is None:
                assert re.fullmatch(rb"[1-9a-f][0-9a-f]*\r?|0\r?", self._rest), self._rest[:100]
                return
            begin, length = size.end(), int(size[1], 16)
            if len(self._rest) < begin + length + 2:
                return
            assert self._rest[begin + length : begin + length + 2] == b"\r\n"
            text = self._rest[begin : begin + length]
            del self._rest[: begin + length + 2]
            self._take_blocks(text)
            assert not text, "a chunk ends within a block"
            self.ended = length == 0


class HTTP10Client(HTTP11Client):
    """Server-Sent Events until the connection is closed."""

    version = "1.0"

    def _take_body(self) -> None:
        assert b"chunked" not in self.head.lower()
        self._take_blocks(self._rest)

    def end_of_connection(self) -> None:
        super().end_of_connection()
        self.ended = True


class WebSocketClient(WireClient):
    """JSON text frames, parsed by wsproto and compared with their shortest encoding.

    Attributes:
        pongs: payloads, in order.
        close_code: of the server's Close frame.
        answers_close: set to False to leave the server's Close frame unanswered.
    """

    headers = ""  # further lines of the request

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self.frames = FrameProtocol(client=True, extensions=[])
        self.pongs: list[bytes] = []
        self.close_code: int | None = None
        self.answers_close = True
        self._payload: list[bytes] = []  # of the incomplete frame

    async def open(self, target: str, window_bytes: int) -> None:
        await self.stream.send_all(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}{self.headers}\r\n".encode()
        )

    @staticmethod
    def encode(id: str, topic: str, data: str) -> bytes:
        fields = {"id": id, "type": "message", "topics": [topic], "data": data}
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()

    def feed(self, data: bytes) -> bytes:
        self._rest += data
        if not self.head:
            end = self._rest.find(b"\r\n\r\n")
            if end < 0:
                return b""
            self.head = bytes(self._rest[: end + 4])
            assert self.head.startswith(b"HTTP/1.1 101 "), self.head
            assert ACCEPT in self.head
            del self._rest[: end + 4]
            data = bytes(self._rest)
        return self.feed_frames(data)

    def feed_frames(self, data: bytes) -> bytes:
        """Process bytes of frames, which are in ``_rest`` as well."""
        self.frames.receive_bytes(data)
        for frame in self.frames.received_frames():
            if frame.opcode is Opcode.CLOSE:
                self.close_code = int(frame.payload[0])
                text = f"{frame.payload[1]}".encode()
                self._take_frame(Opcode.CLOSE, self.close_code.to_bytes(2, "big") + text)
                self.ended = True
                assert not self._rest, "bytes after the Close frame"
                return bytes(self.frames.close(self.close_code)) if self.answers_close else b""
            part: Any = frame.payload
            self._payload.append(part.encode() if isinstance(part, str) else bytes(part))
            if frame.frame_finished:
                assert frame.message_finished, "a fragmented message"
                self._take_frame(frame.opcode, b"".join(self._payload))
                self._payload.clear()
        assert self.close_code is None or not self._rest, "bytes after the Close frame"
        return b""

    def _take_frame(self, opcode: Opcode, payload: bytes) -> None:
        exact = bytes([0x80 | opcode]) + _encode_length(len(payload)) + payload  # FIN, RSV 0, no mask
        assert self._rest.startswith(exact), (self._rest[:20], exact[:20])
        del self._rest[: len(exact)]
        if opcode is Opcode.PONG:
            self.pongs.append(payload)
        elif opcode is Opcode.TEXT:
            fields = json.loads(payload)
            if "control" in fields:
                self.controls.append((fields.pop("control"), fields))
            else:
                self.events.append(payload)
        else:
            assert opcode is Opcode.CLOSE, opcode


def _encode_length(size: int) -> bytes:
    """Encode a payload length in its shortest form (RFC 6455 section 5.2)."""
    if size < 126:
        return bytes([size])
    return b"\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x7f" + size.to_bytes(8, "big")


class HTTP2Client(WireClient):
    """Server-Sent Events on one stream, whose window opens as the client reads.

    Attributes:
        reset: the server has reset the stream.
    """

    alpn = "h2"
    encode = staticmethod(encode_block)

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.reset = False

    async def open(self, target: str, window_bytes: int) -> None:
        self.http.initiate_connection()
        self.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
        if window_bytes > 65_535:
            self.http.increment_flow_control_window(window_bytes - 65_535)
        head = [(":method", "GET"), (":path", target), (":scheme", "http"), (":authority", "localhost")]
        self.http.send_headers(1, head, end_stream=True)
        await self.stream.send_all(self.http.data_to_send())

    def feed(self, data: bytes) -> bytes:
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                headers: list[Any] = list(event.headers or ())
                assert (":status", "200") in headers
            elif isinstance(event, h2.events.DataReceived):
                assert not self.ended
                self._rest += event.data or b""
                self._open_windows(event.flow_controlled_length or 0)
                self._take_blocks(self._rest)
            elif isinstance(event, h2.events.StreamEnded):
                assert not self._rest, self._rest[:100]
                self.ended = True
            elif isinstance(event, h2.events.StreamReset):
                self.reset = True
        return self.http.data_to_send()

    def _open_windows(self, size: int) -> None:
        """Return flow-control credit at once; h2 would wait until half of the window is used."""
        if size:
            self.http.increment_flow_control_window(size)
            with suppress(h2.exceptions.StreamClosedError):
                self.http.increment_flow_control_window(size, 1)
