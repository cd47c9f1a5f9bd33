"""The fields of HTTP/2 heads are decoded as the library decodes them, with fewer steps."""

import sys
from types import FrameType
from typing import Any

import hpack
import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as decode_slowly
from hypothesis import given
from hypothesis import strategies as st

from streamd.server.hypercorn_internals.hpack_decoder import FieldDecoder
from streamd.server.hypercorn_internals.huffman import decode_huffman

HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
LIMIT = 1_000_000

texts = st.binary(max_size=20)
fields = st.tuples(texts, texts, st.booleans()).map(
    lambda field: (hpack.NeverIndexedHeaderTuple if field[2] else hpack.HeaderTuple)(*field[:2])
)


def attempt(decode: Any, data: bytes) -> Any:
    try:
        return decode(data)
    except HPACKDecodingError:
        return None


@given(st.binary(max_size=200))
def test_any_text_is_decoded(text: bytes) -> None:
    assert decode_huffman(HUFFMAN.encode(text)) == text


@given(st.binary(max_size=12))
def test_any_bytes_are_decoded_or_refused_as_the_library_does(coded: bytes) -> None:
    assert attempt(decode_huffman, coded) == attempt(decode_slowly, coded)


@given(st.lists(st.lists(fields, max_size=5), max_size=3), st.booleans())
def test_any_heads_are_decoded_as_the_library_does(heads: list[Any], huffman: bool) -> None:
    encoder, ours, theirs = hpack.Encoder(), FieldDecoder(LIMIT), hpack.Decoder(LIMIT)
    for head in heads:
        encoded = encoder.encode(head, huffman=huffman)
        decoded = ours.decode(encoded, raw=True)
        expected = theirs.decode(encoded, raw=True)
        assert decoded == expected
        assert [type(field) for field in decoded] == [type(field) for field in expected]


@given(st.binary(max_size=30))
def test_any_bytes_are_a_head_or_not_as_for_the_library(data: bytes) -> None:
    ours, theirs = FieldDecoder(LIMIT), hpack.Decoder(LIMIT)
    assert attempt(lambda head: ours.decode(head, raw=True), data) == attempt(
        lambda head: theirs.decode(head, raw=True), data
    )


def test_a_large_head_takes_few_lines_of_python_a_byte() -> None:
    """The library takes ten lines a byte, which holds the event loop for 30 ms and more."""
    encoded = hpack.Encoder().encode([("x", "e" * 50_000)])
    decoder = FieldDecoder(LIMIT)
    decoder.decode(encoded)  # which makes the table
    lines = 0

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        decoder.decode(encoded)
    finally:
        sys.settrace(before)
    assert lines < 5 * len(encoded)


def test_a_string_that_goes_on_behind_its_head_is_refused() -> None:
    encoded = hpack.Encoder().encode([("x", "y" * 100)])
    with pytest.raises(HPACKDecodingError):
        FieldDecoder(LIMIT).decode(encoded[:-1])
