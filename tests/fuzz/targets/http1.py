"""Heads and chunked bodies of HTTP/1.1: they mean the same however they are cut."""

from collections.abc import Iterable
from typing import Any, Final

from streamd.server.http1.body import ChunkedBody
from streamd.server.http1.head import HeadReader
from streamd.server.refusals import RequestRefused
from tests.fuzz.target import Target, split

_HEAD_BYTES_MAX: Final = 4096  # more than an input has
_TRAILER_BYTES_MAX: Final = 64


def _take_head(data: bytes) -> None:
    """Read a head in parts, whose lengths are the first four bytes."""
    stream = data[4:]
    whole = _read_head([stream])
    assert _read_head(split(stream, data[:4])) == whole


def _read_head(parts: Iterable[bytes]) -> Any:
    """Return a head and the bytes behind it; "refused", or None while it is incomplete."""
    reader = HeadReader(_HEAD_BYTES_MAX, takes_preface=True)
    rest = iter(parts)
    for part in rest:
        try:
            found = reader.feed(part)
        except RequestRefused as error:
            assert 400 <= error.status <= 599
            assert error.answer()
            return "refused"
        if found is not None:
            head, behind = found
            behind += b"".join(rest)
            return behind if head is None else (head.method, head.target, head.headers, behind)
    return None


def _take_chunks(data: bytes) -> None:
    """Decode chunks in parts, whose lengths are the first four bytes."""
    stream = data[4:]
    assert _decode(split(stream, data[:4])) == _decode([stream])


def _decode(parts: Iterable[bytes]) -> Any:
    """Return the content, whether it is complete, and the bytes behind it; "refused" for wrong chunks."""
    decoder = ChunkedBody(_TRAILER_BYTES_MAX)
    content, unused = b"", b""
    for part in parts:
        unused += part
        if decoder.is_complete:
            continue
        try:
            decoded, unused = decoder.decode(unused)
        except RequestRefused:
            return "refused"
        content += decoded
    return content, decoder.is_complete, unused


TARGETS: Final = {
    "head": Target(
        _take_head,
        (
            b"\1\2\3\5GET /events?topic=a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\xff\xff\xff\xffPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            b"\7\7\7\7POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            b"\1\1\1\1\r\nGET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            b"\4\4\4\4PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ),
        (
            b"\r\n",
            b": ",
            b"Content-Length: ",
            b"Transfer-Encoding: ",
            b"Expect: 100-continue",
            b"\x00",
            b"\xff",
        ),
    ),
    "chunks": Target(
        _take_chunks,
        (b"\1\2\3\5" + b"3\r\nabc\r\n0\r\n\r\nGET", b"\xff\0\0\0a;x=1\r\n0123456789\r\n0\r\nA: b\r\n\r\n"),
        (b"\r\n", b"0\r\n\r\n", b"1\r\n", b";", b"ffffffffffffffff"),
        512,
    ),
}
