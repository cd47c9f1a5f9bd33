"""From what a file, a variable or a flag gave to the type of the setting, without silent coercion."""

import json
import math
import tomllib
from collections.abc import Callable
from typing import Any, get_origin

import cattrs

from .fields import Setting

_INT_MAX = 2**63 - 1  # what TOML promises for whole numbers

_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: 'a list of texts, such as ["a", "b"]',
}


class WrongTypeError(ValueError):
    """The value is not of the setting's type."""


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
_strict.register_structure_hook(str, _exactly(str))
_strict.register_structure_hook(int, _whole_number)
_strict.register_structure_hook(float, _number)
_strict.register_structure_hook_func(_is_list, _list)


def from_value(value: object, type_: Any) -> Any:
    """The value as ``type_``; only an int may stand for a float, and a tuple for a list.

    Raises:
        WrongTypeError: it has another type, or is a float without a finite value.
    """
    return _strict.structure(value, type_)


def from_text(text: str, type_: Any) -> Any:
    """The value of an environment variable: TOML where that has the right type, else the text as it is.

    A list may also be written with commas between its items, or as one item alone.

    Raises:
        WrongTypeError: the text says no value of ``type_``.
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
    """What ``text`` says as a TOML value; None, which TOML does not have, when it says none."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # plain ValueError: a number with thousands of digits
        return None
    # More keys than ours: the text had lines of its own, and is no value.
    return document["value"] if len(document) == 1 else None


def expected(setting: Setting) -> str:
    """What would be right, such as ``a whole number, greater than 0``."""
    name = _NAMES[get_origin(setting.type) or setting.type]
    return ", ".join([name, *(check.says for check in setting.checks)])


def to_toml(value: object) -> str:
    """A value as TOML writes it; whole numbers of five digits and more are grouped."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) > _INT_MAX:
            return hex(value)  # only in messages; decimal digits are limited by Python
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, str):
        # JSON's text is TOML's basic string, but for DEL, which only TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
