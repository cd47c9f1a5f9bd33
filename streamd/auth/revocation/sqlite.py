"""Revocations in the database of one node."""

from collections.abc import Sequence
from typing import Any, Final

import apsw

from ...database import Database
from ...unreadable import DAMAGE, as_text
from .port import (
    MAX_REVOCATIONS,
    Revocation,
    RevocationKind,
    RevocationReading,
    expired_until,
    too_many_revocations,
)

_MIGRATIONS: Final = (
    """
    CREATE TABLE revocations (
        kind TEXT NOT NULL,                 -- token or user
        name TEXT NOT NULL,                 -- the id of the token, or the user
        revoked_at_ms INTEGER NOT NULL,     -- milliseconds since 1970
        until_ms INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;
    CREATE INDEX revocations_until ON revocations (until_ms);
    """,
)
_ADD: Final = (
    "INSERT INTO revocations VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " revoked_at_ms = max(revoked_at_ms, excluded.revoked_at_ms),"
    " until_ms = max(until_ms, excluded.until_ms)"
)
_COUNT: Final = "SELECT count(*) FROM revocations WHERE kind = ? AND name <> ?"
_ALL: Final = "SELECT CAST(kind AS BLOB), CAST(name AS BLOB), revoked_at_ms, until_ms FROM revocations"
_DROP: Final = "DELETE FROM revocations WHERE until_ms <= ?"


class SQLiteRevocationStore:
    """Revocations in SQLite; see :class:`.port.RevocationStore`.

    Args:
        database: must not be open yet; the table is declared on it.
        maximum: number of revocations of each kind.
    """

    is_shared: bool = False

    def __init__(self, database: Database, maximum: int = MAX_REVOCATIONS) -> None:
        database.require("revocations", _MIGRATIONS)
        self._database = database
        self._maximum = maximum

    async def add(self, revocations: Sequence[Revocation], now_ms: int) -> None:
        def add(connection: apsw.Connection) -> None:
            connection.execute(_DROP, (expired_until(now_ms),))
            for each in revocations:
                if each.is_expired(now_ms):
                    continue
                if connection.execute(_COUNT, (each.kind.value, each.name)).get >= self._maximum:
                    raise too_many_revocations(each.kind, self._maximum)
                connection.execute(_ADD, (each.kind.value, each.name, each.revoked_at_ms, each.until_ms))

        await self._database.write(add)

    async def read(self) -> RevocationReading:
        rows: Any = await self._database.read(lambda connection: connection.execute(_ALL).fetchall())
        found = [self._decode(*row) for row in rows]
        return RevocationReading([each for each in found if each is not None], is_complete=True)

    def _decode(self, kind: bytes, name: bytes, revoked_at_ms: Any, until_ms: Any) -> Revocation | None:
        try:
            if not isinstance(revoked_at_ms, int) or not isinstance(until_ms, int):
                raise TypeError(f"the times are {revoked_at_ms!r} and {until_ms!r}")
            return Revocation(RevocationKind(kind.decode()), name.decode(), revoked_at_ms, until_ms)
        except DAMAGE as error:
            self._database.unreadable.report("revocation", as_text(name), error)
            return None

    async def drop(self, now_ms: int) -> None:
        await self._database.write(
            lambda connection: connection.execute(_DROP, (expired_until(now_ms),)).fetchall()
        )
