"""The educational content: texts to read during the work, each shown after a step, from a TOML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from ...config import content_file, read_toml
from ...errors import ConfigError
from .catalogue import SECTIONS

DEFAULT_FILE: Final = "strategy.toml"

_SETTING: Final = "strategy.content_file"
# A piece goes out in one message and is part of each snapshot after it.
_TEXT_CHARS_MAX: Final = 4000
_TITLE_CHARS_MAX: Final = 200


class _Piece(msgspec.Struct, forbid_unknown_fields=True):
    after: str
    title: str
    text: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    content: list[_Piece] = []


EducationalContent = Mapping[str, Sequence[dict[str, Any]]]
"""The pieces to show after each step: JSON objects with ``after``, ``title`` and ``text``."""


def load_content(path: str = "") -> EducationalContent:
    """Read a file of educational content.

    Args:
        path: of the file; empty for the one that comes with streamd.

    Raises:
        ConfigError: the file cannot be read, is not valid TOML, or a value in it is invalid. The detail names
            the file and the key.
    """
    file = Path(path) if path else content_file(DEFAULT_FILE)
    try:
        pieces = msgspec.convert(read_toml(file, setting=_SETTING), _File).content
    except msgspec.ValidationError as error:
        raise ConfigError(f"{_SETTING}: {file}: {error}", field=_SETTING) from error
    content: dict[str, list[dict[str, Any]]] = {section.name: [] for section in SECTIONS}
    for number, piece in enumerate(pieces):
        if fault := _find_fault(piece):
            raise ConfigError(f"{_SETTING}: {file}: content[{number}].{fault}", field=_SETTING)
        content[piece.after].append(
            {"after": piece.after, "title": piece.title.strip(), "text": piece.text.strip()}
        )
    return content


def _find_fault(piece: _Piece) -> str:
    between = [section.name for section in SECTIONS[:-1]]
    if piece.after not in between:
        return f"after must be one of {', '.join(between)}, not {piece.after!r}"
    for name, text, limit in (
        ("title", piece.title, _TITLE_CHARS_MAX),
        ("text", piece.text, _TEXT_CHARS_MAX),
    ):
        if not text.strip():
            return f"{name} must not be empty"
        if len(text) > limit:
            return f"{name} may have at most {limit} characters, and has {len(text)}"
    return ""
