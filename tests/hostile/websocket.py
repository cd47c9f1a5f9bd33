"""Attacks on WebSocket: frames, messages, subscriptions."""

import itertools
import json
import struct
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import trio

from tests.hostile.attack import attack
from tests.hostile.target import RATE, Target, head

_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
_LINES: Final = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {_KEY}",
)
OPENING: Final = head("GET", "/events?topic=a", *_LINES)
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FIN: Final = 0x80
_MASKED: Final = 0x80


def frame(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """Build a frame of a client, with a mask of zeros (RFC 6455 section 5.2)."""
    first, size = opcode | (_FIN if final else 0), len(payload)
    if size < 126:
        lengths = struct.pack(">BB", first, _MASKED | size)
    elif size < 65_536:
        lengths = struct.pack(">BBH", first, _MASKED | 126, size)
    else:
        lengths = struct.pack(">BBQ", first, _MASKED | 127, size)
    return lengths + bytes(4) + payload


def message(**fields: Any) -> bytes:
    """Build the frame of a JSON message."""
    return frame(TEXT, json.dumps(fields).encode())


async def flood(
    target: Target,
    make: Callable[[], Iterable[bytes]],
    *,
    connections: int = 1,
    rate: float = RATE,
    reads: bool = True,
) -> None:
    """Open WebSockets, and send frames on them."""
    blobs = lambda: itertools.chain([OPENING], make())  # noqa: E731 - one expression
    await target.flood(blobs, connections=connections, rate=rate, reads=reads)


def _repeat(blob: bytes, *first: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: itertools.chain(first, itertools.repeat(blob))


@attack()
async def fragments_without_end(target: Target) -> None:
    """Send a message in fragments of 1 kB that never ends."""
    await flood(
        target,
        _repeat(frame(CONTINUATION, b"x" * 1000, final=False) * 50, frame(TEXT, final=False)),
        rate=100_000_000,
    )


@attack()
async def empty_fragments(target: Target) -> None:
    """Send a message in fragments without a byte."""
    await flood(target, _repeat(frame(CONTINUATION, final=False) * 500, frame(TEXT, final=False)))


@attack()
async def one_byte_fragments(target: Target) -> None:
    """Send messages in fragments of one byte."""
    rest = frame(CONTINUATION, b" ", final=False) * 5000 + frame(CONTINUATION, b"{}")
    await flood(target, _repeat(frame(TEXT, b" ", final=False) + rest))


@attack()
async def pings(target: Target) -> None:
    """Send pings without a byte, each of which wants an answer."""
    await flood(target, _repeat(frame(PING) * 1000))


@attack()
async def unread_pongs(target: Target) -> None:
    """Send pings of 125 bytes, and read no answer."""
    await flood(target, _repeat(frame(PING, b"x" * 125) * 500), reads=False, rate=20_000_000)


@attack()
async def pongs(target: Target) -> None:
    """Send pongs that nobody asked for."""
    await flood(target, _repeat(frame(PONG, b"x") * 1000))


@attack()
async def subscribe_flood(target: Target) -> None:
    """Subscribe to 90 other topics and leave them, with every message."""
    topics = [[f"t/{part}/{number}" for number in range(90)] for part in range(50)]
    messages = b"".join(
        message(type="subscribe", topics=some) + message(type="unsubscribe", topics=some) for some in topics
    )
    await flood(target, _repeat(messages))


@attack()
async def pattern_subscribe_flood(target: Target) -> None:
    """Subscribe to 90 other patterns and leave them, with every message."""
    patterns = [[f"t/{part}/*/{number}/**" for number in range(90)] for part in range(50)]
    messages = b"".join(
        message(type="subscribe", patterns=some) + message(type="unsubscribe", patterns=some)
        for some in patterns
    )
    await flood(target, _repeat(messages))


@attack()
async def publish_flood(target: Target) -> None:
    """Publish small events over ten sockets."""
    blob = message(type="publish", topic="b", data=1) * 200
    await flood(target, _repeat(blob), connections=10)


@attack()
async def unread_publishing(target: Target) -> None:
    """Publish to the own topic, and read neither answers nor events."""
    blob = message(type="publish", topic="a", data="x" * 1000) * 20
    await flood(target, _repeat(blob), reads=False, rate=10_000_000)


@attack()
async def wrong_messages(target: Target) -> None:
    """Send messages that are no JSON, each answered by an error."""
    await flood(target, _repeat(frame(TEXT, b"{") * 500))


@attack()
async def large_messages(target: Target) -> None:
    """Send messages that are too large."""
    await flood(target, _repeat(frame(TEXT, b"x" * 1_000_000)), rate=50_000_000)


@attack()
async def announced_sizes(target: Target) -> None:
    """Announce messages of 2 GB, and send bytes of them slowly on 100 sockets."""
    announced = struct.pack(">BBQ", TEXT | _FIN, _MASKED | 127, 2**31) + bytes(4)
    await flood(target, _repeat(b"x" * 1000, announced), connections=100)


@attack()
async def tiny_messages(target: Target) -> None:
    """Send messages of streamd's own ping, each answered."""
    await flood(target, _repeat(message(type="ping") * 500))


@attack()
async def handshake_flood(target: Target) -> None:
    """Open sockets, and leave without a Close frame."""

    async def open_often(target: Target) -> None:
        while True:
            async with await target.connect() as stream:
                await stream.send_all(OPENING)
                await stream.receive_some(1000)

    await target.together(20, open_often)


@attack()
async def half_closed_sockets(target: Target) -> None:
    """Send Close frames on 300 sockets, and keep their connections."""

    async def close_and_stay(target: Target) -> None:
        async with await target.connect() as stream:
            await stream.send_all(OPENING + frame(CLOSE, struct.pack(">H", 1000)))
            await trio.sleep_forever()

    await target.together(300, partial(close_and_stay))
