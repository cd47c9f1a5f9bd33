"""Bodies of requests: by Content-Length and in chunks (RFC 9112 sections 6 and 7.1), cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.server.http1.body import BodyDecoder, ChunkedBody, CountedBody
from streamd.server.refusals import RequestRefused

BEHIND = b"GET /next HTTP/1.1\r\n"
TRAILER_BYTES = 1000


def decode(body: BodyDecoder, data: bytes, size: int) -> tuple[bytes, bytes]:
    """Feed the bytes in pieces, and return the content and all that is left."""
    content, unused = b"", b""
    for start in range(0, len(data), size):
        unused += data[start : start + size]
        before = None
        while unused and unused != before and not body.is_complete:
            before = unused
            part, unused = body.decode(unused)
            content += part
    return content, unused


def chunked(parts: list[bytes], extension: bytes = b"", trailers: bytes = b"") -> bytes:
    chunks = [b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts]
    return b"".join([*chunks, b"0", extension, b"\r\n", trailers, b"\r\n"])


@given(parts=st.lists(st.binary(min_size=1, max_size=40)), size=st.integers(1, 300))
def test_a_body_is_read_to_its_end_and_no_byte_further(parts: list[bytes], size: int) -> None:
    whole = b"".join(parts)
    for body, data in ((ChunkedBody(TRAILER_BYTES), chunked(parts)), (CountedBody(len(whole)), whole)):
        content, rest = decode(body, data + BEHIND, size)
        assert body.is_complete
        assert content == whole
        assert rest == BEHIND


@pytest.mark.parametrize("size", [1, 5, 1_000_000])
def test_extensions_and_trailers_are_dropped(size: int) -> None:
    body = ChunkedBody(TRAILER_BYTES)
    data = chunked([b"ab", b"c"], b' ;a=b; c="d e"', b"X: y\r\nContent-Length: 3\r\n")
    assert decode(body, data + BEHIND, size) == (b"abc", BEHIND)


def test_many_chunks_are_not_decoded_in_one_call() -> None:
    body = ChunkedBody(TRAILER_BYTES)
    data = chunked([b"x"] * 10_000)
    part, rest = body.decode(data)
    assert 0 < len(part) < 1000
    assert rest
    assert decode(ChunkedBody(TRAILER_BYTES), data, 1_000_000) == (b"x" * 10_000, b"")


@pytest.mark.parametrize("size", [1, 100, 1_000_000])
@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"0x3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"11111111111111111\r\n",
        b"3\nabc\r\n\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc\rX\r\n",
        b"3;a\x01\r\nabc\r\n",
        b"3;" + b"a" * 60_000 + b"\r\nabc\r\n",
        b"3;" + b"a" * 60_000,
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\n: y\r\n\r\n",
        b"0\r\nX: " + b"a" * TRAILER_BYTES + b"\r\n\r\n",
        b"0\r\nX: " + b"a" * TRAILER_BYTES,
        b"0\r\n" + b"X: y\r\n" * TRAILER_BYTES,
        b"1;extension-of-a-chunk\r\nx\r\n" * 5000,
    ],
)
def test_a_malformed_chunk_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(RequestRefused) as refused:
        decode(ChunkedBody(TRAILER_BYTES), data, size)
    assert refused.value.status == 400


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_small_chunks_and_signed_ones_are_read(size: int) -> None:
    signature = b";chunk-signature=" + b"0" * 64
    whole = chunked([b"x"] * 3000) + chunked([b"y" * 100] * 300, signature)
    content, rest = decode(ChunkedBody(TRAILER_BYTES), whole, size)
    assert (content, decode(ChunkedBody(TRAILER_BYTES), rest, size)[0]) == (b"x" * 3000, b"y" * 30_000)
