"""Read lines from a pipe, a file or a terminal as they arrive, without blocking the event loop."""

import os
from codecs import BOM_UTF8
from collections import deque
from typing import Final

import attrs
import trio

CHUNK_BYTES: Final = 65_536
CHUNKS_WAITING: Final = 4  # read ahead of the consumer; a full channel is back-pressure for the writer
LINE_BYTES_MAX: Final = 4 * 1024 * 1024  # a longer line is skipped; servers accept far less


@attrs.frozen
class InputLine:
    """One line of input."""

    number: int  # from 1
    data: bytes | None  # without its line end; None for a skipped line


class LineReader:
    """Reads a file descriptor in a thread, one chunk at a time, and splits it into lines.

    A byte order mark before the first line, which some editors and shells write, is dropped.

    Args:
        fd: the file descriptor; it stays open.

    Attributes:
        lines_read: the number of lines read so far.
    """

    def __init__(self, fd: int) -> None:
        self.lines_read = 0
        self._fd = fd
        self._send, self._receive = trio.open_memory_channel[list[InputLine]](CHUNKS_WAITING)
        self._ready: deque[InputLine] = deque()
        self._rest = bytearray()
        self._too_long = False  # whether the line in `_rest` is skipped

    async def run(self) -> None:
        """Read to the end. Cancelling abandons the thread, and the input that it is waiting for is lost."""
        async with self._send:
            while chunk := await trio.to_thread.run_sync(
                os.read, self._fd, CHUNK_BYTES, abandon_on_cancel=True
            ):
                if lines := self._split(chunk):
                    await self._send.send(lines)
            if self._too_long or (self._rest and not self._is_mark_alone()):
                await self._send.send([self._line(bytes(self._rest))])

    async def take(self, max_lines: int, max_bytes: int) -> list[InputLine]:
        """Wait for a line, and return it with all others that are ready; none at the end.

        Args:
            max_lines: the maximum number of lines.
            max_bytes: the maximum size of the lines together; the first one may be larger.
        """
        if not self._ready:
            try:
                self._ready.extend(await self._receive.receive())
            except trio.EndOfChannel:
                return []
        lines: list[InputLine] = []
        size = 0
        while len(lines) < max_lines and self._more():
            size += len(self._ready[0].data or b"")
            if lines and size > max_bytes:
                break
            lines.append(self._ready.popleft())
        return lines

    def _more(self) -> bool:
        if not self._ready:
            try:
                self._ready.extend(self._receive.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                return False
        return True

    def _split(self, chunk: bytes) -> list[InputLine]:
        *whole, last = chunk.split(b"\n")
        lines = []
        for part in whole:
            self._extend(part)
            lines.append(self._line(bytes(self._rest).removesuffix(b"\r")))
        self._extend(last)
        return lines

    def _extend(self, part: bytes) -> None:
        self._rest += part
        if self._too_long or len(self._rest) > LINE_BYTES_MAX:
            self._too_long = True
            self._rest.clear()

    def _is_mark_alone(self) -> bool:
        return not self.lines_read and self._rest == BOM_UTF8

    def _line(self, data: bytes) -> InputLine:
        if not self.lines_read:
            data = data.removeprefix(BOM_UTF8)
        self.lines_read += 1
        line = InputLine(self.lines_read, None if self._too_long else data)
        self._rest.clear()
        self._too_long = False
        return line
