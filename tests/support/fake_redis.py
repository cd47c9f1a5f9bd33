"""A server that speaks RESP3, with scripted replies."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from streamd.redis.address import RedisAddress
from tests.support.redis_servers import HOST

Replies = Callable[[list[bytes]], bytes | None]
"""Returns the reply to a command: none at all for None, and the end of the connection for ``CUT``."""

CUT: Final = b""
OK: Final = b"+OK\r\n"
_HELLO: Final = b"%3\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n"


def bulk(text: str) -> bytes:
    """Build a bulk string."""
    return f"${len(text.encode())}\r\n{text}\r\n".encode()


def mapping(**items: str) -> bytes:
    """Build a map of bulk strings; underscores in names stand for hyphens."""
    parts = [bulk(name.replace("_", "-")) + bulk(value) for name, value in items.items()]
    return f"%{len(items)}\r\n".encode() + b"".join(parts)


class FakeRedis:
    """A server on a free port.

    Attributes:
        connections: that were accepted so far.
        replies: to all commands but those that begin a connection.
        greets: reply to those.
    """

    def __init__(self, replies: Replies) -> None:
        self.replies = replies
        self.connections = 0
        self.greets = True
        self.port = 0

    @property
    def address(self) -> RedisAddress:
        return RedisAddress(hosts=[(HOST, self.port)])

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one client."""
        self.connections += 1
        buffer = b""
        async with stream:
            try:
                while data := await stream.receive_some():
                    buffer += data
                    while (command := _take(buffer)) is not None:
                        arguments, buffer = command
                        reply = self._reply_to(arguments)
                        if reply == CUT:
                            return
                        if reply is not None:
                            await stream.send_all(reply)
            except trio.BrokenResourceError:
                return

    def _reply_to(self, arguments: list[bytes]) -> bytes | None:
        name = arguments[0].upper().split(b" ")[0]
        if name == b"HELLO":
            return _HELLO if self.greets else None
        return OK if name == b"CLIENT" else self.replies(arguments)


def _take(buffer: bytes) -> tuple[list[bytes], bytes] | None:
    """Return the first command of a buffer, an array of bulk strings, and the rest; None for a part."""
    head, separator, rest = buffer.partition(b"\r\n")
    arguments: list[bytes] = []
    if not separator:
        return None
    for _ in range(int(head[1:])):
        size, separator, rest = rest.partition(b"\r\n")
        if not separator or len(rest) < int(size[1:]) + 2:
            return None
        arguments.append(rest[: int(size[1:])])
        rest = rest[int(size[1:]) + 2 :]
    return arguments, rest


@asynccontextmanager
async def fake_redis(replies: Replies = lambda arguments: OK) -> AsyncIterator[FakeRedis]:
    """Run a server while the block lasts."""
    server = FakeRedis(replies)
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host=HOST)
        server.port = int(listener.socket.getsockname()[1])
        nursery.start_soon(trio.serve_listeners, server.serve, [listener])
        yield server
        nursery.cancel_scope.cancel()
