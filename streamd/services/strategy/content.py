"""The educational content: texts to read during the work, each shown after a step, from a TOML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ...config import content_file, read_toml
from ...errors import ConfigError
from .catalogue import SECTIONS

_SETTING: Final = "strategy.content_file"


class _Piece(msgspec.Struct, forbid_unknown_fields=True):
    # Bounded, because a piece goes out in one message and is part of each snapshot after it.
    after: str
    title: Annotated[str, Meta(pattern=r"\S", max_length=200)]
    text: Annotated[str, Meta(pattern=r"\S", max_length=4000)]


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
    file = Path(path) if path else content_file("strategy.toml")
    try:
        pieces = msgspec.convert(read_toml(file, setting=_SETTING), _File).content
    except msgspec.ValidationError as error:
        raise ConfigError(f"{_SETTING}: {file}: {error}", field=_SETTING) from error
    content: dict[str, list[dict[str, Any]]] = {section.name: [] for section in SECTIONS}
    between = [section.name for section in SECTIONS[:-1]]
    for number, piece in enumerate(pieces):
        if piece.after not in between:
            raise ConfigError(
                f"{_SETTING}: {file}: content[{number}].after must be one of {', '.join(between)},"
                f" not {piece.after!r}",
                field=_SETTING,
            )
        content[piece.after].append(
            {"after": piece.after, "title": piece.title.strip(), "text": piece.text.strip()}
        )
    return content
