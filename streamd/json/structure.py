"""The structure of a JSON text: brackets and colons outside of strings, found without a loop in Python.

Every request pays for these functions, so they consist of a few passes at the speed of C. They are exact for
valid JSON, and for any beginning of a valid text. For other texts they return something, and never fail.
"""

import re
from array import array
from itertools import accumulate, islice
from typing import Final

_ALL_BYTES: Final = bytes(range(256))
_NO_BRACKETS: Final = _ALL_BYTES.translate(None, b'[]{}"')
_NO_COLONS: Final = _ALL_BYTES.translate(None, b':"')
_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_STEPS: Final = bytes.maketrans(b"[]", b"\x01\xff")
"""A bracket as a signed byte: one level down, or one level up."""
_CLOSERS: Final = bytes.maketrans(b"[{", b"]}")
_BRACKET: Final = re.compile(rb"[][{}]")
_CLOSED_LEVELS: Final = 4  # records in a list have as many below the list

_INTEGER_DIGITS_MAX: Final = 308  # any integer of as many digits fits into a 64-bit float (at most 1.8e308)
_DIGITS: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in _ALL_BYTES)
_SAMPLE_BYTES: Final = 77
_DIGIT_SAMPLES: Final = b"0" * ((_INTEGER_DIGITS_MAX + 1) // _SAMPLE_BYTES)


def brackets_of(text: bytes) -> bytes:
    """Return the brackets outside of strings, in order."""
    return _outside_of_strings(text, _NO_BRACKETS)


def count_members(text: bytes) -> int:
    """Count the members of all objects in a text; members of the same name count each."""
    return len(_outside_of_strings(text, _NO_COLONS))


def count_opening(text: str | bytes) -> int:
    """Count the brackets that open arrays and objects, also those in strings."""
    if isinstance(text, str):
        return text.count("[") + text.count("{")
    return text.count(b"[") + text.count(b"{")


def has_repeated_names(text: bytes, encoded: bytes) -> bool:
    """Return True if an object of a text has two members of one name.

    Args:
        text: valid JSON.
        encoded: its value, encoded again. A decoder keeps one member of each name.
    """
    if text.count(b":") == encoded.count(b":") and rb"\u003" not in text:  # the escape of a colon
        return False
    return count_members(text) != count_members(encoded)


def has_long_integer(text: bytes) -> bool:
    """Return True if a text has more digits in a row than the integers that a 64-bit float can hold.

    They may be in a string or behind a decimal point.
    """
    if len(text) <= _INTEGER_DIGITS_MAX:
        return False
    # As many digits in a row hit a sample at least this often, and few texts do.
    if _DIGIT_SAMPLES not in text[::_SAMPLE_BYTES].translate(_DIGITS):
        return False
    return b"0" * (_INTEGER_DIGITS_MAX + 1) in text.translate(_DIGITS)


def is_deeper(text: bytes, levels: int) -> bool:
    """Return True if arrays and objects are nested deeper than a number of levels.

    A text that is too short to close all of them is no JSON, so the answer for it does not matter.
    """
    if len(text) <= 2 * levels:
        return False
    # split() looks for single bytes faster than count() does, and stops early.
    if len(text.split(b"[", levels + 1)) + len(text.split(b"{", levels + 1)) <= levels + 2:
        return False
    brackets = _square_brackets(text)
    left = brackets
    for closed in range(1, _CLOSED_LEVELS + 1):
        # Without its innermost arrays and objects, a text has at most one level less.
        left = left.replace(b"[]", b"")
        if left.count(b"[") + closed <= levels:
            return False
    return (
        next(filter(levels.__lt__, _depths(brackets)), None) is not None
    )  # stops early where max() would not


def position_below(text: bytes, levels: int) -> int:
    """Return the position of the first bracket that opens a level below ``levels``.

    Raises:
        StopIteration: no bracket does.
    """
    number = next(number for number, depth in enumerate(_depths(_square_brackets(text))) if depth > levels)
    return next(islice(_BRACKET.finditer(blank_strings(text)), number, None)).start()


def open_brackets(text: bytes) -> bytes:
    """Return the brackets that the beginning of a text leaves open, the outermost first."""
    brackets = brackets_of(text)
    try:
        depths = bytes(_depths(brackets.translate(_SQUARE)))
    except ValueError:  # deeper than any valid text
        return b""
    # A bracket that stays open follows the last one after which its level was not reached.
    last = depths[-1] if depths else 0
    return bytes(brackets[depths.rfind(level) + 1] for level in range(last))


def closing_brackets(opened: bytes) -> bytes:
    """Return the brackets that close ``opened``, the innermost first."""
    return opened.translate(_CLOSERS)[::-1]


def last_comma(masked: bytes) -> int:
    """Return the position of the last comma outside of strings; -1 if there is none.

    Args:
        masked: a text, or the beginning of one, from :func:`mask_escapes`.
    """
    end = len(masked)
    parts = masked.split(b'"')
    for number in range(len(parts) - 1, -1, -1):
        end -= len(parts[number])
        if number % 2 == 0 and (found := parts[number].rfind(b",")) >= 0:
            return end + found
        end -= 1
    return -1


def mask_escapes(text: bytes) -> bytes:
    """Replace escaped quotes and backslashes; the length stays the same."""
    return text.replace(b"\\\\", b"__").replace(b'\\"', b"__")


def blank_strings(text: bytes) -> bytes:
    """Replace the content of all strings; the length stays the same."""
    parts = mask_escapes(text).split(b'"')
    parts[1::2] = [b"_" * len(string) for string in parts[1::2]]
    return b'"'.join(parts)


def _outside_of_strings(text: bytes, dropped: bytes) -> bytes:
    """Return the bytes outside of strings, without those of ``dropped``, which must not have quotes."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes in a row are an empty string, or the end of one and the beginning of the next. Without both,
    # every other byte is inside or outside of a string as before.
    kept = text.translate(None, dropped).replace(b'""', b"")
    return b"".join(kept.split(b'"')[::2]) if b'"' in kept else kept


def _square_brackets(text: bytes) -> bytes:
    """Return the brackets outside of strings, all of them square."""
    return brackets_of(text).translate(_SQUARE)


def _depths(brackets: bytes) -> "accumulate[int]":
    """Return the depth after each square bracket."""
    return accumulate(array("b", brackets.translate(_STEPS)))
