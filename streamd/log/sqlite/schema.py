"""The tables of the log in SQLite, as migrations, and the numbers that stand for event ids."""

from typing import Final

from ...events import EventId
from ...events.ids import make_event_id, split_event_id

COMPONENT: Final = "log"

_SEQUENCE_BITS: Final = 20
_SEQUENCE_MASK: Final = (1 << _SEQUENCE_BITS) - 1
_NUMBER_MAX: Final = (1 << 63) - 1  # of SQLite; only a client's cursor can be beyond it

ID_TEXT: Final = f"printf('%013d-%06d', id >> {_SEQUENCE_BITS}, id & {_SEQUENCE_MASK})"
"""SQL for the event id of a row's number ``id``."""

MIGRATIONS: Final = (
    """
    CREATE TABLE log_events (
        id INTEGER PRIMARY KEY,             -- milliseconds since 1970 * 2^20 + sequence
        at INTEGER NOT NULL,                -- steady time of the append (ms)
        size INTEGER NOT NULL,              -- bytes of topics, type and data
        end INTEGER NOT NULL,               -- the last id of the append
        body TEXT NOT NULL                  -- JSON: the event as it is sent, without its id
    );
    CREATE TABLE log_topics (
        topic TEXT NOT NULL,
        id INTEGER NOT NULL,
        place INTEGER NOT NULL,             -- among the event's topics; 0: the canonical one
        size INTEGER NOT NULL,              -- of the event
        PRIMARY KEY (topic, id)
    ) WITHOUT ROWID;
    CREATE TABLE log_dropped (
        topic TEXT PRIMARY KEY,             -- '': all topics whose records were dropped
        id INTEGER NOT NULL                 -- the newest event that was dropped
    ) WITHOUT ROWID;
    CREATE INDEX log_dropped_by_id ON log_dropped (id);
    CREATE TABLE log_keys (
        publisher TEXT NOT NULL,
        key TEXT NOT NULL,
        id INTEGER NOT NULL,
        fingerprint BLOB NOT NULL,
        at INTEGER NOT NULL,                -- steady time (ms)
        PRIMARY KEY (publisher, key)
    ) WITHOUT ROWID;
    CREATE INDEX log_keys_by_time ON log_keys (at);
    CREATE TABLE log_boundaries (
        start INTEGER PRIMARY KEY,
        last INTEGER NOT NULL
    );
    """,
)


def to_number(event_id: EventId) -> int:
    """Return the number that stands for an event id; it has the same order, up to the year 2248."""
    ms, sequence = split_event_id(event_id)
    return min(ms << _SEQUENCE_BITS | sequence, _NUMBER_MAX)


def to_event_id(number: int) -> EventId:
    """Return the event id that a number stands for."""
    return make_event_id(number >> _SEQUENCE_BITS, number & _SEQUENCE_MASK)
