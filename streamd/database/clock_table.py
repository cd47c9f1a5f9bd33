"""The record of the steady clock in the database, from which the next process continues."""

from datetime import UTC, datetime, timedelta
from typing import Final

import apsw
import structlog

from ..clock import ClockRecord
from ..unreadable import DAMAGE

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_log = structlog.get_logger(__name__)

CLOCK_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS clock (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        steady_us INTEGER NOT NULL,         -- microseconds since 1970
        offset_us INTEGER NOT NULL
    )
"""


def read_clock(connection: apsw.Connection) -> ClockRecord | None:
    """Return the record; None if there is none, or if it is damaged."""
    row = connection.execute("SELECT steady_us, offset_us FROM clock").fetchone()
    if row is None:
        return None
    try:
        return ClockRecord(_EPOCH + row[0] * _MICROSECOND, row[1] * _MICROSECOND)
    except DAMAGE:
        _log.error("clock_record_unreadable", record=repr(row)[:100])
        return None


def store_clock(record: ClockRecord, connection: apsw.Connection) -> None:
    """Replace the record."""
    connection.execute(
        "INSERT OR REPLACE INTO clock VALUES (1, ?, ?)",
        ((record.steady - _EPOCH) // _MICROSECOND, record.offset // _MICROSECOND),
    )
