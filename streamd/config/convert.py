"""Conversion of values from a file, a variable or a flag to their settings' types, without coercion."""

import json
import math
import tomllib
from collections.abc import Callable
from typing import Any, get_origin

import cattrs

from ..characters import TextKind, find_invalid
from .fields import Setting

_INT_MAX = 2**63 - 1  # the range that TOML guarantees for whole numbers

_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text on one line, without control characters",
    list: 'a list of texts on one line, without control characters, such as ["a", "b"]',
}


class WrongTypeError(ValueError):
    """A value that is not of its setting's type."""


def _exactly(wanted: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        # `type` and not isinstance: in Python True is an int, in a configuration it is a mistake.
        if type(value) is not wanted:
            raise WrongTypeError
        return value

    return structure


def _whole_number(value: Any, _: Any) -> int:
    if type(value) is not int or abs(value) > _INT_MAX:
        raise WrongTypeError
    return value


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise WrongTypeError
    try:
        number = float(value)
    except OverflowError:
        raise WrongTypeError from None
    if not math.isfinite(number):
        raise WrongTypeError
    return number


def _text(value: Any, _: Any) -> str:
    # A name of a file or host with a NUL would fail later, as an error of the operating system's interface.
    if type(value) is not str or find_invalid(value, TextKind.LINE):
        raise WrongTypeError
    return value


def _is_list(type_: Any) -> bool:
    origin: object = get_origin(type_)
    return origin is list


def _list(value: Any, type_: Any) -> list[Any]:
    # Left alone, cattrs makes a list of any iterable, such as the letters of a text.
    if not isinstance(value, list | tuple):
        raise WrongTypeError
    return [_strict.structure(item, type_.__args__[0]) for item in value]


_strict = cattrs.Converter(detailed_validation=False)
_strict.register_structure_hook(bool, _exactly(bool))
_strict.register_structure_hook(str, _text)
_strict.register_structure_hook(int, _whole_number)
_strict.register_structure_hook(float, _number)
_strict.register_structure_hook_func(_is_list, _list)


def from_value(value: object, type_: Any) -> Any:
    """Return the value as ``type_``. Only an int may stand for a float, and a tuple for a list.

    Raises:
        WrongTypeError: the value has another type, or is a float without a finite value.
    """
    return _strict.structure(value, type_)


def from_text(text: str, type_: Any) -> Any:
    """Return the value of an environment variable: its TOML value if that has the right type, else the text.

    A list may also be written with commas between its items, or as a single item.

    Raises:
        WrongTypeError: the text has no value of ``type_``.
    """
    parsed = _toml_value(text)
    is_list = _is_list(type_)
    if is_list and isinstance(parsed, str):
        parsed = [parsed]
    try:
        return from_value(parsed, type_)
    except WrongTypeError:
        if type_ is str:
            return text
        if not is_list or isinstance(parsed, list):
            raise
    items = [item.strip() for item in text.split(",")]
    return from_value([item for item in items if item], type_)


def _toml_value(text: str) -> object:
    """Return the TOML value in ``text``; None, which no TOML value is, if there is none."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # plain ValueError: a number with thousands of digits
        return None
    # More than one key: the text had several lines, and is not a value.
    return document["value"] if len(document) == 1 else None


def expected(setting: Setting) -> str:
    """Describe the valid values of a setting, such as ``a whole number, greater than 0``."""
    name = _NAMES[get_origin(setting.type) or setting.type]
    return ", ".join([name, *(check.says for check in setting.checks)])


def to_toml(value: object) -> str:
    """Format a value as TOML, with the digits of whole numbers from 10_000 on grouped."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and 10_000 <= abs(value) < 1e15:
        return f"{value:_}"
    if isinstance(value, int):
        if abs(value) > _INT_MAX:
            return hex(value)  # only in messages; decimal digits are limited by Python
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, str):
        # A JSON string is a basic string of TOML, except that TOML requires DEL to be escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
