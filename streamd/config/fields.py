"""The declaration of a setting: an attrs field with its help text and the checks its value must pass.

A section is a frozen attrs class of settings. It may embed a group, which is such a class, too
(:func:`group`), and name settings that contradict each other in a method ``clashes``. The root is an attrs
class of sections. A setting that few operators ever change is declared with :func:`tuning`: the code reads it
like any other (``settings.hub.turn_ms``), the file has it below ``[tuning]`` (``tuning.hub.turn_ms``).

The value of a setting may be a list of tables, ``[[log.retention]]`` in the file: its type is ``list[T]``,
where ``T`` is a frozen attrs class of settings, too. In it, a setting may be :func:`required`, or optional:
of the type ``int | None``, with None as its default. ``T.__attrs_post_init__`` raises ValueError if settings
contradict each other.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_origin

import attrs

T = TypeVar("T")

TUNING: Final = "tuning"
"""The table of the file that holds every setting declared with :func:`tuning`."""
MASK: Final = "********"
"""The text shown in place of a secret."""
INT32_MAX: Final = 2_147_483_647
"""Largest value of limits that end up in a C int (socket options, the listen backlog) or a 31-bit field."""


@attrs.frozen
class Check:
    """A rule for one value. ``says`` completes the sentence "must be ..."."""

    says: str
    holds: Callable[[Any], bool]

    def __call__(self, instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        """Validate a value that a program sets (the attrs validator protocol).

        Raises:
            ValueError: the value breaks the rule.
        """
        if not self.holds(value):
            shown = MASK if attribute.metadata["secret"] else repr(value)
            raise ValueError(f"{attribute.name} must be {self.says}, not {shown}")


positive = Check("greater than 0", lambda value: value > 0)
not_negative = Check("0 or more", lambda value: value >= 0)


def at_least(limit: float) -> Check:
    """Return a check for values from ``limit`` upwards."""
    return Check(f"at least {limit:_}", lambda value: value >= limit)


def at_most(limit: float) -> Check:
    """Return a check for values up to and including ``limit``."""
    return Check(f"at most {limit:_}", lambda value: value <= limit)


def one_of(*choices: str) -> Check:
    """Return a check for one of several words."""
    return Check("one of " + ", ".join(f'"{choice}"' for choice in choices), lambda value: value in choices)


def setting(
    default: T,
    help: str,
    *checks: Check,
    secret: bool = False,
    reload: bool = False,
    example: T | None = None,
) -> T:
    """Declare a setting.

    Args:
        default: the value if no source sets it; a list is copied for every instance.
        help: the purpose of the setting, with its unit in parentheses; printed in ``conf/streamd.toml``.
        checks: the rules its value must pass.
        secret: mask the value in all output. A list of tables is masked as a whole, or not at all.
        reload: it can change while the program runs, see :mod:`.reload`.
        example: a list of tables, printed in ``conf/streamd.toml``; the first has every setting.
    """
    return _declare(default, help, checks, {"secret": secret, "reload": reload, "example": example})


def required(help: str, *checks: Check) -> Any:
    """Declare a setting without a default, which each table of a list must have.

    Args:
        help, checks: as for :func:`setting`.
    """
    return _declare(attrs.NOTHING, help, checks, {"secret": False})


def tuning(default: T, help: str, *checks: Check, reload: bool = False) -> T:
    """Declare a setting for performance work, listed apart from those of everyday operation.

    Args:
        default, help, checks, reload: as for :func:`setting`.
    """
    return _declare(default, help, checks, {TUNING: True, "secret": False, "reload": reload})


def group(default: T, *, tuning: bool = False) -> T:
    """Embed a group of settings in a section, as a table of its own: ``[research.stream]``.

    Args:
        default: an instance of the group's class, with the defaults that hold in this section.
        tuning: list the whole group below ``[tuning]``.
    """
    field: Any = attrs.field(default=default, metadata={TUNING: tuning})
    declared: T = field
    return declared


def _declare(default: T, help: str, checks: tuple[Check, ...], marks: Mapping[str, object]) -> T:
    # attrs.field is typed for the class body, where it stands in for the value; so is this.
    validator: Any = list(checks)
    if checks and default is None:
        validator = attrs.validators.optional(validator)
    field: Any = attrs.field(
        default=attrs.Factory(lambda: copy(default)) if isinstance(default, list) else default,
        validator=validator or None,
        metadata={"help": help, "checks": checks, **marks},
    )
    declared: T = field
    return declared


@attrs.frozen
class Setting:
    """One declared setting, as the loader and the reference see it."""

    attribute: str
    """The dotted path of attributes below the root, such as ``hub.turn_ms``."""
    type: Any
    default: Any
    help: str
    checks: tuple[Check, ...] = ()
    secret: bool = False
    tuning: bool = False
    reload: bool = False
    example: Any = None

    @property
    def path(self) -> str:
        """The dotted path in the file, such as ``server.bind`` or ``tuning.hub.turn_ms``."""
        return f"{TUNING}.{self.attribute}" if self.tuning else self.attribute

    @property
    def table(self) -> str:
        """The table of the file, such as ``tuning.hub``."""
        return self.path.rpartition(".")[0]

    @property
    def section(self) -> str:
        """The section, such as ``hub``."""
        return self.attribute.partition(".")[0]

    @property
    def name(self) -> str:
        """The last part of the path, such as ``turn_ms``."""
        return self.path.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """The environment variable, such as ``STREAMD_TUNING__HUB__TURN_MS``."""
        return "STREAMD_" + self.path.replace(".", "__").upper()


@cache
def settings_of(root: type) -> Mapping[str, Setting]:
    """Return every setting below ``root`` by its path: first those of everyday operation, then tuning.

    Within each part they come as declared, but a table's own settings before its groups, as TOML needs it.
    """
    found = list(_declared(root, root(), "", tuning=False))
    found.sort(key=lambda each: each.tuning)
    return {each.path: each for each in found}


def _declared(cls: type, defaults: Any, prefix: str, *, tuning: bool) -> Iterator[Setting]:
    fields = attrs.fields(cls)
    for field in sorted(fields, key=lambda each: _rank(each.type)) if prefix else fields:
        at, default = prefix + field.name, getattr(defaults, field.name)
        marks = {TUNING: False, **field.metadata}
        marks[TUNING] |= tuning
        if attrs.has(field.type):
            yield from _declared(field.type, default, f"{at}.", tuning=marks[TUNING])
        else:
            yield Setting(attribute=at, type=field.type, default=default, **marks)


def _rank(type_: Any) -> int:
    """Order what TOML needs to follow: values, then lists of tables, then groups."""
    return 2 if attrs.has(type_) else 1 if table_class(type_) else 0


def table_class(type_: Any) -> type | None:
    """Return the class of the tables if the type of a setting is a list of tables, else None."""
    of = get_args(type_)[0] if get_origin(type_) is list else None
    return of if of is not None and attrs.has(of) else None


@cache
def table_settings(cls: type) -> Mapping[str, Setting]:
    """Return the settings of a table in a list, by name. The default of a required one is ``NOTHING``."""
    fields: Any = attrs.fields(cls)
    found = {
        each.name: Setting(attribute=each.name, type=each.type, default=each.default, **each.metadata)
        for each in fields
    }
    assert not any(each.secret for each in found.values()), f"{cls}: declare the list of tables as secret"
    return found


def table_values(table: object) -> dict[str, Any]:
    """Return the settings that a table of a list has, by their names."""
    cls: type = type(table)
    values = {name: getattr(table, name) for name in table_settings(cls)}
    return {name: value for name, value in values.items() if value is not None}


def value_at(settings: object, attribute: str) -> Any:
    """Return the value at a dotted path of attributes."""
    value: Any = settings
    for name in attribute.split("."):
        value = getattr(value, name)
    return value


def sections_within(settings: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield ``settings`` and every section and group in it, each with the prefix of its attribute paths."""
    yield prefix, settings
    cls: Any = type(settings)
    for field in attrs.fields(cls):
        if attrs.has(field.type):
            yield from sections_within(getattr(settings, field.name), f"{prefix}{field.name}.")
