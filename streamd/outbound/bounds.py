"""Bounds on what a server sends in front of a body, and at once.

h11, below httpx, takes any number of interim responses (100 to 199), and parses all that was read before
others have their turn: a hundred thousand of them hold up the event loop for seconds. httpx inflates each
piece of a body as a whole, and gzip makes it up to a thousand times larger. Behind a chunked body h11 parses
all trailers at once. So the bytes are looked at before h11 has them, and few are read at once where each may
cost much.

httpcore hands out its streams by the ``trace`` extension (:mod:`.handshake`), and not for replacing: a stream
gets a subclass of its own class. That breaks if ``read`` and ``write`` are no longer methods of a stream.
"""

import re
from typing import Any, Final

from .failures import ResponseTooLarge

_INTERIM_MAX: Final = 16  # responses: servers send one or two, such as 100 and 103
_FIELDS_MAX: Final = 256  # header fields of one response, and trailers
_SIZE_LINE_BYTES_MAX: Final = 4096  # of the line in front of a chunk, which may have extensions
_HEAD_BYTES_MAX: Final = 65_536  # of all heads together
_HEAD_READ_BYTES: Final = 4096  # at once; most heads are smaller
_ENCODED_READ_BYTES: Final = 4096  # at once, of a body that may be compressed: 4 MB at most when inflated

_HTTP: Final = b"HTTP/"
_INTERIM: Final = re.compile(rb"HTTP/[0-9]\.[0-9] 1[0-9][0-9]")
_END: Final = re.compile(rb"\n\r?\n")  # as h11 ends a head
_CHUNKED: Final = re.compile(rb"\ntransfer-encoding:[^\n]*chunked", re.IGNORECASE)
_ENCODED: Final = re.compile(rb"\ncontent-encoding:", re.IGNORECASE)


class _ChunkedBody:
    """Follows the chunks of a body to its trailers (RFC 9112 section 7.1)."""

    __slots__ = ("_is_over", "_left", "_line", "_trailers")

    def __init__(self) -> None:
        self._line = b""  # received of the line in front of a chunk
        self._left = 0  # of a chunk and the end of its line (bytes)
        self._is_over = False  # trailers follow, or what is no chunk
        self._trailers = 0

    def receive_data(self, data: bytes) -> None:
        """Check the next bytes.

        Raises:
            ResponseTooLarge: there are too many trailers, or a chunk has a line that is too long.
        """
        position = min(self._left, len(data))
        self._left -= position
        while position < len(data) and not self._is_over:
            end = data.find(b"\n", position)
            self._line += data[position:] if end < 0 else data[position:end]
            if len(self._line) > _SIZE_LINE_BYTES_MAX:
                raise ResponseTooLarge("a chunk of the answer has too many extensions")
            if end < 0:
                return
            size = _chunk_size(self._line)
            self._line = b""
            position = end + 1
            self._is_over = not size  # also where it is no size: h11 finds the error
            if size:
                rest = size + len(b"\r\n")
                skipped = min(rest, len(data) - position)
                position += skipped
                self._left = rest - skipped
        if self._is_over:
            self._trailers += data.count(b"\n", position)
            if self._trailers > _FIELDS_MAX:
                raise ResponseTooLarge("the answer has too many trailers")


def _chunk_size(line: bytes) -> int:
    """Return the size in the line of a chunk; 0 for none."""
    try:
        return max(0, int(line.partition(b";")[0], 16))
    except ValueError:
        return 0


class ResponseBounds:
    """Follows the bytes of one connection from each request to the end of its response."""

    __slots__ = ("_body", "_head", "_interim", "_is_encoded", "_is_in_head", "_size")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin a request, whose response is to follow."""
        self._head = bytearray()  # received of the present head
        self._is_in_head = True
        self._body: _ChunkedBody | None = None
        self._is_encoded = False
        self._interim = 0
        self._size = 0  # of all heads (bytes)

    def limit_read(self, max_bytes: int) -> int:
        """Return how much may be read at once (bytes)."""
        if self._is_in_head:
            return min(max_bytes, _HEAD_READ_BYTES)
        return min(max_bytes, _ENCODED_READ_BYTES) if self._is_encoded else max_bytes

    def receive_data(self, data: bytes) -> None:
        """Check the next bytes.

        Raises:
            ResponseTooLarge: there are too many interim responses or trailers, or the head is too large.
        """
        if not self._is_in_head:
            if self._body is not None:
                self._body.receive_data(data)
            return
        self._head += data
        while self._head:
            if not self._head.startswith(_HTTP[: len(self._head)]):  # of another protocol, or an error of h11
                self._is_in_head = False
                return
            end = _END.search(self._head)
            size = len(self._head) if end is None else end.end()
            if self._size + size > _HEAD_BYTES_MAX or self._head.count(b"\n", 0, size) > _FIELDS_MAX + 2:
                raise ResponseTooLarge("the head of the answer is too large")
            if end is None:
                return
            if not _INTERIM.match(self._head):
                self._is_in_head = False
                self._is_encoded = _ENCODED.search(self._head, 0, size) is not None
                if _CHUNKED.search(self._head, 0, size):
                    self._body = _ChunkedBody()
                    self._body.receive_data(bytes(self._head[size:]))
                self._head.clear()
                return
            self._interim += 1
            if self._interim > _INTERIM_MAX:
                raise ResponseTooLarge(f"the answer has more than {_INTERIM_MAX} interim responses")
            self._size += size
            del self._head[:size]


class _BoundedStream:
    """The methods of a stream of httpcore that follow its bytes."""

    _bounds: ResponseBounds

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        inner: Any = super()
        data: bytes = await inner.read(self._bounds.limit_read(max_bytes), timeout)
        self._bounds.receive_data(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._bounds.begin()
        inner: Any = super()
        await inner.write(buffer, timeout)


_bounded_kinds: Final[dict[type, type]] = {}  # by the class of stream that httpcore uses


def bound_stream(stream: Any) -> None:
    """Bound the responses on a new connection.

    Args:
        stream: an ``httpcore.AsyncNetworkStream``. Its class is replaced by a subclass.
    """
    stream._bounds = ResponseBounds()
    kind = type(stream)
    if kind not in _bounded_kinds:
        _bounded_kinds[kind] = type(f"Bounded{kind.__name__}", (_BoundedStream, kind), {})
    stream.__class__ = _bounded_kinds[kind]
