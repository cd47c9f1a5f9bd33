"""An HTTP/2 client that sends and reads single frames, valid or not, and judges nothing."""

from collections.abc import Iterable

import hpack
import trio
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_BYTES = 16_000
Fields = Iterable[tuple[bytes, bytes]]
GET: list[tuple[bytes, bytes]] = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":path", b"/health/live"),
    (b":authority", b"localhost"),
]


class FrameClient:
    """One connection.

    Attributes:
        heads: fields of the last head that was received, by stream id.
        bodies: received bytes, by stream id.
        ended: ids of streams whose END_STREAM was received.
        resets: error codes of RST_STREAM, by stream id.
        goaways: last stream id and error code of each GOAWAY.
        pings: number of answered pings.
        credit: bytes of the WINDOW_UPDATE frames that were received, by stream id (0: the connection).
        closed: the server has closed the connection.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.heads: dict[int, dict[bytes, bytes]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.goaways: list[tuple[int, int]] = []
        self.pings = 0
        self.credit: dict[int, int] = {}
        self.closed = False
        self._buffer = bytearray()

    async def begin(self) -> None:
        """Send the preface and empty settings."""
        await self.stream.send_all(PREFACE)
        await self.send(SettingsFrame(0))

    async def send(self, *frames: Frame) -> None:
        """Send frames in one write."""
        await self.stream.send_all(b"".join(frame.serialize() for frame in frames))

    def head(
        self, stream_id: int, fields: Fields, *, end: bool = True, frame_bytes: int = 16_000
    ) -> list[Frame]:
        """Build the frames of a head: HEADERS, and CONTINUATION where it does not fit."""
        block = self.encoder.encode(list(fields))
        parts = [block[start : start + _FRAME_BYTES] for start in range(0, len(block), _FRAME_BYTES)] or [b""]
        frames: list[Frame] = [HeadersFrame(stream_id, parts[0], flags=["END_STREAM"] if end else [])]
        frames += [ContinuationFrame(stream_id, part) for part in parts[1:]]
        frames[-1].flags.add("END_HEADERS")
        return frames

    async def ask(self, stream_id: int, fields: Fields = GET, *, end: bool = True) -> None:
        """Send a head."""
        await self.send(*self.head(stream_id, fields, end=end))

    async def reset(self, stream_id: int) -> None:
        """Reset a stream (RST_STREAM, CANCEL)."""
        await self.send(RstStreamFrame(stream_id, 8))

    async def widen(self, stream_id: int, size: int) -> None:
        """Open the windows of a stream and of the connection by a number of bytes."""
        await self.send(WindowUpdateFrame(stream_id, size), WindowUpdateFrame(0, size))

    async def read_until_over(self, *stream_ids: int) -> None:
        """Read until streams are over: ended, or reset."""
        while not {*stream_ids} <= self.ended | {*self.resets}:
            await self.read()

    async def read_until_closed(self) -> None:
        """Read until the server closes the connection."""
        while not self.closed:
            await self.read()

    async def ping(self) -> None:
        """Send a ping, and read up to its answer."""
        wanted = self.pings + 1
        await self.send(PingFrame(0, b"12345678"))
        while self.pings < wanted:
            await self.read()
            assert self.pings >= wanted or not self.closed

    async def read(self) -> None:
        """Process the next bytes."""
        try:
            data = await self.stream.receive_some()
        except trio.BrokenResourceError:
            data = b""
        self.closed = not data
        self._buffer += data
        while len(self._buffer) >= 9:
            frame, size = Frame.parse_frame_header(memoryview(self._buffer[:9]))
            if len(self._buffer) < 9 + size:
                return
            frame.parse_body(memoryview(self._buffer[9 : 9 + size]))
            del self._buffer[: 9 + size]
            await self._take(frame)

    async def _take(self, frame: Frame) -> None:
        stream_id = frame.stream_id
        if isinstance(frame, HeadersFrame):
            fields = self.decoder.decode(frame.data, raw=True)
            self.heads[stream_id] = {bytes(name): bytes(value) for name, value in fields}
        elif isinstance(frame, DataFrame):
            self.bodies[stream_id] = self.bodies.get(stream_id, b"") + frame.data
        elif isinstance(frame, RstStreamFrame):
            self.resets[stream_id] = frame.error_code
        elif isinstance(frame, GoAwayFrame):
            self.goaways.append((frame.last_stream_id, frame.error_code))
        elif isinstance(frame, PingFrame) and "ACK" in frame.flags:
            self.pings += 1
        elif isinstance(frame, WindowUpdateFrame):
            self.credit[stream_id] = self.credit.get(stream_id, 0) + frame.window_increment
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            await self.send(SettingsFrame(0, flags=["ACK"]))
        if "END_STREAM" in frame.flags:
            self.ended.add(stream_id)
