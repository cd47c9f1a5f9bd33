"""Content codings of request bodies (RFC 9110 section 8.4): gzip, inflated a bounded piece at a time."""

import zlib
from collections.abc import AsyncIterator, Iterable
from typing import Final, Self

import trio

from ..characters import quoted
from ..errors import InvalidBody, TooLarge, UnsupportedCoding

_CODINGS: Final = frozenset({"gzip", "x-gzip"})  # two names of one (RFC 9110 section 8.4.1.3)
_GZIP_WBITS: Final = 31  # zlib's mark of the gzip format, with the largest window
_PIECE_BYTES: Final = 65_536
_FED_BYTES: Final = 4096  # zlib copies the unread rest at each call: with large parts, small members would
# cost time in proportion to the square of their number
_EMPTY_MEMBERS_MAX: Final = 1000  # in a row: they are inflated in one step, and no size bounds them
_OVERHEAD_BYTES: Final = 65_536  # of gzip around data that does not become smaller


def is_gzip(fields: Iterable[str]) -> bool:
    """Return True if a body has the coding gzip, and False if it has none.

    Args:
        fields: the values of all ``Content-Encoding`` header fields.

    Raises:
        UnsupportedCoding: it has another coding, or several.
    """
    names = [name.strip().lower() for field in fields for name in field.split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if not codings:
        return False
    if len(codings) == 1 and codings[0] in _CODINGS:
        return True
    raise UnsupportedCoding(
        f"Content-Encoding must be gzip or identity; got {quoted(', '.join(codings))}",
        field="Content-Encoding",
    )


class GzipDecoder:
    """Inflates gzip (RFC 1952) of one or several members, never more than asked for."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_WBITS)
        self._data = bytearray()  # received, and not fed to zlib
        self._tail = b""  # fed to zlib, and not read by it
        self._may_have_more = False  # zlib may keep a part of its output
        self._is_inside = False  # a member has begun, and not ended
        self._has_content = False  # of the member that is being read
        self._empty_members = 0  # in a row

    def receive_data(self, data: bytes) -> None:
        """Add a part of the body."""
        self._data += data

    def next_piece(self, max_bytes: int) -> bytes:
        """Return the next 1 to ``max_bytes`` bytes; none until more is received.

        Raises:
            InvalidBody: the body is not gzip, goes on after its end with something else, or has more than a
                thousand empty members in a row.
        """
        while True:
            if not self._tail:
                self._tail = bytes(self._data[:_FED_BYTES])
                del self._data[:_FED_BYTES]
            if not self._tail and not self._may_have_more:
                return b""
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP_WBITS)
            self._is_inside = True
            try:
                piece = self._member.decompress(self._tail, max_bytes)
            except zlib.error as error:
                raise InvalidBody("the body is not valid gzip", field="body") from error
            has_ended = self._member.eof
            self._tail = self._member.unused_data if has_ended else self._member.unconsumed_tail
            self._is_inside = not has_ended
            self._may_have_more = not has_ended and len(piece) == max_bytes
            self._has_content = self._has_content or bool(piece)
            if has_ended:
                self._count_member()
            if piece:
                return piece

    def _count_member(self) -> None:
        """Note the end of a member."""
        self._empty_members = 0 if self._has_content else self._empty_members + 1
        self._has_content = False
        if self._empty_members > _EMPTY_MEMBERS_MAX:
            raise InvalidBody("the body has too many empty gzip members in a row", field="body")

    def check_end(self) -> None:
        """Check that the body is complete; an empty one is.

        Raises:
            InvalidBody: its last member is cut off.
        """
        if self._is_inside:
            raise InvalidBody("the body is not valid gzip: it ends too early", field="body")


class GzipBody:
    """The inflated pieces of a body, an async iterator.

    A turn of the event loop passes before each piece, so that a small body that inflates to gigabytes holds
    up nobody else.

    Args:
        parts: the parts of the body as they arrive.
        max_bytes: the maximum size of the whole (bytes): one byte more is inflated, by which the reader sees
            that it is larger. Compressed it may have little more. None: no maximum.
    """

    def __init__(self, parts: AsyncIterator[bytes], max_bytes: int | None = None) -> None:
        self._parts = parts
        self._decoder = GzipDecoder()
        self._max_bytes = max_bytes
        self._left = None if max_bytes is None else max_bytes + 1
        self._received = 0  # bytes, compressed
        self._first = b""  # read, and not returned yet

    async def begin(self) -> None:
        """Read the first piece, which shows whether the body is gzip, while the status can still tell.

        Raises:
            InvalidBody: it is not.
        """
        self._first = await anext(self, b"")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece.

        Raises:
            InvalidBody: the body is not gzip, or is cut off.
            TooLarge: it is larger as it was sent than it may be inflated.
        """
        await trio.lowlevel.checkpoint()
        if self._first:
            first, self._first = self._first, b""
            return first
        most = _PIECE_BYTES if self._left is None else min(_PIECE_BYTES, self._left)
        if not most:
            raise StopAsyncIteration
        while not (piece := self._decoder.next_piece(most)):
            try:
                part = await anext(self._parts)
            except StopAsyncIteration:
                self._decoder.check_end()
                raise
            self._received += len(part)
            if self._max_bytes is not None and self._received > self._max_bytes + _OVERHEAD_BYTES:
                raise TooLarge(f"the body is larger than {self._max_bytes} bytes", field="body")
            self._decoder.receive_data(part)
        if self._left is not None:
            self._left -= len(piece)
        return piece
