"""The head of a response (RFC 9112 section 4), and the framing of its body.

A codec without I/O.
"""

import time
from collections.abc import Iterable, Sequence
from email.utils import formatdate
from enum import Enum, auto
from functools import lru_cache
from http import HTTPStatus
from typing import Final

_PHRASES: Final = {1: "Information", 2: "Success", 3: "Redirection", 4: "Client Error", 5: "Server Error"}
_HANDLED: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"date"))
_CLOSE_LINE: Final = b"connection: close\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
_encode_field: Final = b"%b: %b\r\n".__mod__  # of a name and a value
_KNOWN_STARTS_MAX: Final = 256  # heads of whole responses; those of errors and of tasks differ in little

Field = tuple[bytes, bytes]


class Framing(Enum):
    """The way in which the client finds the end of a body."""

    NONE = auto()  # there is no body: HEAD, 204, 304
    LENGTH = auto()
    CHUNKS = auto()
    CLOSE = auto()  # HTTP/1.0: the end of the connection


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = _PHRASES.get(status // 100, "Unknown")  # clients fail on an empty one
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())


_STATUS_LINES: Final = {status.value: _status_line(status) for status in HTTPStatus}


class _DateLine:
    """The ``Date`` field, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def get(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = b"date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")
        return self._line


_date: Final = _DateLine()


# Looked up once, because an access to a member of an enum takes 0.2 µs on Python 3.11.
_NONE, _LENGTH, _CHUNKS, _CLOSE = Framing


def _framing_of(status: int, length: int | None, *, is_head_request: bool, is_http_1_0: bool) -> Framing:
    if is_head_request or status in (204, 304) or status < 200:
        return _NONE
    if length is not None:
        return _LENGTH
    return _CLOSE if is_http_1_0 else _CHUNKS


class ResponseHead:
    """A response head, encoded.

    Args:
        status: 200 to 599, or 101.
        headers: of the application. Those that frame the message are replaced.
        is_head_request: the method is HEAD.
        is_http_1_0: of the request.
        keeps_alive: the connection may be reused, as far as the request is concerned.

    Attributes:
        data: bytes.
        framing: of the body.
        length: size of the body (bytes), with Content-Length.
        keeps_alive: the connection is reused.

    Raises:
        ValueError: a header has a line break or a NUL, or Content-Length is no number.
    """

    __slots__ = ("data", "framing", "keeps_alive", "length")

    def __init__(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        is_head_request: bool,
        is_http_1_0: bool,
        keeps_alive: bool,
    ) -> None:
        data = _STATUS_LINES.get(status) or _status_line(status)
        count = 1  # of lines
        length = None
        date = _date.get()
        for name, value in headers:
            if (lower := name.lower()) not in _HANDLED:
                data += name + b": " + value + b"\r\n"
                count += 1
            elif lower == b"content-length":
                length = int(value)
            elif lower == b"date":
                date = b"date: %b\r\n" % value
            elif lower == b"connection":
                keeps_alive = keeps_alive and b"close" not in value.lower()
                if b"upgrade" in value.lower():
                    data += b"connection: upgrade\r\n"
                    count += 1
        if status < 200 or status == 204:
            length = None  # RFC 9110 section 8.6
        self.length = length or 0
        self.framing = _framing_of(status, length, is_head_request=is_head_request, is_http_1_0=is_http_1_0)
        self.keeps_alive = keeps_alive = keeps_alive and self.framing is not _CLOSE
        if length is not None:
            data += b"content-length: %d\r\n" % length
            count += 1
        elif self.framing is _CHUNKS:
            data += b"transfer-encoding: chunked\r\n"
            count += 1
        if is_http_1_0 or not keeps_alive:
            data += b"connection: keep-alive\r\n" if keeps_alive else b"connection: close\r\n"
            count += 1
        self.data = data = data + date + b"\r\n"
        count += 2
        _check_lines(data, count)


def encode_whole(
    start: bytes,
    own_fields: Sequence[Field],
    body: bytes,
    is_head_request: bool,
    keeps_alive: bool,
) -> bytes:
    """Encode a response whose body is known, for HTTP/1.1.

    Args:
        start: see :func:`encode_start`.
        own_fields: those of this response alone.
        body: the content; of HEAD, only its size is sent.
        is_head_request: the method is HEAD.
        keeps_alive: the connection is reused.

    Raises:
        ValueError: a header has a line break or a NUL.
    """
    return b"%bcontent-length: %d\r\n%b%b%b\r\n%b" % (
        start,
        len(body),
        _encode_own(own_fields),
        b"" if keeps_alive else _CLOSE_LINE,
        _date.get(),
        b"" if is_head_request else body,
    )


def encode_chunked_head(start: bytes, own_fields: Sequence[Field], *, keeps_alive: bool) -> bytes:
    """Encode the head of a response in chunks, for HTTP/1.1; see :func:`encode_whole`."""
    return b"%btransfer-encoding: chunked\r\n%b%b%b\r\n" % (
        start,
        _encode_own(own_fields),
        b"" if keeps_alive else _CLOSE_LINE,
        _date.get(),
    )


def _encode_own(fields: Sequence[Field]) -> bytes:
    """Encode the fields of one response alone.

    Raises:
        ValueError: a header has a line break or a NUL.
    """
    lines = b"".join(map(_encode_field, fields))
    _check_lines(lines, len(fields))
    return lines


@lru_cache(_KNOWN_STARTS_MAX)
def encode_start(status: int, fields: tuple[Field, ...]) -> bytes | None:
    """Encode the status line and the fields that many responses with content share.

    Args:
        status: 200 to 599.
        fields: names in lower case.

    Returns:
        The bytes, which are remembered; None for a response that only :class:`ResponseHead` can encode:
        without content by its status, or with fields that frame the message.

    Raises:
        ValueError: a header has a line break or a NUL.
    """
    if status in (204, 304) or any(name.lower() in _HANDLED for name, _ in fields):
        return None
    lines = _encode_own(fields)
    return (_STATUS_LINES.get(status) or _status_line(status)) + lines


def _check_lines(lines: bytes, count: int) -> None:
    """Check that encoded fields have no more lines than there are fields.

    Raises:
        ValueError: a header has a line break or a NUL.
    """
    if lines.count(b"\n") != count or lines.count(b"\r") != count or b"\0" in lines:
        raise ValueError("the headers of a response must not have line breaks or NUL")
