"""Items on disk: so that a restart keeps the totals, and knows the ids it has seen."""

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
        timestamp_ms INTEGER NOT NULL, -- said by the caller
        received_ms INTEGER NOT NULL
    );
    CREATE INDEX sentiment_items_received ON sentiment_items (received_ms);
    """,
)
_PAGE_ROWS: Final = 2000  # read at once: a few milliseconds
_PURGE_ROWS: Final = 2000  # deleted at once: others want to write, too

Row = tuple[int, int, str, str]
"""What the totals need to know of an item: its row, timestamp (ms since 1970), ticker and sentiment."""


@attrs.frozen
class Inserted:
    """What became of some items."""

    new: Sequence[Item]  # those whose id was not known, in their order
    rows: int  # by how many rows there are more


class Store:
    """The items of the window, in the service's table.

    Args:
        database: not opened yet; it is told of the table.
        keep_ms: an id is known for so long after its item was received, and the item kept.
    """

    def __init__(self, database: Database, keep_ms: int) -> None:
        database.require("sentiment", _MIGRATIONS)
        self._database = database
        self._keep_ms = keep_ms

    async def insert(self, items: Sequence[Item], now_ms: int) -> Inserted:
        """Keep the items whose id is not known, all of them or none. Cancelled before, or not at all.

        Raises:
            Unavailable: the store does not take them now; nothing was kept.
        """

        def insert(connection: apsw.Connection) -> Inserted:
            new, rows = [], 0
            for item in items:
                known = connection.execute(
                    "SELECT received_ms FROM sentiment_items WHERE item_id = ?", (item.id,)
                ).fetchone()
                if known is not None and known[0] > now_ms - self._keep_ms:
                    continue
                connection.execute(
                    "INSERT OR REPLACE INTO sentiment_items VALUES (?, ?, ?, ?, ?, ?)",
                    (item.id, item.ticker, item.sentiment.value, item.score, item.timestamp_ms, now_ms),
                )
                rows += known is None
                new.append(item)
            return Inserted(new, rows)

        return await self._database.write(insert)

    async def purge_some(self, now_ms: int) -> int:
        """Delete some of what has been kept for long enough; returns how many, 0 when there was none.

        Raises:
            Unavailable: the store does not take it now.
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
        """How many items are kept."""
        return await self._database.read(
            lambda connection: int(connection.execute("SELECT count(*) FROM sentiment_items").get)
        )

    async def read_page(self, since_ms: int, after: int) -> list[Row]:
        """Some items in the order of their rows, none if there are no more.

        Args:
            since_ms: only items whose timestamp is later than this.
            after: the last row of the page before; 0 for the first page.
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
