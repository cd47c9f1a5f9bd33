"""How a setting is declared: an attrs field with its help text and the checks its value must pass."""

from collections.abc import Callable
from copy import copy
from typing import Any, TypeVar

import attrs

T = TypeVar("T")

# Several limits end up in a C int (socket options, the listen backlog) or a 31-bit protocol field.
INT32_MAX = 2_147_483_647


@attrs.frozen
class Check:
    """A rule for one value. ``says`` completes the sentence "must be ..."."""

    says: str
    holds: Callable[[Any], bool]

    def __call__(self, instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        """The attrs validator, for settings that a program makes itself.

        Raises:
            ValueError: the value breaks the rule.
        """
        if not self.holds(value):
            raise ValueError(f"{attribute.name} must be {self.says}, not {value!r}")


positive = Check("greater than 0", lambda value: value > 0)
not_negative = Check("0 or more", lambda value: value >= 0)


def at_most(limit: float) -> Check:
    """A check for values up to and including ``limit``."""
    return Check(f"at most {limit:_}", lambda value: value <= limit)


def one_of(*choices: str) -> Check:
    """A check for one of some words."""
    return Check("one of " + ", ".join(f'"{choice}"' for choice in choices), lambda value: value in choices)


def setting(default: T, help: str, *checks: Check, secret: bool = False) -> T:
    """Declare a setting.

    Args:
        default: the value when nobody says otherwise; a list is copied for every instance.
        help: what the setting does, with its unit in parentheses; printed in ``conf/streamd.toml``.
        checks: the rules its value must pass.
        secret: the value is masked wherever settings are shown.
    """
    # attrs.field is typed for the class body, where it stands in for the value; so is this.
    field: Any = attrs.field(
        default=attrs.Factory(lambda: copy(default)) if isinstance(default, list) else default,
        validator=list(checks) or None,
        metadata={"default": default, "help": help, "checks": checks, "secret": secret},
    )
    declared: T = field
    return declared


@attrs.frozen
class Setting:
    """One declared setting, as the loader and the reference see it."""

    section: str
    name: str
    type: Any
    default: Any
    help: str
    checks: tuple[Check, ...]
    secret: bool

    @property
    def path(self) -> str:
        """The dotted path, such as ``server.bind``."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable, such as ``STREAMD_SERVER__BIND``."""
        return f"STREAMD_{self.section}__{self.name}".upper()


def settings_of(root: type) -> dict[str, Setting]:
    """Every setting under ``root``, a class whose fields are sections, by path in the order declared."""
    found = {}
    for section in attrs.fields(root):
        for field in attrs.fields(section.type):
            made = Setting(section=section.name, name=field.name, type=field.type, **field.metadata)
            found[made.path] = made
    return found
