"""Decoding and encoding under the profile.

A check takes two to three times as long as decoding alone, and up to five times for texts with white space or
many escapes: one pass for the depth, one generic decoding, and one encoding of the value, which has fewer
members where names were repeated.

A text of more than 32 kB is checked in pieces (:mod:`.pieces`). It costs the same, but a piece takes at most
10 ms, where a text of 2 MB may take half a second. So a caller in a thread lets others run between them. That
is better for texts with a thousand brackets, too.
"""

from typing import Any, Final, TypeVar

import attrs
import msgspec

from ..errors import InvalidBody, InvalidField
from ..steps import Steps, run_at_once
from .faults import DESCRIBED_BYTES_MAX, HALF_PAIR, FaultyText, describe_unencodable
from .pieces import PIECE_BYTES, NamesAcross, Pieces
from .structure import count_opening, has_long_integer, has_repeated_names, is_deeper

T = TypeVar("T")

DEPTH_MAX: Final = 64
"""Maximum levels of arrays and objects in a value. Data of people and programs has about ten; decoders of
clients give up at a hundred (.NET: 64) to a thousand (Python)."""

MESSAGE_ENVELOPE: Final = 8
"""Maximum levels of the messages of streamd around a value: an event in the answer to a poll has four."""


_SMALL_BYTES: Final = 2_048  # whatever they are, a check takes less than a millisecond
_BRACKETS_MAX: Final = 1_000  # opening ones: a check takes half a millisecond for as many


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
    raw = _encode_utf8(text, noun, field)
    if not is_large(raw):
        return _check_whole(raw, FaultyText(raw, noun, field), envelope)[0]
    inspect_json(raw, noun=noun, field=field, envelope=envelope)
    return msgspec.json.decode(raw)


def inspect_json(text: str | bytes, *, noun: str, field: str = "", envelope: int = 0) -> bool:
    """Check a text as :func:`check_json` does, without its value.

    Returns:
        True if the text is known to be compact.
    """
    raw = _encode_utf8(text, noun, field)
    if not is_large(raw):
        return _check_whole(raw, FaultyText(raw, noun, field), envelope)[1]
    return run_at_once(inspection_steps(raw, noun=noun, field=field, envelope=envelope))


def inspection_steps(
    text: str | bytes, *, noun: str, field: str = "", envelope: int = 0, step_bytes: int = PIECE_BYTES
) -> Steps[bool]:
    """Do the same as :func:`inspect_json` in steps of at most some milliseconds, of as many bytes each."""
    raw = _encode_utf8(text, noun, field)
    if len(raw) <= step_bytes:
        return _check_whole(raw, FaultyText(raw, noun, field), envelope)[1]
    pieces = Pieces(raw, step_bytes)
    names = NamesAcross(pieces)
    is_compact = True
    try:
        for piece in pieces:
            faulty = FaultyText(piece.text, noun, field, piece.shift)
            _check_levels(piece.text, FaultyText(raw, noun, field), envelope)
            value, is_piece_compact = _check(piece.text, faulty)
            if names.add(piece, value):
                raise faulty.has_repeated_name()
            is_compact = is_compact and is_piece_compact
            yield
    except InvalidBody:
        if len(raw) <= DESCRIBED_BYTES_MAX:
            _check(raw, FaultyText(raw, noun, field))  # whose error has a path
        raise
    return is_compact


def is_large(text: str | bytes) -> bool:
    """Return True if checking a text may take more than some milliseconds, for its size or its brackets."""
    size = len(text)
    return size > _SMALL_BYTES and (size > PIECE_BYTES or count_opening(text) > _BRACKETS_MAX)


def _encode_utf8(text: str | bytes, noun: str, field: str) -> bytes:
    try:
        return text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise FaultyText(b"", noun, field).has_half_pair() from error


def _check_whole(raw: bytes, faulty: FaultyText, envelope: int) -> tuple[Any, bool]:
    """Check a text in one step; return its value, and True if it is known to be compact."""
    _check_levels(raw, faulty, envelope)
    return _check(raw, faulty)


def _check_levels(raw: bytes, faulty: FaultyText, envelope: int) -> None:
    levels = DEPTH_MAX + envelope
    if is_deeper(raw, levels):
        raise faulty.is_deeper(levels, DEPTH_MAX)


def _check(raw: bytes, faulty: FaultyText) -> tuple[Any, bool]:
    """Check all but the levels, as :func:`_check_whole` does."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise faulty.is_undecodable(error) from error
    if has_long_integer(raw):  # the decoder takes up to 4300 digits
        fault = faulty.integer_out_of_range()
        if fault is not None:
            raise fault
    encoded = msgspec.json.encode(value)
    if encoded == raw:
        return value, True
    if has_repeated_names(raw, encoded):
        raise faulty.has_repeated_name()
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
    if type is Any:
        value: T = check_json(text, noun=noun, envelope=envelope)
        return value
    decoded: T = run_at_once(decoding_steps(text, type, noun=noun, envelope=envelope))
    return decoded


def decoding_steps(
    text: str | bytes, type: type[T] | Any, *, noun: str = "the body", envelope: int = 0
) -> Steps[T]:
    """Do the same as :func:`decode_json` in steps of at most some milliseconds.

    The last step decodes the whole text. It takes 5 ms a megabyte where the type has ``msgspec.Raw`` for
    values of any shape, and up to 50 ms for ``Any``.
    """
    yield from inspection_steps(text, noun=noun, envelope=envelope)
    decoded: T = decode_shape(text, type, noun=noun)
    return decoded


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
    these it is the same as :func:`decode_json`, at a third of its cost. A large text takes steps instead.

    Args:
        text: the text.
        decoder: of a type whose values are encoded to what they were decoded from.
        envelope: as for :func:`check_json`.

    Returns:
        The value; None for any other text, which may be valid, too.
    """
    levels = DEPTH_MAX + envelope
    if len(text) > _SMALL_BYTES:
        if is_large(text) or is_deeper(text, levels):
            return None
    elif text.count(b"[") + text.count(b"{") > levels and is_deeper(text, levels):
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
