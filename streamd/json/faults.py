"""The errors of JSON texts: one true sentence for each fault, with the path of the wrong value."""

import json
import math
import re
from contextlib import suppress
from typing import Any, Final

import attrs
import msgspec

from ..errors import InvalidBody
from .paths import Path, cut, path_at, path_to, show
from .structure import blank_strings, mask_escapes, position_below

HALF_PAIR: Final = "has half of a surrogate pair, which UTF-8 cannot encode"
NOT_FINITE: Final = "must be a finite number (JSON has no NaN and no Infinity)"
OUT_OF_RANGE: Final = "is a number too large for a 64-bit float (1.8e308)"
BOM: Final = "begins with a byte order mark, which JSON must not have"

_REPEATED: Final = "has an object with two members of one name"
_MALFORMED: Final = "JSON is malformed: "  # in msgspec's errors, as the next
_TRUNCATED: Final = "Input data was truncated"
_BOM_BYTES: Final = b"\xef\xbb\xbf"
_NOT_FINITE: Final = re.compile(rb"NaN|Infinity")
# A leading half that no trailing one follows, or a trailing one after no leading one.
_HALF_PAIR: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
# Numbers that may be out of range: with an exponent, or with more digits than any 64-bit float. The valid
# beginning of a malformed one counts, such as 1.2 of 1.2.3.
_LARGE_NUMBER: Final = re.compile(
    rb"(?<![0-9.eE+-])-?(?:[0-9]++(?:\.[0-9]++)?[eE][+-]?[0-9]++|[0-9]{309,}+(?:\.[0-9]*+)?)"
)
# The texts of msgspec's errors.
_OFFSET: Final = re.compile(r"\(byte (\d+)\)$")
_PATH: Final = re.compile(r" - at `\$(?P<path>.*)`$")
_NAMED: Final = re.compile(r"(?:required|unknown) field `(?P<name>[^`]*)`")
DESCRIBED_BYTES_MAX: Final = 65_536
"""Of a larger text, a fault has no path: that takes a second a megabyte."""

_LONG_INTEGER: Final = re.compile(rb"(?<![0-9.eE+-])-?[0-9]{309,}+(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?")
_QUOTED_CHARS: Final = 200  # such a text may quote a name that is as long as the JSON itself


@attrs.frozen
class FaultyText:
    """A text that is not within the profile; each method describes one kind of fault.

    Args:
        raw: the text.
        noun: its name in sentences.
        field: the field that it is the value of; empty if the text has fields itself.
        shift: the position of a piece of a larger text; None for a whole one. Faults of a piece have no path.
    """

    raw: bytes
    noun: str
    field: str
    shift: int | None = None

    def is_deeper(self, levels: int, shown_levels: int) -> InvalidBody:
        """Describe a text with more than ``levels`` levels, by the outermost field that has them."""
        path: Path = []
        if not self.field and not self.shift:
            beginning = self.raw[:DESCRIBED_BYTES_MAX]
            with suppress(StopIteration):  # it is deeper behind that
                path = path_to(beginning, position_below(beginning, levels)) or []
        names = [index for index, part in enumerate(path) if isinstance(part, str)]
        outermost = path[: names[0] + 1] if names else []
        return self._fault(outermost, f"is nested deeper than {shown_levels} levels")

    def is_undecodable(self, error: Exception) -> InvalidBody:
        """Describe a text that msgspec cannot decode, although its levels are within the limit."""
        if not self.raw.strip():
            return self._fault([], "is empty")
        if self.raw.startswith(_BOM_BYTES):
            return self._fault([], BOM)
        try:
            text = self.raw.decode()
        except UnicodeDecodeError as undecodable:
            position = undecodable.start
            return self._fault_at(position, f"is not valid UTF-8 (byte {position + (self.shift or 0)})")
        if (found := _HALF_PAIR.search(mask_escapes(self.raw))) is not None:
            return self._fault_at(found.start(), HALF_PAIR)
        if self._is_large:
            return self._fault([], f"is not valid JSON: {_describe_error(error, self.shift or 0)}")
        if (offset := _OFFSET.search(str(error))) is not None:
            position = int(offset[1])
            if _NOT_FINITE.match(self.raw, position):
                position -= self.raw[position - 1 : position] == b"-"
                return self._fault_at(position, NOT_FINITE)
        if isinstance(error, msgspec.ValidationError) and (fault := self._overflowing_number()) is not None:
            return fault
        return self._fault([], f"is not valid JSON: {_describe_syntax(text, error)}")

    def has_repeated_name(self) -> InvalidBody:
        """Describe the first object with two members of one name."""
        if self._is_large:
            return self._fault([], _REPEATED)
        objects = 0  # whose end was read

        def check(pairs: list[tuple[str, Any]]) -> None:
            nonlocal objects
            if len(dict(pairs)) != len(pairs):
                raise _RepeatedName(pairs)
            objects += 1

        try:
            json.loads(self.raw.decode(), object_pairs_hook=check, parse_int=str, parse_float=str)
        except _RepeatedName as repeated:
            name = repeated.name
        else:
            return self._fault([], _REPEATED)
        before = blank_strings(self.raw).split(b"}", objects + 1)[: objects + 1]
        end_of_object = sum(map(len, before)) + objects
        path = (path_to(self.raw, end_of_object, b"") or [""])[:-1]
        where = show(path, self.field) or self.noun
        shown = json.dumps(cut(name), ensure_ascii=False)
        return InvalidBody(f"{where} has two members named {shown}", field=show([*path, name], self.field))

    def integer_out_of_range(self) -> InvalidBody | None:
        """Describe the first long integer that no 64-bit float can hold; None if there is none."""
        return self._find_infinite(_LONG_INTEGER)

    def _overflowing_number(self) -> InvalidBody | None:
        """Describe the first number that no 64-bit float can hold; None if there is none."""
        return self._find_infinite(_LARGE_NUMBER)

    def _find_infinite(self, numbers: re.Pattern[bytes]) -> InvalidBody | None:
        for found in numbers.finditer(blank_strings(self.raw)):
            if math.isinf(float(found[0])):
                if self._is_large:
                    return self._fault([], f"has {OUT_OF_RANGE.removeprefix('is ')}")
                return self._fault_at(found.start(), OUT_OF_RANGE)
        return None

    def has_half_pair(self) -> InvalidBody:
        """Describe a Python text that UTF-8 cannot encode."""
        return self._fault([], HALF_PAIR)

    def has_other_shape(self, error: msgspec.ValidationError) -> InvalidBody:
        """Describe a text of another shape than the expected one."""
        message = str(error)
        path = match["path"] if (match := _PATH.search(message)) else ""
        name = match["name"] if (match := _NAMED.search(message)) else ""
        shown = ".".join(part for part in (path.removeprefix("."), name) if part)
        sentence = _PATH.sub("", message)
        return InvalidBody(sentence[:_QUOTED_CHARS], field=shown[:_QUOTED_CHARS] or None)

    def _fault_at(self, position: int, predicate: str) -> InvalidBody:
        return self._fault([] if self._is_large else path_at(self.raw, position), predicate)

    @property
    def _is_large(self) -> bool:
        return self.shift is not None or len(self.raw) > DESCRIBED_BYTES_MAX

    def _fault(self, path: Path, predicate: str) -> InvalidBody:
        shown = show(path, self.field)
        return InvalidBody(f"{shown or self.noun} {predicate}", field=shown or None)


def describe_unencodable(error: Exception, levels: int) -> str:
    """Return the predicate for a value of a program that cannot be encoded."""
    if isinstance(error, UnicodeEncodeError):
        return HALF_PAIR
    if isinstance(error, RecursionError):  # a cycle is one, too
        return f"is nested deeper than {levels} levels"
    if "integer string conversion" in str(error):  # Python's error for more than 4300 digits
        return OUT_OF_RANGE
    return f"must be a JSON value: {error}"


class _RepeatedName(Exception):
    """Raised inside the decoder, at the end of an object with two members of one name."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__()
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                break
            seen.add(name)
        self.name = name


def _describe_error(error: Exception, shift: int) -> str:
    """Describe an error of msgspec without another pass over the text, so with no path."""
    text = _PATH.sub("", str(error).removeprefix(_MALFORMED))
    text = _OFFSET.sub(lambda found: f"(byte {int(found[1]) + shift})", text)
    return "it ends too early" if text == _TRUNCATED else text[:_QUOTED_CHARS].lower()


def _describe_syntax(text: str, error: Exception) -> str:
    """Describe a syntax error by the standard library, whose positions are exact."""
    try:
        json.loads(text)
    except json.JSONDecodeError as fault:
        if fault.pos >= len(text) or fault.msg.startswith("Unterminated"):
            return "it ends too early"
        position = len(text[: fault.pos].encode())
        if fault.msg == "Extra data":
            return f"it goes on after its end (byte {position})"
        return f"{fault.msg.removesuffix(' at').lower()} (byte {position})"
    except (ValueError, RecursionError):
        pass
    return str(error)
