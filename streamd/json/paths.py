"""The path of a value in a JSON text, by its position.

The text before a value, with its open brackets closed, is valid JSON whose last value is at the same path. So
a path costs about as much as decoding, however large the text is.
"""

import json
import re
from typing import Any, Final

from .structure import closing_brackets, mask_escapes, open_brackets

Path = list[str | int]
"""The names of members and the indexes of items that lead to a value, the outermost first."""

_NAME_CHARS: Final = 60  # of one name
_PATH_CHARS: Final = 200
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_$][\w$-]*", re.ASCII)


class _Members(list[tuple[str, Any]]):
    """The members of an object in their order, repeated names included."""


def path_at(text: bytes, position: int) -> Path:
    """Return the path of the value at a position, or of the object with the name there.

    The path is empty if neither is there.
    """
    masked = mask_escapes(text)
    if masked.count(b'"', 0, position) % 2:
        position = masked.rfind(b'"', 0, position)  # the beginning of the string around it
    path = path_to(text, position)
    if path is None:
        member = path_to(text, position, b'"":null')
        path = member[:-1] if member else []
    return path


def path_to(text: bytes, end: int, value: bytes = b"null") -> Path | None:
    """Return the path of a value that follows the beginning of a text; None if none may follow there.

    Args:
        text: the text, valid up to ``end``.
        end: the end of the beginning.
        value: stands for the value; empty for the last one of the beginning.
    """
    opened = open_brackets(text[:end])
    try:
        found = json.loads(
            (text[:end] + value + closing_brackets(opened)).decode(),
            object_pairs_hook=_Members,
            parse_int=str,
            parse_float=str,
        )
    except (ValueError, RecursionError):
        return None
    path: Path = []
    for _ in opened:
        if isinstance(found, _Members):
            name, found = found[-1]
            path.append(name)
        else:
            path.append(len(found) - 1)
            found = found[-1]
    return path


def show(path: Path, root: str = "") -> str:
    """Write a path as errors name fields: ``items[3].ticker``.

    Args:
        path: the path.
        root: the field that the path begins at; empty for none.
    """
    shown = root
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        elif _PLAIN_NAME.fullmatch(part):
            shown += f".{part}" if shown else part
        else:
            shown += f"[{json.dumps(cut(part), ensure_ascii=False)}]"
    return shown[:_PATH_CHARS]


def cut(name: str) -> str:
    """Shorten a name, and replace characters that UTF-8 cannot encode."""
    return name.encode(errors="replace").decode()[:_NAME_CHARS]
