"""The body of a request: its framing by Content-Length, or in chunks (RFC 9112 sections 6 and 7.1).

Codecs without I/O. The chunks are not decoded by llhttp, whose binding does not tell where a message ends
within the bytes it was fed: those behind it belong to the next request.
"""

import re
from typing import Final, Protocol

from ..refusals import malformed

_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_LINE_BYTES_MAX: Final = 4096  # of a chunk's size with its extensions, which nobody uses
_EXCESS_BYTES_MAX: Final = 16_384  # of such lines beyond 16 bytes each and twice the content, as Go has it:
# small chunks and signed ones pass, a body of little but extensions does not
_LINE_BYTES_FREE: Final = 16
_CHUNKS_EACH_CALL: Final = 512  # chunks of one byte cost a microsecond each: others get their turn in between


class BodyDecoder(Protocol):
    """The framing of one body.

    Attributes:
        is_complete: the whole body was decoded.
    """

    is_complete: bool

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the content in these bytes, and the bytes that were not used.

        Unused bytes must be given again, in front of the next ones. Those of a complete body belong to the
        next request.

        Raises:
            RequestRefused: the framing is malformed.
        """

    def fits(self, max_bytes: int) -> bool:
        """Return True if the rest of the body is known to have at most ``max_bytes``."""


class CountedBody:
    """A body of known size.

    Args:
        size: bytes.
    """

    __slots__ = ("_left", "is_complete")

    def __init__(self, size: int) -> None:
        self._left = size
        self.is_complete = not size

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """See :class:`BodyDecoder`."""
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            return data, b""
        self._left = 0
        self.is_complete = True
        return data[:left], data[left:]

    def fits(self, max_bytes: int) -> bool:
        """See :class:`BodyDecoder`."""
        return self._left <= max_bytes


class ChunkedBody:
    """A body in chunks. Extensions are ignored; trailers are checked, and dropped.

    Args:
        max_trailer_bytes: maximum size of all trailers.
    """

    __slots__ = ("_excess", "_in_trailers", "_left", "_trailer_bytes_left", "is_complete")

    def __init__(self, max_trailer_bytes: int) -> None:
        self._left = 0  # bytes of the chunk, with the CRLF behind it
        self._in_trailers = False
        self._trailer_bytes_left = max_trailer_bytes
        self._excess = 0  # bytes of the lines before chunks that no content justifies
        self.is_complete = False

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """See :class:`BodyDecoder`."""
        parts: list[bytes] = []
        at = 0
        for _ in range(_CHUNKS_EACH_CALL):
            if self._left:
                at = self._take_chunk(data, at, parts)
                if self._left:
                    break
            end = data.find(b"\r\n", at)
            if end < 0:
                self._check_line(data[at:])
                break
            line = data[at:end]
            at = end + 2
            if self._in_trailers:
                self._take_trailer(line)
                if self.is_complete:
                    break
            else:
                self._take_size(line)
        return b"".join(parts), data[at:]

    def fits(self, max_bytes: int) -> bool:
        """See :class:`BodyDecoder`."""
        return self.is_complete

    def _take_chunk(self, data: bytes, at: int, parts: list[bytes]) -> int:
        """Take bytes of the current chunk, and return the position behind them."""
        content = data[at : at + max(0, self._left - 2)]
        if content:
            parts.append(content)
            at += len(content)
            self._left -= len(content)
        if self._left <= 2:
            end = data[at : at + 2]
            if not b"\r\n".startswith(end):
                raise malformed("a chunk must end with CRLF")
            if len(end) == 2:
                self._left = 0
                at += 2
        return at

    def _take_size(self, line: bytes) -> None:
        self._check_line(line)
        found = _CHUNK_LINE.fullmatch(line)
        if found is None:
            raise malformed("a chunk must begin with its size in hexadecimal digits")
        size = int(found[1], 16)
        self._excess = max(0, self._excess + len(line) - _LINE_BYTES_FREE - 2 * size)
        if self._excess > _EXCESS_BYTES_MAX:
            raise malformed("the chunks have more extensions than content")
        self._left = size + 2 if size else 0
        self._in_trailers = not size

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_bytes_left -= len(line)
        self._check_line(b"")
        if not line:
            self.is_complete = True
        elif not _TRAILER.fullmatch(line):
            raise malformed("a trailer must be a field")

    def _check_line(self, line: bytes) -> None:
        """Refuse a line that is too long, complete or not."""
        if self._in_trailers:
            if len(line) > self._trailer_bytes_left:
                raise malformed("the trailers are too large")
        elif len(line) > _LINE_BYTES_MAX:
            raise malformed("the extensions of a chunk are too long")
