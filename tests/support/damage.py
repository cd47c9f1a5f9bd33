"""Damage to rows of a database file, and the records that were found damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw

from streamd.unreadable import UnreadableRecords

NO_JSON: Final[list[Any]] = [b"", b"{", b"\xff\xfe", b"[" * 100_000, "{", 5, 0.5]
"""Values in place of JSON: cut off, no UTF-8, too deep, or of another SQL type."""

JSON_DAMAGE: Final[list[Any]] = [*NO_JSON, b"null", b"[1]", b'{"id":5}']
"""Values in place of a JSON object: no JSON, or of another shape."""


def damage(path: Path | str, sql: str, *values: Any) -> None:
    """Run a statement that damages rows of a file which no process has open."""
    connection = apsw.Connection(str(path))
    connection.execute(sql, values)
    assert connection.changes(), "nothing was damaged"
    connection.close()


def counted(unreadable: UnreadableRecords) -> list[str]:
    """Return the list to which the type of each record is added that is found damaged from now on."""
    found: list[str] = []
    add: Callable[[str], None] = found.append
    unreadable.count = add
    return found
