"""A file followed line by line, as ``tail -F`` follows it."""

import codecs
import os
import stat
from pathlib import Path
from typing import Self

import trio

MAX_LINE_BYTES = 65_536
"""A longer line is cut: a file without newlines must not fill the memory."""

READ_BYTES = 262_144
"""Read in one turn: a long backlog goes out in pieces instead of being held whole."""

POLL_SECONDS = 0.25
"""Time between two looks at a file that had nothing new: below what a reader notices, and cheap."""


class LineSplitter:
    """Cut bytes into lines of text; the last, unfinished one is held back until its newline comes.

    Lines end with LF or CR LF. Bytes that are no UTF-8 become U+FFFD.

    Args:
        max_line_bytes: of a longer line the rest is dropped and its length stated at the end.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._line = bytearray()  # the unfinished line, at most max_line_bytes of it
        self._cut_bytes = 0  # what it had beyond that

    def feed(self, chunk: bytes) -> list[str]:
        """Take the next bytes and return the lines they complete."""
        *complete, rest = chunk.split(b"\n")
        lines = []
        for piece in complete:
            self._extend(piece)
            lines.append(self._take())
        self._extend(rest)
        return lines

    def finish(self) -> list[str]:
        """Return the unfinished line, if there is one: nothing follows any more."""
        return [self._take()] if self._line else []

    def _extend(self, piece: bytes) -> None:
        room = self._max_line_bytes - len(self._line)
        self._line += piece[:room]
        self._cut_bytes += max(0, len(piece) - room)

    def _take(self) -> str:
        line, cut_bytes = bytes(self._line), self._cut_bytes
        self._line.clear()
        self._cut_bytes = 0
        if not cut_bytes:
            return line.removesuffix(b"\r").decode("utf-8", "replace")
        # The incremental decoder leaves out a character that the cut went through.
        whole_characters = codecs.getincrementaldecoder("utf-8")("replace").decode(line)
        return f"{whole_characters} … [{cut_bytes} more bytes cut]"


class FileFollower:
    """The new lines of a file, from the moment of the first look on.

    A file that is there at the first look is read from its end (from the start of its last line, if
    that is still being written); one that appears later is read from its beginning. When the name comes to
    mean another file (rotation), the old one is read to its end first. When the file becomes shorter, it is
    read from its beginning again. A file that is cut and grows past the old length between two
    looks cannot be told from one that only grew.

    Iterating gives lists of lines. Cancelling the wait loses nothing: the next one goes on from there.

    Args:
        path: the file; it need not exist yet.
        poll_seconds: time between two looks when there is nothing new.
        max_line_bytes: see :class:`LineSplitter`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        poll_seconds: float = POLL_SECONDS,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self.path = Path(path)
        self._poll_seconds = poll_seconds
        self._max_line_bytes = max_line_bytes
        self._splitter = LineSplitter(max_line_bytes)
        self._file: int | None = None
        self._position = 0
        self._first_look = True
        self._replaced = False  # the name means another file; this one gets one more look

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[str]:
        """Wait for new lines and return them, at least one.

        Raises:
            OSError: the file is there but cannot be read, or is no regular file. Going on afterwards is fine.
        """
        while True:
            position = self._position
            # Not abandoned when cancelled: the thread's lines would be gone. It only reads a file.
            lines = await trio.to_thread.run_sync(self.poll)
            if lines:
                return lines
            if self._position == position:
                await trio.sleep(self._poll_seconds)

    def poll(self) -> list[str]:
        """Look once, without waiting, and return the lines that are new. Blocks while it reads.

        Raises:
            OSError: as for iterating.
        """
        if self._file is None:
            self._open()
        self._first_look = False
        if self._file is None:
            return []
        chunk = os.pread(self._file, READ_BYTES, self._position)
        self._position += len(chunk)
        if chunk:
            return self._splitter.feed(chunk)
        return self._at_end(self._file)

    def close(self) -> None:
        """Close the file. Following again starts as if it had just appeared."""
        if self._file is not None:
            os.close(self._file)
        self._file = None
        self._position = 0
        self._replaced = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        try:
            # Without O_NONBLOCK opening a FIFO would wait for its writer, and hold the thread.
            file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            os.close(file)
            raise OSError(f"{self.path} is not a regular file")
        self._file = file
        if self._first_look:
            self._position = self._start_of_last_line(file, status.st_size)

    def _start_of_last_line(self, file: int, size: int) -> int:
        """Behind the last newline: writers that buffer leave half a line, and finish it later."""
        start = max(0, size - self._max_line_bytes)
        tail = os.pread(file, size - start, start)
        newline = tail.rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        return 0 if start == 0 else size

    def _at_end(self, file: int) -> list[str]:
        """Everything is read: was the file cut, or does its name mean another one by now?"""
        if os.fstat(file).st_size < self._position:
            self._position = 0
            return self._splitter.finish()
        if self._replaced:
            self.close()
            return self._splitter.finish()
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return []  # between two files, or gone for good; whoever writes may still do so
        # Whoever rotates tells the writer afterwards, so the old file may still grow: one more look at it.
        self._replaced = not os.path.samestat(named, os.fstat(file))
        return []


def follow_lines(
    path: str | os.PathLike[str],
    *,
    poll_seconds: float = POLL_SECONDS,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> FileFollower:
    """Follow a file with ``async for lines in …``; see :class:`FileFollower` for all of it."""
    return FileFollower(path, poll_seconds=poll_seconds, max_line_bytes=max_line_bytes)
