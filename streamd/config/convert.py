"""Conversion of values from a file, a variable or a flag to their settings' types, without coercion.

The tables of a list are checked as sections are: :class:`InvalidValueError` has every mistake in all of them,
each with the part of the value that is wrong.
"""

import difflib
import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin

import attrs
import cattrs

from ..characters import TextKind, find_invalid
from .fields import Setting, table_class, table_settings, table_values

_INT_MAX = 2**63 - 1  # the range that TOML guarantees for whole numbers

_NO_VALUE: Final = object()  # of no type that a setting has; None is one of an optional setting
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")

_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text on one line, without control characters",
    list: 'a list of texts on one line, without control characters, such as ["a", "b"]',
}


class WrongTypeError(ValueError):
    """A value that is not of its setting's type."""


@attrs.frozen
class Mistake:
    """One mistake in a value.

    Args:
        part: the part of the value that is wrong, as it follows the setting's path: ``[1].max_events``, or
            nothing for the value as a whole.
        value: the value of this part.
        right: completes "PATH = VALUE: ".
    """

    part: str
    value: object
    right: str


class InvalidValueError(ValueError):
    """A value that its setting cannot have, with every mistake in it."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__()
        self.mistakes = mistakes

    def within(self, part: str) -> tuple[Mistake, ...]:
        """Return the mistakes of a value that is itself a part of another."""
        return tuple(attrs.evolve(each, part=part + each.part) for each in self.mistakes)


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


def _tables(value: Any, type_: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise WrongTypeError
    cls = table_class(type_)
    assert cls is not None
    tables: list[Any] = []
    mistakes: list[Mistake] = []
    for index, item in enumerate(value):
        try:
            tables.append(_table(item, cls))
        except InvalidValueError as error:
            mistakes += error.within(f"[{index}]")
    if mistakes:
        raise InvalidValueError(*mistakes)
    return tables


def _table(value: Any, cls: type) -> Any:
    if isinstance(value, cls):
        return value
    if not isinstance(value, dict):
        raise InvalidValueError(Mistake("", value, "must be a table"))
    known = table_settings(cls)
    values: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for name, given in value.items():
        if name not in known:
            mistakes.append(Mistake(f".{_key(name)}", given, _unknown_name(name, known)))
            continue
        try:
            values[name] = read_value(known[name], given)
        except InvalidValueError as error:
            mistakes += error.within(f".{name}")
    missing = [name for name, each in known.items() if each.default is attrs.NOTHING and name not in value]
    mistakes += [Mistake("", value, f"must have {name}") for name in missing]
    if not mistakes:
        try:
            return cls(**values)
        except ValueError as error:  # the single values are right, their combination is not
            mistakes.append(Mistake("", value, str(error)))
    raise InvalidValueError(*mistakes)


def _unknown_name(name: str, known: Mapping[str, Setting]) -> str:
    closest = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {closest[0]}?" if closest else "there are " + ", ".join(known)
    return f"there is no such setting; {advice}"


_strict = cattrs.Converter(detailed_validation=False)
_strict.register_structure_hook(bool, _exactly(bool))
_strict.register_structure_hook(str, _text)
_strict.register_structure_hook(int, _whole_number)
_strict.register_structure_hook(float, _number)
_strict.register_structure_hook_func(_is_list, _list)
_strict.register_structure_hook_func(lambda type_: table_class(type_) is not None, _tables)


def from_value(value: object, type_: Any) -> Any:
    """Return the value as ``type_``. Only an int may stand for a float, and a tuple for a list.

    Raises:
        WrongTypeError: the value has another type, or is a float without a finite value.
        InvalidValueError: it is a list of tables, and there are mistakes in these.
    """
    return _strict.structure(value, type_)


def read_value(setting: Setting, given: Any, convert: Callable[[Any, Any], Any] = from_value) -> Any:
    """Return a value in the type of its setting, with its checks passed.

    Raises:
        InvalidValueError: the value has another type, or breaks a rule.
    """
    try:
        value = convert(given, setting.type)
    except WrongTypeError:
        fits = False
    else:
        fits = value is None or all(check.holds(value) for check in setting.checks)
    if not fits:
        raise InvalidValueError(Mistake("", given, f"must be {expected(setting)}"))
    return value


def from_text(text: str, type_: Any) -> Any:
    """Return the value of an environment variable: its TOML value if that has the right type, else the text.

    A list may also be written as a single item, and a list of texts with commas between its items.

    Raises:
        WrongTypeError: the text has no value of ``type_``.
        InvalidValueError: as :func:`from_value`.
    """
    parsed = _toml_value(text)
    is_list = _is_list(type_)
    of_tables = table_class(type_) is not None
    if is_list and isinstance(parsed, dict if of_tables else str):
        parsed = [parsed]
    try:
        return from_value(parsed, type_)
    except WrongTypeError:
        if type_ is str:
            return text
        if not is_list or isinstance(parsed, list) or (of_tables and text.strip()):
            raise
    items = [item.strip() for item in text.split(",")]
    return from_value([item for item in items if item], type_)


def _toml_value(text: str) -> object:
    """Return the TOML value in ``text``; an object that is no TOML value if there is none."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # plain ValueError: a number with thousands of digits
        return _NO_VALUE
    # More than one key: the text had several lines, and is not a value.
    return document["value"] if len(document) == 1 else _NO_VALUE


def expected(setting: Setting) -> str:
    """Describe the valid values of a setting, such as ``a whole number, greater than 0``."""
    if table_class(setting.type) is not None:
        name = f"a list of tables: write [[{setting.path}]] above each, or [{{NAME = VALUE, ...}}, ...]"
    else:
        type_ = _without_none(setting.type)
        name = _NAMES[get_origin(type_) or type_]
    return ", ".join([name, *(check.says for check in setting.checks)])


def _without_none(type_: Any) -> Any:
    """Return ``int`` for ``int | None``, and any other type unchanged."""
    if not isinstance(type_, UnionType):
        return type_
    return next(each for each in get_args(type_) if each is not NoneType)


def to_toml(value: object) -> str:
    """Format a value as TOML, with the digits of whole numbers from 10_000 on grouped."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(name)} = {to_toml(item)}" for name, item in value.items()) + "}"
    if attrs.has(type(value)):
        return to_toml(table_values(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and 10_000 <= abs(value) < 1e15:
        return f"{value:_}"
    if isinstance(value, int):
        if abs(value) > _INT_MAX:
            return hex(value)  # only in messages; decimal digits are limited by Python
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, str):
        return _quoted(value)
    return repr(value)


def _key(name: object) -> str:
    text = str(name)
    return text if _BARE_KEY.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    # A JSON string is a basic string of TOML, except that TOML requires DEL to be escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
