"""The fields of HTTP/2 answers are encoded so that any client decodes them, and secrets are never indexed."""

from typing import Any

import hpack
import pytest
from h2.exceptions import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

from streamd.server.hypercorn_internals.hpack_encoder import TABLE_BYTES_MAX, FieldEncoder

Field = tuple[bytes, bytes]

NAMES = st.sampled_from([b"server", b"etag", b"x-of-ours", b"vary", b"y" * 130, b"set-cookie", b"\xe9"])
VALUES = st.one_of(
    st.sampled_from([b"", b"a", b"no-store", b"\xff\xfe", b"z" * 300, b"w" * 600, b"v" * 5_000]),
    st.integers(0, 200).map(lambda number: b"%d" % number),
)
HEADS = st.lists(st.tuples(NAMES, VALUES), max_size=8).map(lambda head: [(b":status", b"200"), *head])
SIZES = st.integers(0, 10_000)


@given(st.lists(st.one_of(HEADS, SIZES), max_size=12))
def test_any_heads_are_decoded_by_a_client_whatever_its_table(steps: list[Any]) -> None:
    encoder, decoder = FieldEncoder(), hpack.Decoder(1_000_000)
    for step in steps:
        if isinstance(step, int):
            encoder.header_table_size = decoder.max_allowed_table_size = step
        else:
            assert decoder.decode(encoder.encode(step), raw=True) == step


def test_a_small_table_is_announced_in_front_of_the_next_head_also_where_it_grew_again() -> None:
    encoder, decoder = FieldEncoder(), hpack.Decoder()
    for size in (1_000, 100, 200):
        encoder.header_table_size = size
    block = encoder.encode([(b":status", b"200")])
    assert block == b"\x3f\x45" + b"\x3f\xa9\x01" + b"\x88"  # 100, then 200
    decoder.decode(block)
    assert decoder.header_table_size == encoder.header_table_size == 200
    assert encoder.encode([(b":status", b"200")]) == b"\x88"


def test_a_larger_table_is_not_used() -> None:
    encoder = FieldEncoder()
    encoder.header_table_size = 1_000_000
    assert encoder.header_table_size == TABLE_BYTES_MAX
    assert encoder.encode([(b":status", b"200")]) == b"\x88"


def test_fields_that_are_repeated_take_a_byte_and_others_leave_them_in_the_table() -> None:
    head = [(b":status", b"200"), (b"x-repeated", b"always the same value"), (b"vary", b"origin")]
    FieldEncoder().encode(head)  # which makes them known
    encoder = FieldEncoder()
    encoder.encode(head)
    for number in range(1_000):
        encoder.encode([(b"x-once", b"%d, and a text that is never sent again" % number)])
    assert len(encoder.encode(head)) == len(head)


@pytest.mark.parametrize("name", [b"set-cookie", b"authorization", b"Set-Cookie"])
def test_secrets_are_never_indexed(name: bytes) -> None:
    encoder, decoder = FieldEncoder(), hpack.Decoder()
    for _ in range(3):
        [field] = decoder.decode(encoder.encode([(name, b"secret of somebody")]), raw=True)
        assert isinstance(field, hpack.NeverIndexedHeaderTuple)


def test_fields_are_written_as_http2_wants_them() -> None:
    encoder, decoder = FieldEncoder(), hpack.Decoder()
    head = [(b" Content-Type ", b" text/plain\t"), (b"Connection", b"close"), (b"Keep-Alive", b"1")]
    assert decoder.decode(encoder.encode(head), raw=True) == [(b"content-type", b"text/plain")]


@pytest.mark.parametrize("wrong", [(b" :status", b"200"), (b" ", b""), (b"te", b"gzip")])
def test_a_field_that_must_not_be_sent_leaves_the_table_as_it_was(wrong: Field) -> None:
    encoder, decoder = FieldEncoder(), hpack.Decoder()
    head = [(b"x-before", b"it"), (b"x-too", b"it")]
    FieldEncoder().encode(head)
    with pytest.raises(ProtocolError):
        encoder.encode([*head, wrong])
    for _ in range(2):
        assert decoder.decode(encoder.encode(head), raw=True) == head
