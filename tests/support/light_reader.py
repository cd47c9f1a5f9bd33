"""A cheap reader of event streams, for tests with many of them.

It parses HTTP/1.1 by hand where :mod:`streamd.testing` uses h11, and reads any stream, TLS included.
"""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode, urlsplit

import trio

from streamd.events import ControlName
from streamd.events.sse import DecodedCursorMove, Decoder, ServerSentEvent

_CONTROL = frozenset(str(name) for name in ControlName)
_CHUNK_END = b"\r\n"


class LightReader:
    """One open event stream.

    Attributes:
        status: of the answer.
        head: of the answer, in bytes.
        ended: the last chunk has been received.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.status = 0
        self.head = b""
        self.ended = False
        self._buffer = bytearray()
        self._decoder = Decoder()

    @property
    def last_event_id(self) -> str:
        return self._decoder.last_event_id

    @property
    def retry_ms(self) -> int | None:
        return self._decoder.retry_ms

    async def open(self, host: str, target: str, last_event_id: str | None = None) -> None:
        """Send the request, and read the head of the answer."""
        resume = "" if last_event_id is None else f"Last-Event-ID: {last_event_id}\r\n"
        await self.stream.send_all(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{resume}\r\n".encode())
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            data = await self.stream.receive_some(65_536)
            assert data, "no answer"
            self._buffer += data
        self.head = bytes(self._buffer[: end + 2])
        del self._buffer[: end + 4]
        self.status = int(self.head.split()[1])

    async def next_block(self) -> ServerSentEvent | DecodedCursorMove | None:
        """Read the next event, control frame or cursor move; None at the end of the stream."""
        while (block := self._decoder.next_event()) is None:
            if self.ended:
                return None
            if not self._take_chunks() and not self.ended:
                data = await self.stream.receive_some(65_536)
                if not data:
                    return None
                self._buffer += data
        return block

    async def next_event(self) -> ServerSentEvent | None:
        """Read up to the next published event; None at the end of the stream."""
        while (block := await self.next_block()) is not None:
            if isinstance(block, ServerSentEvent) and block.type not in _CONTROL:
                return block
        return None

    async def next_control(self, name: str) -> ServerSentEvent:
        """Read up to a control frame."""
        while (block := await self.next_block()) is not None:
            if isinstance(block, ServerSentEvent) and block.type == name:
                return block
        raise AssertionError(f"the stream ended without {name}")

    def _take_chunks(self) -> bool:
        """Pass whole chunks (RFC 9112 section 7.1) to the decoder; return False if there was none."""
        taken = False
        while (line := self._buffer.find(_CHUNK_END)) >= 0:
            size = int(self._buffer[:line], 16)
            begin, end = line + 2, line + 2 + size
            if len(self._buffer) < end + 2:
                break
            if size == 0:
                self.ended = True
                break
            self._decoder.receive_data(bytes(self._buffer[begin:end]))
            del self._buffer[: end + 2]
            taken = True
        return taken


async def connect(
    url: str, *, tls: ssl.SSLContext | None = None, receive_buffer_bytes: int | None = None
) -> trio.abc.Stream:
    """Open a connection to a server; with a small receive buffer the reader stalls early."""
    parts = urlsplit(url)
    sock = trio.socket.socket()
    try:
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        await sock.connect((parts.hostname, parts.port))
    except BaseException:
        sock.close()
        raise
    stream = trio.SocketStream(sock)
    if tls is None:
        return stream
    secure = trio.SSLStream(stream, tls, server_hostname=parts.hostname, https_compatible=True)
    await secure.do_handshake()
    return secure


@asynccontextmanager
async def reading(
    url: str,
    *topics: str,
    last_event_id: str | None = None,
    tls: ssl.SSLContext | None = None,
    **query: str,
) -> AsyncIterator[LightReader]:
    """Subscribe for the block; the answer must be 200."""
    stream = await connect(url, tls=tls)
    try:
        reader = LightReader(stream)
        target = "/events?" + urlencode([*(("topic", topic) for topic in topics), *query.items()])
        await reader.open(urlsplit(url).netloc, target, last_event_id)
        assert reader.status == 200, reader.head
        yield reader
    finally:
        await trio.aclose_forcefully(stream)
