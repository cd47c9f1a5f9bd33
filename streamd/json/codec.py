"""Decoding and encoding under the profile.

A check takes two to three times as long as decoding alone, and up to five times for texts with white space or
many escapes: one pass for the depth, one generic decoding, and one encoding of the value, which has fewer
members where names were repeated.
"""

from typing import Any, Final, TypeVar

import attrs
import msgspec

from ..errors import InvalidBody, InvalidField
from .faults import HALF_PAIR, FaultyText, describe_unencodable
from .structure import has_long_integer, has_repeated_names, is_deeper

T = TypeVar("T")

DEPTH_MAX: Final = 64
"""Maximum levels of arrays and objects in a value. Data of people and programs has about ten; decoders of
clients give up at a hundred (.NET: 64) to a thousand (Python)."""

MESSAGE_ENVELOPE: Final = 8
"""Maximum levels of the messages of streamd around a value: an event in the answer to a poll has four."""


@attrs.frozen
class EncodedJson:
    """JSON that is known to be within the profile, such as an encoded struct; it is not checked again.

    Args:
        text: the JSON.
    """

    text: bytes


def check_json(text: str | bytes, *, noun: str = "the body", field: str = "", envelope: int = 0) -> Any:
    """Check a text, and return its value.

    Args:
        text: the text; bytes are UTF-8.
        noun: the name of the text in the error's sentence.
        field: the field that the text is the value of; empty if the text has fields itself.
        envelope: the levels around the values that the text holds; they are not counted as theirs.

    Raises:
        InvalidBody: the text is no JSON, or not within the profile; ``field`` is the path of the wrong value,
            and None if that is the text as a whole.
    """
    value, _ = inspect_json(text, noun=noun, field=field, envelope=envelope)
    return value


def inspect_json(text: str | bytes, *, noun: str, field: str = "", envelope: int = 0) -> tuple[Any, bool]:
    """Check a text as :func:`check_json` does.

    Returns:
        Its value, and True if the text is known to be compact.
    """
    try:
        raw = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise FaultyText(b"", noun, field).has_half_pair() from error
    levels = DEPTH_MAX + envelope
    if is_deeper(raw, levels):
        raise FaultyText(raw, noun, field).is_deeper(levels, DEPTH_MAX)
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise FaultyText(raw, noun, field).is_undecodable(error) from error
    if has_long_integer(raw):  # the decoder takes up to 4300 digits
        fault = FaultyText(raw, noun, field).integer_out_of_range()
        if fault is not None:
            raise fault
    encoded = msgspec.json.encode(value)
    if encoded == raw:
        return value, True
    if has_repeated_names(raw, encoded):
        raise FaultyText(raw, noun, field).has_repeated_name()
    return value, False


def decode_json(text: str | bytes, type: type[T] | Any, *, noun: str = "the body", envelope: int = 0) -> T:
    """Decode a text of a known shape.

    Args:
        text: the text; bytes are UTF-8.
        type: any type that msgspec decodes; ``Any`` for any value.
        noun: as for :func:`check_json`.
        envelope: as for :func:`check_json`.

    Raises:
        InvalidBody: as for :func:`check_json`, or the value has another shape.
    """
    value: T = check_json(text, noun=noun, envelope=envelope)
    return value if type is Any else decode_shape(text, type, noun=noun)


def decode_shape(text: str | bytes, type: type[T] | Any, *, noun: str) -> T:
    """Decode a text that is within the profile.

    Raises:
        InvalidBody: the value has another shape.
    """
    try:
        return msgspec.json.decode(text, type=type)
    except msgspec.ValidationError as error:
        raise FaultyText(b"", noun, "").has_other_shape(error) from error


def decode_compact(text: bytes, decoder: msgspec.json.Decoder[T], *, envelope: int = 0) -> T | None:
    """Decode a text of a known shape that is written as msgspec would write it, in a single pass.

    Most programs write such texts: without white space, and with the members of the type in their order. For
    these it is the same as :func:`decode_json`, at a third of its cost.

    Args:
        text: the text.
        decoder: of a type whose values are encoded to what they were decoded from.
        envelope: as for :func:`check_json`.

    Returns:
        The value; None for any other text, which may be valid, too.
    """
    if is_deeper(text, DEPTH_MAX + envelope):
        return None
    try:
        value = decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    # Equal texts have no repeated names, because the decoder keeps one of them.
    return None if msgspec.json.encode(value) != text or has_long_integer(text) else value


def decode_message(text: str | bytes, type: type[T] | Any, *, noun: str = "the message") -> T:
    """Decode a message of streamd, whose sender has checked the values in it. Its levels are checked.

    Raises:
        InvalidBody: it is not JSON, is nested too deep, or has another shape.
    """
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    levels = DEPTH_MAX + MESSAGE_ENVELOPE
    if is_deeper(raw, levels):
        raise FaultyText(raw, noun, "").is_deeper(levels, DEPTH_MAX)
    try:
        return msgspec.json.decode(text, type=type)
    except msgspec.ValidationError as error:
        raise FaultyText(raw, noun, "").has_other_shape(error) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise FaultyText(raw, noun, "").is_undecodable(error) from error


def encode_text(text: str, field: str) -> bytes:
    """Encode a text of a program as UTF-8.

    Raises:
        InvalidField: it has half of a surrogate pair.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidField(f"{field} {HALF_PAIR}", field=field) from error


def encode_json(value: Any, field: str, *, envelope: int = 0) -> bytes:
    """Encode a value of a program, and check the text.

    Args:
        value: a JSON value, or an :class:`EncodedJson`. Objects of other types are encoded as msgspec does;
            NaN becomes null.
        field: the name of the value, for errors.
        envelope: as for :func:`check_json`.

    Raises:
        InvalidField: it is no JSON value, or not within the profile.
    """
    if isinstance(value, EncodedJson):
        return value.text
    try:
        text = msgspec.json.encode(value)
        check_json(text, noun=field, field=field, envelope=envelope)
    except InvalidBody as error:
        raise InvalidField(error.detail, field=error.field) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidField(f"{field} {describe_unencodable(error, DEPTH_MAX)}", field=field) from error
    return text
