"""The target of an attack, and the means of attackers: connections, floods at a rate, requests."""

import json
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

import attrs
import trio

HOST: Final = "127.0.0.1"
RATE: Final = 2_000_000  # bytes a second of a flood: what one client with a usual line can send
_TICK_SECONDS: Final = 0.02
_AGAIN_SECONDS: Final = 0.02  # pause before a connection that the server has closed is opened again
_READ_BYTES: Final = 65_536
_ERRORS: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)
Blobs = Callable[[], Iterable[bytes]]


@attrs.frozen
class Target:
    """A server under attack. It is on the loopback, always."""

    port: int
    tls: bool = False

    async def connect(self, *protocols: str) -> trio.abc.Stream:
        """Open a connection, with protocols offered by ALPN if the server speaks TLS."""
        stream = await trio.open_tcp_stream(HOST, self.port)
        if not self.tls:
            return stream
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(list(protocols))
        secured = trio.SSLStream(stream, context, server_hostname=HOST, https_compatible=True)
        await secured.do_handshake()
        return secured

    async def together(self, count: int, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Run a function in several trio tasks at once; errors of connections end one of them, not all."""
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(quietly, partial(function, self, *args))

    async def flood(
        self,
        blobs: Blobs,
        *protocols: str,
        connections: int = 1,
        rate: float = RATE,
        reads: bool = True,
    ) -> None:
        """Send bytes at a rate over some connections, until cancelled. Closed ones are opened again.

        Args:
            blobs: makes the bytes of one connection, from its first to its last.
            protocols: offered by ALPN.
            connections: number of connections at once.
            rate: of all connections together (bytes per second).
            reads: answers are read, and discarded.
        """
        await self.together(connections, _flood_one, blobs, protocols, rate / connections, reads)


async def quietly(function: Callable[[], Awaitable[object]]) -> None:
    """Run a function to its end, or to the loss of its connection."""
    with suppress(*_ERRORS):
        await function()


async def _flood_one(
    target: Target, blobs: Blobs, protocols: tuple[str, ...], rate: float, reads: bool
) -> None:
    while True:
        with suppress(*_ERRORS):
            async with await target.connect(*protocols) as stream, trio.open_nursery() as nursery:
                if reads:
                    nursery.start_soon(quietly, partial(discard, stream))
                await quietly(partial(send_at_rate, stream, blobs(), rate))
                if reads:
                    await trio.sleep(_AGAIN_SECONDS)
                nursery.cancel_scope.cancel()
        await trio.sleep(_AGAIN_SECONDS)


async def send_at_rate(stream: trio.abc.Stream, blobs: Iterable[bytes], rate: float) -> None:
    """Send bytes at a rate (bytes per second)."""
    began, sent = trio.current_time(), 0
    for part in slices(blobs, max(1, int(rate * _TICK_SECONDS))):
        await stream.send_all(part)
        sent += len(part)
        await trio.sleep_until(began + sent / rate)


def slices(blobs: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in parts of a size."""
    rest = bytearray()
    for blob in blobs:
        rest += blob
        while len(rest) >= size:
            yield bytes(rest[:size])
            del rest[:size]
    yield bytes(rest)


async def discard(stream: trio.abc.Stream) -> None:
    """Read to the end, and discard what is read."""
    while await stream.receive_some(_READ_BYTES):
        pass


def head(method: str, path: str, *lines: str) -> bytes:
    """Build the head of an HTTP/1.1 request."""
    text = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""))
    return text.encode()


def post(path: str, body: bytes, media_type: str = "application/json", *lines: str) -> bytes:
    """Build an HTTP/1.1 request with a body."""
    return head("POST", path, f"Content-Type: {media_type}", f"Content-Length: {len(body)}", *lines) + body


def post_json(path: str, value: Any) -> bytes:
    """Build a request with a JSON body."""
    return post(path, json.dumps(value).encode())


async def ask(target: Target, request: bytes) -> bytes:
    """Send a request on a connection of its own, and return the first bytes of the answer."""
    stream = await target.connect()
    try:
        await stream.send_all(request)
        return bytes(await stream.receive_some(_READ_BYTES))
    finally:
        await trio.aclose_forcefully(stream)


async def ask_each(target: Target, requests: Iterator[bytes]) -> None:
    """Send requests one after another on one connection, each when the answer to the former begins."""
    stream = await target.connect()
    try:
        for request in requests:
            await stream.send_all(request)
            if not await stream.receive_some(_READ_BYTES):
                return
    finally:
        await trio.aclose_forcefully(stream)
