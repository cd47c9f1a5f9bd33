"""Attacks on publishing by NDJSON and by arrays."""

import gzip
import itertools
import json
from functools import partial
from typing import Final

from tests.hostile.attack import attack
from tests.hostile.target import Target, head, post

NDJSON: Final = "application/x-ndjson"
_STREAMED: Final = head("POST", "/events", f"Content-Type: {NDJSON}", "Transfer-Encoding: chunked")
_GOOD: Final = b'{"topic":"lines","data":1}\n'


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _stream(target: Target, lines: bytes, *, reads: bool = True, rate: float = 10_000_000) -> None:
    """Send one body that never ends."""
    await target.flood(
        lambda: itertools.chain([_STREAMED], itertools.repeat(_chunk(lines))), reads=reads, rate=rate
    )


async def _post(target: Target, body: bytes, *lines: str, rate: float = 20_000_000) -> None:
    """Send whole bodies, one after another."""
    await target.flood(partial(itertools.repeat, post("/events", body, NDJSON, *lines)), rate=rate)


@attack()
async def wrong_lines(target: Target) -> None:
    """Send 0.5 MB of lines that are no JSON, in one body."""
    await _post(target, b"{\n" * 250_000)


@attack(seconds=5.0)
async def many_wrong_lines(target: Target) -> None:
    """Send 8 MB of lines that are no JSON, in one body."""
    await _post(target, b"x\n" * 4_000_000)


@attack()
async def wrong_fields(target: Target) -> None:
    """Send lines with a field of the wrong type."""
    await _post(target, b'{"topic":1}\n' * 40_000)


@attack()
async def blank_lines(target: Target) -> None:
    """Send 8 MB of empty lines, in one body."""
    await _post(target, b"\n" * 8_000_000)


@attack()
async def unread_lines(target: Target) -> None:
    """Publish good lines for ever, and read no answer."""
    await _stream(target, _GOOD * 2000, reads=False)


@attack()
async def good_lines(target: Target) -> None:
    """Publish good lines, as many as are taken."""
    await _stream(target, _GOOD * 2000)


@attack()
async def unread_wrong_lines(target: Target) -> None:
    """Send wrong lines for ever, and read no answer."""
    await _stream(target, b"x\n" * 5000, reads=False, rate=2_000_000)


@attack()
async def lines_of_one_byte_chunks(target: Target) -> None:
    """Publish lines in chunks of one byte."""
    chunks = b"".join(_chunk(bytes([byte])) for byte in _GOOD)
    await target.flood(lambda: itertools.chain([_STREAMED], itertools.repeat(chunks * 100)))


@attack()
async def long_lines(target: Target) -> None:
    """Send lines that are too long."""
    await _stream(target, b"x" * 4_000_000 + b"\n", rate=40_000_000)


@attack()
async def deep_lines(target: Target) -> None:
    """Send lines of nested arrays."""
    await _post(target, (b'{"topic":"a","data":' + b"[" * 500 + b"]" * 500 + b"}\n") * 500)


@attack()
async def gzip_bomb(target: Target) -> None:
    """Send 100 MB of blank lines as 100 kB of gzip."""
    packed = gzip.compress(b"\n" * 100_000_000, 9)
    await _post(target, packed, "Content-Encoding: gzip", rate=1_000_000)


@attack()
async def gzip_wrong_lines(target: Target) -> None:
    """Send 2 MB of wrong lines as a few kB of gzip."""
    await _post(target, gzip.compress(b"x\n" * 1_000_000, 9), "Content-Encoding: gzip", rate=200_000)


@attack()
async def key_conflicts(target: Target) -> None:
    """Publish lines with one idempotency key and another content each."""
    lines = b"".join(
        json.dumps({"topic": "k", "data": number, "idempotency_key": "k"}).encode() + b"\n"
        for number in range(5000)
    )
    await _stream(target, lines, rate=2_000_000)


@attack()
async def full_arrays(target: Target) -> None:
    """Publish arrays of 1,000 events."""
    body = b"[" + b",".join([_GOOD.strip()] * 1000) + b"]"
    await target.flood(partial(itertools.repeat, post("/events", body)), connections=4, rate=4_000_000)


@attack(options=("--log", "sqlite:{folder}/events.db", "--store", "sqlite:{folder}/tasks.db"))
async def lines_into_sqlite(target: Target) -> None:
    """Publish good lines into a log in SQLite."""
    await _stream(target, _GOOD * 2000)
