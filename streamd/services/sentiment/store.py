"""The items in the database: a restart restores the totals and the known ids from them."""

from collections.abc import Sequence
from typing import Any, Final

import apsw
import attrs

from ...database import Database
from .items import Item

_MIGRATIONS: Final = (
    """
    CREATE TABLE sentiment_items (
        item_id TEXT NOT NULL UNIQUE,
        ticker TEXT NOT NULL,
        sentiment TEXT NOT NULL,
        score REAL NOT NULL,
        timestamp_ms INTEGER NOT NULL, -- as the caller gave it
        received_ms INTEGER NOT NULL
    );
    CREATE INDEX sentiment_items_received ON sentiment_items (received_ms);
    """,
)
_PAGE_ROWS: Final = 2000  # a page takes a few milliseconds to read
_PURGE_ROWS: Final = 2000  # per transaction, so that other writers get their turn

Row = tuple[int, int, str, str]
"""One item for the totals: row id, timestamp (ms since 1970), ticker, sentiment."""


@attrs.frozen
class Inserted:
    """Result of an insert."""

    new: Sequence[Item]  # the items with an unknown id, in request order
    rows: int  # number of rows added
    timestamps_ms: Sequence[int]  # the timestamp that is stored for each id, in request order


class ItemStore:
    """The service's table of items.

    Args:
        database: must not be open yet; the table is declared on it.
        keep_ms: time from an item's receipt during which it is kept and its id is known.
    """

    def __init__(self, database: Database, keep_ms: int) -> None:
        database.require("sentiment", _MIGRATIONS)
        self._database = database
        self._keep_ms = keep_ms

    async def insert(self, items: Sequence[Item], now_ms: int) -> Inserted:
        """Insert the items with an unknown id, in one transaction.

        Raises:
            Unavailable: the database cannot write now; nothing was inserted.

        Cancelling takes effect before the transaction or not at all.
        """

        def insert(connection: apsw.Connection) -> Inserted:
            new, rows, timestamps_ms = [], 0, []
            for item in items:
                known = connection.execute(
                    "SELECT received_ms, timestamp_ms FROM sentiment_items WHERE item_id = ?", (item.id,)
                ).fetchone()
                if known is not None and known[0] > now_ms - self._keep_ms:
                    timestamps_ms.append(known[1])
                    continue
                connection.execute(
                    "INSERT OR REPLACE INTO sentiment_items VALUES (?, ?, ?, ?, ?, ?)",
                    (item.id, item.ticker, item.sentiment.value, item.score, item.timestamp_ms, now_ms),
                )
                rows += known is None
                new.append(item)
                timestamps_ms.append(item.timestamp_ms)
            return Inserted(new, rows, timestamps_ms)

        return await self._database.write(insert)

    async def purge_some(self, now_ms: int) -> int:
        """Delete a batch of expired items; return the number deleted, 0 when none was left.

        Raises:
            Unavailable: the database cannot write now.
        """

        def purge(connection: apsw.Connection) -> int:
            connection.execute(
                "DELETE FROM sentiment_items WHERE rowid IN"
                " (SELECT rowid FROM sentiment_items WHERE received_ms <= ? LIMIT ?)",
                (now_ms - self._keep_ms, _PURGE_ROWS),
            )
            return connection.changes()

        return await self._database.write(purge)

    async def count(self) -> int:
        """Count the items."""
        return await self._database.read(
            lambda connection: int(connection.execute("SELECT count(*) FROM sentiment_items").get)
        )

    async def read_page(self, since_ms: int, after: int) -> list[Row]:
        """Read one page of items in row order; empty after the last one.

        Args:
            since_ms: lower bound of the timestamp, exclusive.
            after: row id that ended the previous page; 0 for the first page.
        """

        def read(connection: apsw.Connection) -> list[Row]:
            found: Any = connection.execute(
                "SELECT rowid, timestamp_ms, ticker, sentiment FROM sentiment_items"
                " WHERE rowid > ? AND timestamp_ms > ? ORDER BY rowid LIMIT ?",
                (after, since_ms, _PAGE_ROWS),
            )
            rows: list[Row] = found.fetchall()
            return rows

        return await self._database.read(read)
