"""HTTP/1.1: reading ahead while a request is being answered."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio


class Parser(Protocol):
    """The consumer of the bytes that were read ahead."""

    def feed(self, data: bytes) -> None:
        """Take bytes, without processing them yet."""


class PipelinePause:
    """The event that Hypercorn's reader waits for before it parses the next pipelined request.

    While it waits, the client's bytes are buffered (RFC 9112 section 9.3.2). Without reading them, the
    server would not notice that the client has left.

    Args:
        read: waits for the client's next bytes; empty at the end.
        on_disconnect: called when the client has left.
        on_pipeline_full: called when the maximum is reached.
        max_bytes: maximum number of bytes to buffer; reading then stops until the answer is complete.
    """

    __slots__ = ("_buffer", "_max_bytes", "_on_disconnect", "_on_pipeline_full", "_over", "_parser", "_read")

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        on_disconnect: Callable[[], None],
        on_pipeline_full: Callable[[], None],
        max_bytes: int,
    ) -> None:
        self._read = read
        self._on_disconnect = on_disconnect
        self._on_pipeline_full = on_pipeline_full
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._over: trio.Event | None = None
        self._parser: Parser

    def feed_to(self, parser: Parser) -> None:
        """Set the parser that takes the buffered bytes at the end of each pause."""
        self._parser = parser

    async def clear(self) -> None:
        """Begin a pause."""
        self._over = trio.Event()

    async def set(self) -> None:
        """End the pause."""
        if self._over is not None:
            self._over.set()

    def is_set(self) -> bool:
        """Return False during a pause."""
        return self._over is None or self._over.is_set()

    async def wait(self) -> None:
        """Read ahead until the end of the pause, then feed the buffered bytes to the parser."""
        if self._over is not None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_ahead)
                await self._over.wait()
                nursery.cancel_scope.cancel()
        self.feed_buffered()

    def feed_buffered(self) -> None:
        """Feed the buffered bytes to the parser."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._parser.feed(data)

    async def _read_ahead(self) -> None:
        while data := await self._read():
            self._buffer += data
            if len(self._buffer) >= self._max_bytes:
                self._on_pipeline_full()
                return
        self._on_disconnect()
