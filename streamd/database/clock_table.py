"""The record of the steady clock in the database, from which the next process continues."""

from datetime import UTC, datetime, timedelta
from typing import Final

import apsw
import structlog

from ..clock import BootTime, ClockRecord
from ..unreadable import DAMAGE

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_log = structlog.get_logger(__name__)

CLOCK_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS clock (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        steady_us INTEGER NOT NULL,         -- microseconds since 1970
        offset_us INTEGER NOT NULL
    );
    -- In a table of its own, which files of earlier versions lack, and which those versions leave as it is.
    CREATE TABLE IF NOT EXISTS clock_boot (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        steady_us INTEGER NOT NULL,         -- of the record that it belongs to
        boot TEXT NOT NULL,
        elapsed_us INTEGER NOT NULL
    )
"""


def read_clock(connection: apsw.Connection) -> ClockRecord | None:
    """Return the record; None if there is none, or if it is damaged."""
    row = connection.execute(
        "SELECT clock.steady_us, offset_us, boot, elapsed_us"
        " FROM clock LEFT JOIN clock_boot USING (id, steady_us)"
    ).fetchone()
    if row is None:
        return None
    try:
        booted = None if row[2] is None else BootTime(row[2], row[3] * _MICROSECOND)
        return ClockRecord(_EPOCH + row[0] * _MICROSECOND, row[1] * _MICROSECOND, booted)
    except DAMAGE:
        _log.error("clock_record_unreadable", record=repr(row)[:100])
        return None


def store_clock(record: ClockRecord, connection: apsw.Connection) -> None:
    """Replace the record."""
    steady_us = (record.steady - _EPOCH) // _MICROSECOND
    connection.execute(
        "INSERT OR REPLACE INTO clock VALUES (1, ?, ?)", (steady_us, record.offset // _MICROSECOND)
    )
    if record.booted is not None:
        connection.execute(
            "INSERT OR REPLACE INTO clock_boot VALUES (1, ?, ?, ?)",
            (steady_us, record.booted.boot, record.booted.elapsed // _MICROSECOND),
        )
