"""The data of an event: text, the JSON of a value, or bytes, which travel as base64.

Every wire of streamd carries text, so the data of an event is one text and its encoding. Bytes are base64 in
one form only: the standard alphabet with padding, whose unused bits are zero (RFC 4648 sections 3.5 and 4).
So equal bytes are equal texts, also for an idempotency key.
"""

from binascii import a2b_base64, b2a_base64
from enum import StrEnum
from typing import Any, Final

import msgspec

from ..characters import quoted
from ..errors import InvalidBody, InvalidField
from ..json import encode_json, encode_text, inspect_json


class DataEncoding(StrEnum):
    """The meaning of the text of an event's data."""

    TEXT = "text"  # it is the data
    JSON = "json"  # it is the compact JSON of a value, which is no string
    BASE64 = "base64"  # it is the base64 of bytes


# For code that runs once an event: a lookup in the class takes longer than the comparison (Python 3.11).
TEXT: Final = DataEncoding.TEXT
JSON: Final = DataEncoding.JSON
BASE64: Final = DataEncoding.BASE64

_BUFFERS: Final = (bytes, bytearray, memoryview)
_NOT_BASE64: Final = (
    "data must be base64 with padding, without white space, in canonical form (RFC 4648 sections 3.5 and 4)"
)


def encode_data(data: Any, *, envelope: int = 0) -> tuple[str, DataEncoding]:
    """Encode data as text.

    Args:
        data: text, bytes (also a ``bytearray`` or ``memoryview``), a JSON value, or an ``msgspec.Raw``
            holding one.
        envelope: as for :func:`~streamd.json.check_json`.

    Raises:
        InvalidField: neither text, bytes nor a JSON value, or not within the profile of :mod:`streamd.json`.
    """
    if isinstance(data, str):
        encode_text(data, "data")
        return data, TEXT
    if isinstance(data, _BUFFERS):
        return encode_base64(bytes(data)), BASE64
    if not isinstance(data, msgspec.Raw):
        return read_data(encode_json(data, "data", envelope=envelope), is_compact=True)
    raw = bytes(data)
    try:
        is_compact = inspect_json(raw, noun="data", field="data", envelope=envelope)
    except InvalidBody as error:
        raise InvalidField(error.detail, field=error.field) from error
    return read_data(raw, is_compact=is_compact)


def read_data(
    text: bytes, *, marker: str | None = None, is_compact: bool = False
) -> tuple[str, DataEncoding]:
    """Return valid JSON without white space as :func:`encode_data` does. Numbers keep their digits.

    Args:
        text: the JSON.
        marker: the member ``encoding`` of the same object; None without one.
        is_compact: True if the JSON has no white space.

    Raises:
        InvalidField: the marker is not ``base64``, or the JSON is no string with base64.
    """
    compact = text if is_compact else msgspec.json.format(text, indent=-1)
    if not compact.startswith(b'"'):
        if marker is not None:
            check_marker(marker)
            raise InvalidField(_NOT_BASE64, field="data")
        return compact.decode(), JSON
    data: str = msgspec.json.decode(compact, type=str)
    if marker is None:
        return data, TEXT
    check_marker(marker)
    decode_base64(data)
    return data, BASE64


def check_marker(marker: str) -> None:
    """Check the member ``encoding`` of the object that has the data.

    Raises:
        InvalidField: it is not ``base64``.
    """
    if marker != BASE64:
        raise InvalidField(
            f"encoding must be 'base64', or left out for text and JSON; got {quoted(marker)}",
            field="encoding",
        )


def encode_base64(data: bytes) -> str:
    """Encode bytes as base64 with padding (RFC 4648 section 4)."""
    return b2a_base64(data, newline=False).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Decode the one form that :func:`encode_base64` makes of bytes.

    Raises:
        InvalidField: it is another form, such as one without padding, or no base64.
    """
    try:
        data = a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise InvalidField(_NOT_BASE64, field="data") from error
    if encode_base64(data) != text:
        raise InvalidField(_NOT_BASE64, field="data")
    return data
