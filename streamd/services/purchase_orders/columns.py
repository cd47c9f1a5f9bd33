"""Names of the columns of a CSV order and the members of a JSON order, with their synonyms."""

import re
from pathlib import Path
from typing import Any, Final

from ...config import read_toml

_SYNONYMS: Final[dict[str, Any]] = read_toml(Path(__file__).with_name("data") / "columns.toml")
_LINE: Final = {name: field for field, names in _SYNONYMS["line"].items() for name in names}
_ORDER: Final = {name: field for field, names in _SYNONYMS["order"].items() for name in names}
_NAME_CHARS_MAX: Final = 100  # a longer name is unknown


def plain_name(name: str) -> str:
    """Normalize a name: ``unitPrice`` and ``Unit_Price:`` become ``unit price``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[\W_]+", " ", re.sub(r"#", " no ", spaced)).strip().lower()


def line_field(name: str) -> str | None:
    """Return the field of a line item for a column name; None if the name is unknown."""
    return _LINE.get(plain_name(name)) if len(name) <= _NAME_CHARS_MAX else None


def order_field(name: str) -> str | None:
    """Return the field of the order for a member name; None if the name is unknown."""
    return _ORDER.get(plain_name(name)) if len(name) <= _NAME_CHARS_MAX else None


def is_lines(name: str) -> bool:
    """Return True if the member of that name holds the lines."""
    return len(name) <= _NAME_CHARS_MAX and plain_name(name) in _SYNONYMS["lines"]
