"""The items in the database: a restart restores the totals, and the known ids and keys, from them."""

from collections.abc import Sequence
from typing import Any, Final

import apsw
import attrs

from ....database import Database
from ....idempotency import IdempotencyKey
from ....unreadable import DAMAGE, as_text
from ..items import Item
from ..models import Sentiment

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
    """
    CREATE TABLE sentiment_keys (
        key TEXT NOT NULL UNIQUE,      -- the idempotency key of a request with items
        fingerprint BLOB NOT NULL,
        accepted INTEGER NOT NULL,     -- number of its items with an id that was new
        received_ms INTEGER NOT NULL
    );
    CREATE INDEX sentiment_keys_received ON sentiment_keys (received_ms);
    """,
)
_PURGE_ITEMS: Final = (
    "DELETE FROM sentiment_items WHERE rowid IN"
    " (SELECT rowid FROM sentiment_items WHERE received_ms <= ? LIMIT ?)"
)
_PURGE_KEYS: Final = (
    "DELETE FROM sentiment_keys WHERE rowid IN"
    " (SELECT rowid FROM sentiment_keys WHERE received_ms <= ? LIMIT ?)"
)
_COUNT: Final = "SELECT (SELECT count(*) FROM sentiment_items) + (SELECT count(*) FROM sentiment_keys)"
_PAGE_ROWS: Final = 2000  # a page takes a few milliseconds to read
_PURGE_ROWS: Final = 2000  # per transaction, so that other writers get their turn

_PAGE: Final = (
    "SELECT rowid, CAST(item_id AS BLOB), timestamp_ms, CAST(ticker AS BLOB), CAST(sentiment AS BLOB)"
    " FROM sentiment_items WHERE rowid > ? AND timestamp_ms > ? ORDER BY rowid LIMIT ?"
)

Row = tuple[int, str, Sentiment]
"""One item for the totals: timestamp (ms since 1970), ticker, sentiment."""


@attrs.frozen
class InsertedRows:
    """Result of an insert."""

    new: Sequence[Item]  # the items with an unknown id, in request order
    accepted: int  # their number; of a request that was sent again, that of the first time
    rows: int  # number of rows added, of items and keys
    timestamps_ms: Sequence[int]  # the timestamp that is stored for each id, in request order


class ItemTables:
    """The service's tables of items and of idempotency keys.

    ``now_ms`` is steady time (:mod:`streamd.clock`), so that no item is deleted, and no id or key forgotten,
    because the wall clock was set.

    Args:
        database: must not be open yet; the tables are declared on it.
        keep_ms: time from its receipt during which an item or key is kept, and is known.
    """

    def __init__(self, database: Database, keep_ms: int) -> None:
        database.require("sentiment", _MIGRATIONS)
        self._database = database
        self._keep_ms = keep_ms

    async def find_accepted(self, key: IdempotencyKey, now_ms: int) -> int | None:
        """Return the number of items that a request with the key has added; None without such a request.

        Raises:
            IdempotencyConflict: that request had other content.
            Unavailable: the database cannot be read now.
        """
        return await self._database.read(lambda connection: self._find_accepted(connection, key, now_ms))

    async def insert(
        self, items: Sequence[Item], now_ms: int, key: IdempotencyKey | None = None
    ) -> InsertedRows:
        """Insert the items with an unknown id and the key, in one transaction; nothing if the key is known.

        Raises:
            IdempotencyConflict: a request with the key had other content.
            Unavailable: the database cannot write now; nothing was inserted.

        Cancelling takes effect before the transaction or not at all.
        """

        def insert(connection: apsw.Connection) -> InsertedRows:
            new, rows, timestamps_ms = [], 0, []
            accepted = None if key is None else self._find_accepted(connection, key, now_ms)
            if accepted is None:
                self._database.room.check()
            for item in items:
                known: Any = connection.execute(
                    "SELECT received_ms, timestamp_ms FROM sentiment_items WHERE item_id = ?", (item.id,)
                ).fetchone()
                # A damaged row is replaced, as an expired one is.
                readable = known is not None and all(isinstance(value, int) for value in known)
                if readable and known[0] > now_ms - self._keep_ms:
                    timestamps_ms.append(known[1])
                    continue
                timestamps_ms.append(item.timestamp_ms)
                if accepted is not None:  # the request is a retry, and this id has expired since
                    continue
                connection.execute(
                    "INSERT OR REPLACE INTO sentiment_items VALUES (?, ?, ?, ?, ?, ?)",
                    (item.id, item.ticker, item.sentiment.value, item.score, item.timestamp_ms, now_ms),
                )
                rows += known is None
                new.append(item)
            if accepted is None:
                accepted = len(new)
                if key is not None:
                    rows += _insert_key(connection, key, accepted, now_ms)
            return InsertedRows(new, accepted, rows, timestamps_ms)

        return await self._database.write(insert)

    def _find_accepted(self, connection: apsw.Connection, key: IdempotencyKey, now_ms: int) -> int | None:
        row = connection.execute(
            "SELECT fingerprint, accepted FROM sentiment_keys WHERE key = ? AND received_ms > ?",
            (key.name, now_ms - self._keep_ms),
        ).fetchone()
        if row is None:
            return None
        key.check(row[0])
        try:
            return int(row[1])
        except DAMAGE as error:
            raise self._database.unreadable.report("idempotency key", key.name, error) from error

    async def purge_some(self, now_ms: int) -> int:
        """Delete a batch of expired items and keys; return the number deleted, 0 when none was left.

        Raises:
            Unavailable: the database cannot write now.
        """

        def purge(connection: apsw.Connection) -> int:
            deleted = 0
            for statement in (_PURGE_ITEMS, _PURGE_KEYS):
                connection.execute(statement, (now_ms - self._keep_ms, _PURGE_ROWS))
                deleted += connection.changes()
            return deleted

        return await self._database.write(purge)

    async def count(self) -> int:
        """Count the items and keys."""
        return await self._database.read(lambda connection: int(connection.execute(_COUNT).get))

    async def read_page(self, since_ms: int, after: int) -> tuple[int, list[Row]]:
        """Read one page of items in row order, without damaged ones.

        Args:
            since_ms: lower bound of the timestamp, exclusive.
            after: row id that ended the previous page; 0 for the first page.

        Returns:
            The row id that ended this page, 0 after the last page; and the items.
        """

        def read(connection: apsw.Connection) -> tuple[int, list[Row]]:
            found: Any = connection.execute(_PAGE, (after, since_ms, _PAGE_ROWS)).fetchall()
            rows = [self._decode(*columns) for _, *columns in found]
            return found[-1][0] if found else 0, [row for row in rows if row is not None]

        return await self._database.read(read)

    def _decode(self, id: bytes, timestamp_ms: Any, ticker: bytes, sentiment: bytes) -> Row | None:
        try:
            if not isinstance(timestamp_ms, int):
                raise TypeError(f"timestamp_ms is {timestamp_ms!r}")
            return timestamp_ms, ticker.decode(), Sentiment(sentiment.decode())
        except DAMAGE as error:
            self._database.unreadable.report("sentiment item", as_text(id), error)
            return None


def _insert_key(connection: apsw.Connection, key: IdempotencyKey, accepted: int, now_ms: int) -> int:
    """Insert a key in place of an expired one; return the number of rows added."""
    connection.execute("DELETE FROM sentiment_keys WHERE key = ?", (key.name,))
    replaced = connection.changes()
    connection.execute(
        "INSERT INTO sentiment_keys VALUES (?, ?, ?, ?)", (key.name, key.fingerprint, accepted, now_ms)
    )
    return 1 - replaced
