"""The truncation records of the log in SQLite, in memory for readers by pattern."""

from functools import partial
from typing import Any, Final

import apsw
import trio

from ...database import Database
from ...events import EARLIEST, EventId, Selectors
from ..truncation import TruncationRecords
from ..usage import Dropped
from .schema import to_event_id
from .writer import DROPPED_RECORDS_MAX

_READ_AT_ONCE: Final = 1000  # records: taken over in a millisecond

_FOLDED: Final = "SELECT CAST(id AS INTEGER) FROM log_dropped WHERE topic = ''"
_RECORDS: Final = """
    SELECT CAST(topic AS BLOB), id FROM log_dropped
    WHERE topic > CAST(? AS TEXT) AND typeof(topic) = 'text' AND typeof(id) = 'integer'
    ORDER BY topic LIMIT ?
"""


class DroppedRecords:
    """A copy of the records of drops, read from the file for the first reader by pattern.

    Args:
        database: of the log.

    Attributes:
        lock: held while events are dropped, and while a page is read for which the records are searched: so
            both are of one snapshot.
    """

    def __init__(self, database: Database) -> None:
        self.lock = trio.Lock()
        self._database = database
        self._records: TruncationRecords | None = None

    def add(self, dropped: Dropped) -> None:
        """Take over the drops of a committed transaction."""
        if self._records is not None:
            for topic, number in dropped.newest.items():
                self._records.record(topic, to_event_id(number))

    async def find(self, selectors: Selectors, after: EventId) -> EventId:
        """Return the newest selected event that was dropped, if it is after a position; otherwise EARLIEST.

        The caller holds the lock.

        Raises:
            Unavailable: the records cannot be read.
        """
        if self._records is None:
            self._records = await self._read()
        found = await self._records.find(selectors, after)
        return found if found > after else EARLIEST

    async def _read(self) -> TruncationRecords:
        # The file has more records than its bound until they are folded, some seconds later.
        records = TruncationRecords(2 * DROPPED_RECORDS_MAX)
        for (number,) in await self._database.read_beside(_read_folded):
            records.fold_until(to_event_id(number))
        topic: bytes | None = b""
        while topic is not None:
            topic = await self._database.read_beside(partial(_read_records, records=records, after=topic))
        return records


def _read_folded(db: apsw.Connection) -> list[tuple[int]]:
    rows: list[Any] = db.execute(_FOLDED).fetchall()
    return rows


def _read_records(db: apsw.Connection, *, records: TruncationRecords, after: bytes) -> bytes | None:
    """Take over some records, in the reader's thread: as they grow, they are copied, which takes long.

    Returns:
        The last topic; None if there are no more records.
    """
    rows: list[Any] = db.execute(_RECORDS, (after, _READ_AT_ONCE)).fetchall()
    topic = None
    for topic, number in rows:
        # A damaged topic may be no UTF-8; it matches the patterns that match anything there.
        records.record(topic.decode(errors="replace"), to_event_id(number))
    return topic
