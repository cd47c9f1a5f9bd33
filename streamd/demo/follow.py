"""Follow a file line by line, as ``tail -F`` does."""

import codecs
import os
import stat
from pathlib import Path
from typing import Self

import trio

MAX_LINE_BYTES = 65_536
"""The maximum length of a line; the rest is cut, so that a file without newlines cannot fill the memory."""

READ_BYTES = 262_144
"""The maximum size of one read, so that a long backlog is published in pieces and not held whole."""

POLL_SECONDS = 0.25
"""The interval between two looks at a file without new lines: too short to notice, and cheap."""


class LineSplitter:
    """Splits bytes into lines of text, and holds the last line back until its newline arrives.

    Lines end with LF or CR LF. Invalid UTF-8 becomes U+FFFD.

    Args:
        max_line_bytes: the maximum length of a line. The rest of a longer one is replaced by its length.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._line = bytearray()  # the unfinished line, at most max_line_bytes of it
        self._cut_bytes = 0  # the bytes of that line that were dropped

    def feed(self, chunk: bytes) -> list[str]:
        """Take the next bytes, and return the lines that they complete."""
        *complete, rest = chunk.split(b"\n")
        lines = []
        for piece in complete:
            self._extend(piece)
            lines.append(self._take())
        self._extend(rest)
        return lines

    def finish(self) -> list[str]:
        """Return the unfinished line, if any, at the end of the file."""
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
        # The incremental decoder drops a character that was cut in the middle.
        whole_characters = codecs.getincrementaldecoder("utf-8")("replace").decode(line)
        return f"{whole_characters} … [{cut_bytes} more bytes cut]"


class FileFollower:
    """An iterator over the new lines of a file, in lists, from the first look on.

    A file that exists at the first look is read from its end, or from the start of its last line if that has
    no newline yet. A file that appears later is read from its beginning. After a rotation, when the path
    names another file, the old one is read to its end first. A file that becomes shorter is read from its
    beginning again. A file that is truncated and outgrows its old length between two looks cannot be told
    from one that only grew.

    Cancelling a wait loses nothing; the next one goes on from there.

    Args:
        path: the file; it need not exist yet.
        poll_seconds: the interval between two looks without new lines (s).
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
        self._replaced = False  # the path names another file; this one gets one more look

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[str]:
        """Wait for new lines, and return at least one.

        Raises:
            OSError: the file exists and cannot be read, or is no regular file. The iteration may go on.
        """
        while True:
            position = self._position
            # Not abandoned on cancellation: the lines of the thread would be lost.
            lines = await trio.to_thread.run_sync(self.poll)
            if lines:
                return lines
            if self._position == position:
                await trio.sleep(self._poll_seconds)

    def poll(self) -> list[str]:
        """Look once and return the new lines. Blocks while it reads.

        Raises:
            OSError: see :meth:`__anext__`.
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
        """Close the file. A later look treats it as one that has just appeared."""
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
            # Without O_NONBLOCK, opening a FIFO would block the thread until there is a writer.
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
        """Return the position behind the last newline: a writer that buffers may have written half a line."""
        start = max(0, size - self._max_line_bytes)
        tail = os.pread(file, size - start, start)
        newline = tail.rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        return 0 if start == 0 else size

    def _at_end(self, file: int) -> list[str]:
        """Handle the end of the file: it may have been truncated, or replaced under its path."""
        if os.fstat(file).st_size < self._position:
            self._position = 0
            return self._splitter.finish()
        if self._replaced:
            self.close()
            return self._splitter.finish()
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return []  # between two files, or deleted; its writer may still have it open
        # The writer learns of a rotation after it, so the old file may still grow: look once more.
        self._replaced = not os.path.samestat(named, os.fstat(file))
        return []


def follow_lines(
    path: str | os.PathLike[str],
    *,
    poll_seconds: float = POLL_SECONDS,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> FileFollower:
    """Follow a file with ``async for lines in …``; see :class:`FileFollower`."""
    return FileFollower(path, poll_seconds=poll_seconds, max_line_bytes=max_line_bytes)
