"""The data of an event: bytes as base64, in one form only."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import InvalidField
from streamd.events import DataEncoding
from streamd.events.data import decode_base64, encode_base64, encode_data

# The test vectors of RFC 4648 section 10.
VECTORS = [
    (b"", ""),
    (b"f", "Zg=="),
    (b"fo", "Zm8="),
    (b"foo", "Zm9v"),
    (b"foob", "Zm9vYg=="),
    (b"fooba", "Zm9vYmE="),
    (b"foobar", "Zm9vYmFy"),
    (b"\xfb\xff\xbf", "+/+/"),  # the two characters that other alphabets replace
]


@pytest.mark.parametrize(("data", "text"), VECTORS)
def test_bytes_become_standard_base64_with_padding(data: bytes, text: str) -> None:
    assert encode_base64(data) == text
    assert decode_base64(text) == data


@pytest.mark.parametrize(
    "data",
    [b"\0\x01\x02", bytearray(b"\0\x01\x02"), memoryview(b"\0\x01\x02"), memoryview(b"\0-\x01-\x02-")[::2]],
    ids=["bytes", "bytearray", "memoryview", "memoryview with gaps"],
)
def test_any_buffer_is_bytes(data: Any) -> None:
    assert encode_data(data) == ("AAEC", DataEncoding.BASE64)


def test_bytes_inside_of_a_json_value_are_text() -> None:
    assert encode_data({"a": b"\0\x01\x02"}) == ('{"a":"AAEC"}', DataEncoding.JSON)


@given(st.binary(max_size=200))
def test_any_bytes_round_trip(data: bytes) -> None:
    text, encoding = encode_data(data)
    assert encoding is DataEncoding.BASE64
    assert text == base64.standard_b64encode(data).decode()
    assert decode_base64(text) == data


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AA",
        "AAE",
        "AA=",
        "AAE==",
        "AAEC=",
        "AAEC====",
        "=",
        "====",
        "=AAA",
        "AA==AAEC",
        "AB==",  # unused bits that are not zero
        "AAF=",
        " AAEC",
        "AAEC\n",
        "AA EC",
        "AAEC\0",
        "_-8=",  # the alphabet for URLs
        "AAE\u00c7",
        "\uff21\uff21\uff25\uff23",
        "AAE\ud800",
    ],
)
def test_any_other_form_is_rejected(text: str) -> None:
    with pytest.raises(InvalidField, match=r"^data must be base64") as rejected:
        decode_base64(text)
    assert rejected.value.field == "data"


@given(st.text(max_size=12) | st.text("AQgw+/=_- \n", max_size=12))
def test_an_accepted_text_is_the_only_form_of_its_bytes(text: str) -> None:
    try:
        data = decode_base64(text)
    except InvalidField:
        return
    assert encode_base64(data) == text
