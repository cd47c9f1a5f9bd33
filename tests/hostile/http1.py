"""Attacks on HTTP/1.1: heads, bodies, connections, readers."""

import itertools
import json
import socket
import struct
from collections.abc import Iterator
from functools import partial
from typing import Final

import trio

from tests.hostile.attack import SMALL_LOG_BYTES, attack
from tests.hostile.target import HOST, Target, ask, head, post, quietly

CHUNKED: Final = ("Content-Type: application/json", "Transfer-Encoding: chunked")
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: the close sends a reset
_EVENT: Final = b'{"topic":"hostile","data":1}'


def repeated(blob: bytes) -> Iterator[bytes]:
    """Yield the same bytes for ever."""
    return itertools.repeat(blob)


async def _hold(target: Target, opening: bytes = b"") -> None:
    """Open a connection, send a few bytes, and do nothing more."""
    stream = await target.connect()
    try:
        await stream.send_all(opening)
        await trio.sleep_forever()
    finally:
        await trio.aclose_forcefully(stream)


@attack()
async def slow_heads(target: Target) -> None:
    """Send 300 request heads, a byte every 50 ms each."""

    async def trickle(target: Target) -> None:
        async with await target.connect() as stream:
            for byte in head("GET", "/events?topic=a", "X-Slow: " + "a" * 1000):
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.05)

    await target.together(300, trickle)


@attack(max_files=1024, connections__max_connections=960)
async def idle_connections(target: Target) -> None:
    """Open 1,100 connections to a server with 1,024 descriptors, and send nothing."""
    await target.together(1100, _hold)


@attack(max_files=1024, connections__max_connections=960)
async def idle_keep_alive(target: Target) -> None:
    """Keep 1,100 connections with one answered request each, on 1,024 descriptors."""
    await target.together(1100, _hold, head("GET", "/health/live"))


@attack()
async def many_headers(target: Target) -> None:
    """Send heads of 8,000 short header fields."""
    lines = [f"a{number % 10}:" for number in range(8000)]
    await target.flood(partial(repeated, head("GET", "/health/live", *lines)))


@attack()
async def unfinished_heads(target: Target) -> None:
    """Send heads of one field that never ends."""
    await target.flood(lambda: itertools.chain([b"GET / HTTP/1.1\r\nHost: a\r\nX: "], repeated(b"x" * 4096)))


@attack()
async def long_targets(target: Target) -> None:
    """Send targets of 60 kB with thousands of parameters."""
    query = "&".join(f"t{number}=%41%42" for number in range(5000))[:60_000]
    await target.flood(partial(repeated, head("GET", "/events/poll?wait=0&topic=a&" + query)))


@attack()
async def malformed_heads(target: Target) -> None:
    """Send requests that are no HTTP, each on a connection of its own."""
    await target.flood(lambda: [b"\x16\x03\x01 \x00\xff / FOO/9.9\r\n\r\n"], connections=20)


@attack()
async def empty_lines(target: Target) -> None:
    """Send empty lines where a request should begin."""
    await target.flood(partial(repeated, b"\r\n" * 2000))


@attack()
async def one_byte_chunks(target: Target) -> None:
    """Send bodies in chunks of one byte."""
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"topic":"a","data":"' + b"x" * 20_000 + b'"}')
    await target.flood(partial(repeated, head("POST", "/events", *CHUNKED) + body + b"0\r\n\r\n"))


@attack()
async def chunk_extensions(target: Target) -> None:
    """Send chunks of one byte with extensions of 60 kB."""
    chunk = b"1;x=" + b"y" * 60_000 + b"\r\n \r\n"
    await target.flood(lambda: itertools.chain([head("POST", "/events", *CHUNKED)], repeated(chunk)))


@attack()
async def chunk_trailers(target: Target) -> None:
    """Send thousands of trailer fields after each body."""
    trailers = b"".join(b"t%d: v\r\n" % number for number in range(4000))
    request = head("POST", "/events", *CHUNKED) + b"%x\r\n%b\r\n0\r\n" % (len(_EVENT), _EVENT)
    await target.flood(partial(repeated, request + trailers + b"\r\n"))


@attack()
async def pipelined_gets(target: Target) -> None:
    """Pipeline thousands of requests a second on one connection."""
    await target.flood(partial(repeated, head("GET", "/health/live") * 500), rate=500_000)


@attack()
async def pipelined_posts(target: Target) -> None:
    """Pipeline events, as many as are taken."""
    await target.flood(partial(repeated, post("/events", _EVENT) * 200), rate=1_000_000)


@attack()
async def unread_answers(target: Target) -> None:
    """Pipeline requests for /openapi.json, 200 kB each, and read no answer."""
    await target.flood(partial(repeated, head("GET", "/openapi.json") * 50), reads=False, connections=4)


@attack()
async def quart_requests(target: Target) -> None:
    """Pipeline requests of routes that go through the web framework."""
    await target.flood(partial(repeated, head("GET", "/tasks?limit=100") * 50), rate=200_000, connections=4)


@attack()
async def not_found(target: Target) -> None:
    """Ask for paths that do not exist, another each time."""
    paths = (head("GET", f"/{number}/nothing/here") for number in itertools.count())
    await target.flood(lambda: paths, rate=200_000)


@attack()
async def endless_refused_bodies(target: Target) -> None:
    """Send bodies without end to a route that refuses them at their head."""
    opening = head("POST", "/events", "Content-Type: text/html", "Content-Length: 99999999999")
    await target.flood(lambda: itertools.chain([opening], repeated(b"x" * 65_536)), rate=20_000_000)


@attack()
async def slow_bodies(target: Target) -> None:
    """Send 300 bodies, a byte every 50 ms each."""

    async def trickle(target: Target) -> None:
        async with await target.connect() as stream:
            await stream.send_all(
                head("POST", "/events", "Content-Type: application/json", "Content-Length: 5000")
            )
            while True:
                await stream.send_all(b" ")
                await trio.sleep(0.05)

    await target.together(300, trickle)


@attack()
async def deep_json(target: Target) -> None:
    """Publish JSON of 100,000 nested arrays."""
    body = b'{"topic":"a","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    await target.flood(partial(repeated, post("/events", body)))


@attack()
async def many_members(target: Target) -> None:
    """Publish JSON objects of 100,000 members."""
    data = json.dumps({str(number): number for number in range(100_000)}).encode()
    await target.flood(
        partial(repeated, post("/events", b'{"topic":"a","data":' + data + b"}")), rate=8_000_000
    )


@attack(log__max_bytes=SMALL_LOG_BYTES)
async def nested_json(target: Target) -> None:
    """Publish and store a megabyte of nothing but brackets, in all places that take any JSON."""
    data = b"[" + b",".join([b"[" * 60 + b"]" * 60] * 8000) + b"]"
    event = b'{"topic":"a","data":' + data + b"}"
    bodies = (
        post("/events", event),
        post("/events", b"[" + event + b"]"),
        post("/events", event + b"\n", "application/x-ndjson"),
        post("/tasks", b'{"kind":"hostile","input":' + data + b"}"),
    )
    await target.flood(lambda: itertools.cycle(bodies), rate=8_000_000)


@attack(log__max_bytes=SMALL_LOG_BYTES)
async def small_nested_json(target: Target) -> None:
    """Publish 30 kB of nothing but brackets on 20 connections."""
    data = b"[" + b",".join([b"[" * 60 + b"]" * 60] * 240) + b"]"
    body = post("/events", b'{"topic":"a","data":' + data + b"}")
    await target.flood(partial(repeated, body), connections=20, rate=8_000_000)


@attack()
async def resets(target: Target) -> None:
    """Open streams and reset their connections, up to 1,750 a second."""

    async def reset_often(target: Target) -> None:
        while True:
            with trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                await sock.connect((HOST, target.port))
                await sock.send(head("GET", "/events?topic=a"))
            await trio.sleep(50 / 1750)

    await target.together(50, reset_often)


@attack()
async def connects(target: Target) -> None:
    """Connect and close at once, up to 2,000 times a second."""

    async def connect_often(target: Target) -> None:
        while True:
            await trio.aclose_forcefully(await target.connect())
            await trio.sleep(0.02)

    await target.together(40, connect_often)


@attack()
async def reconnect_storm(target: Target) -> None:
    """Let 500 subscribers come at once, leave at once, and come again."""
    while True:
        with trio.move_on_after(0.7):
            await target.together(500, _hold, head("GET", "/events?topic=a"))


@attack()
async def readers_that_never_read(target: Target) -> None:
    """Publish 20 MB/s to 100 subscribers that never read."""
    body = post("/events", b'{"topic":"stalled","data":"' + b"x" * 100_000 + b'"}')
    async with trio.open_nursery() as nursery:
        nursery.start_soon(target.together, 100, _hold, head("GET", "/events?topic=stalled"))
        await trio.sleep(0.3)
        nursery.start_soon(partial(target.flood, partial(repeated, body), rate=20_000_000))


@attack()
async def refused_upgrades(target: Target) -> None:
    """Ask for WebSockets with a wrong version, and keep each connection."""
    lines = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 99", "Sec-WebSocket-Key: a")
    opening = head("GET", "/events", *lines)
    await target.together(300, _hold, opening)


@attack()
async def expectations(target: Target) -> None:
    """Expect 100-continue for bodies that never come."""
    lines = ("Expect: 100-continue", "Content-Type: application/json", "Content-Length: 1000")
    await target.together(300, _hold, head("POST", "/events", *lines))


@attack()
async def polls(target: Target) -> None:
    """Poll from the first event, 50 at a time, for as much as an answer holds."""
    event = b'{"topic":"polled","data":"' + b"x" * 1000 + b'"}'
    await quietly(partial(ask, target, post("/events", b"[" + b",".join([event] * 1000) + b"]")))
    poll = head("GET", "/events/poll?topic=polled&wait=0&after=0000000000000-000000")
    await target.flood(partial(repeated, poll), connections=50, rate=200_000)


@attack(tls=(True,))
async def handshakes(target: Target) -> None:
    """Make TLS handshakes, and close."""

    async def shake(target: Target) -> None:
        while True:
            await trio.aclose_forcefully(await target.connect())

    await target.together(10, shake)


@attack(tls=(True,))
async def tiny_records(target: Target) -> None:
    """Send a request body in TLS records of one byte."""

    async def trickle(target: Target) -> None:
        async with await target.connect() as stream:
            await stream.send_all(
                head("POST", "/events", "Content-Type: application/json", "Content-Length: 900000")
            )
            while True:
                for _ in range(200):
                    await stream.send_all(b" ")
                await trio.sleep(0.01)

    await target.together(4, trickle)
