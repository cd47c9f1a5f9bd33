"""The statements of the log's writer: starting, appending and dropping. They run in the database's thread."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw
import attrs

from ...events import Draft, EventId, IdSequence
from ...events.event import encode_members
from ..boundaries import BOUNDARIES_MAX, Boundary
from ..keys import KnownKey, fingerprints
from ..port import Condition, Receipt, Refusal
from ..usage import WHOLE, Dropped, Excess, StoredCounts
from .schema import to_event_id, to_number

DROPPED_RECORDS_MAX: Final = 100_000
"""Topics for which the log remembers how far it dropped events: some MB. The oldest records are folded into
one, which may report a gap where there was none."""


# --- starting -------------------------------------------------------------------------------------------


@attrs.frozen
class Contents:
    """The contents that a log finds when it starts.

    Args:
        boundaries: of all starts, this one included.
        counts: of the events.
    """

    boundaries: Sequence[Boundary]
    counts: StoredCounts


LAST: Final = """
    SELECT max(coalesce((SELECT max(id) FROM log_events), 0),
               coalesce((SELECT max(id) FROM log_dropped), 0),
               coalesce((SELECT max(start) FROM log_boundaries), 0))
"""
"""SQL for the last position of the log: of an event, kept or dropped, or of a start."""
_TOPICS: Final = """
    SELECT CAST(topic AS BLOB), events, bytes, coalesce(CAST(at AS INTEGER), 0), canonical, canonical_bytes
    FROM (SELECT topic, count(*) AS events, sum(size) AS bytes, min(id) AS oldest,
                 count(*) FILTER (WHERE place = 0) AS canonical,
                 coalesce(sum(size) FILTER (WHERE place = 0), 0) AS canonical_bytes
          FROM log_topics GROUP BY topic)
    LEFT JOIN log_events ON id = oldest
"""


def start(db: apsw.Connection, now_ms: Any) -> Contents:
    """Record the boundary of this start, and return what the log has.

    Args:
        db: the connection.
        now_ms: the wall clock (ms since 1970).
    """
    [[last]] = db.execute(LAST)
    first = IdSequence(now_ms, to_event_id(last)).next()
    db.execute("INSERT INTO log_boundaries VALUES (?, ?)", (to_number(first), last))
    db.execute(
        "DELETE FROM log_boundaries WHERE start <="
        " (SELECT start FROM log_boundaries ORDER BY start DESC LIMIT 1 OFFSET ?)",
        (BOUNDARIES_MAX,),
    )
    boundaries = [
        Boundary(to_event_id(start), to_event_id(last))
        for start, last in db.execute("SELECT start, last FROM log_boundaries")
    ]
    return Contents(boundaries, count(db))


def count(db: apsw.Connection) -> StoredCounts:
    """Count the events by topic."""
    rows: list[Any] = db.execute(_TOPICS).fetchall()
    return StoredCounts(
        [(name.decode(errors="replace"), *counts) for name, *counts, _, _ in rows],
        sum(row[4] for row in rows),
        sum(row[5] for row in rows),
    )


# --- appending ------------------------------------------------------------------------------------------


@attrs.frozen
class Prepared:
    """Drafts that are ready to be appended together.

    Args:
        drafts: the drafts.
        bodies: the JSON of each, without an id.
        keys: the fingerprint of each idempotency key.
        publisher: the owner of the keys.
    """

    drafts: Sequence[Draft]
    bodies: Sequence[str]
    keys: dict[str, bytes]
    publisher: str

    @classmethod
    def of(cls, drafts: Sequence[Draft], publisher: str) -> "Prepared":
        """Encode drafts.

        Raises:
            IdempotencyConflict: two of them have one key and different content.
        """
        bodies = ["{" + encode_members(draft).decode() for draft in drafts]
        return cls(drafts, bodies, fingerprints(drafts), publisher)


@attrs.frozen
class Appended:
    """The events that one transaction has appended.

    Args:
        receipts: of all drafts.
        fresh: the drafts that became events, with their ids.
        at_ms: steady time of the append (ms).
    """

    receipts: list[Receipt]
    fresh: list[tuple[Draft, EventId]]
    at_ms: int


_KNOWN_KEY: Final = "SELECT id, fingerprint FROM log_keys WHERE publisher = ? AND key = ? AND at >= ?"
_NEWEST: Final = """
    SELECT max(coalesce((SELECT max(id) FROM log_topics WHERE topic = ?1), 0),
               coalesce((SELECT id FROM log_dropped WHERE topic = ?1), 0))
"""


def append(
    db: apsw.Connection,
    prepared: Prepared,
    ids: IdSequence,
    at_ms: int,
    *,
    keys_since_ms: int,
    conditions: Sequence[Condition] = (),
) -> Appended | Refusal:
    """Append drafts, all or none.

    Args:
        db: the connection, in a transaction.
        prepared: the drafts.
        ids: gives out the ids.
        at_ms: steady time (ms).
        keys_since_ms: keys used before this steady time are forgotten (ms).
        conditions: to be checked.

    Raises:
        IdempotencyConflict: a key is known with other content.
    """
    known: dict[str | None, KnownKey] = {}
    for name, content in prepared.keys.items():
        for id, stored in db.execute(_KNOWN_KEY, (prepared.publisher, name, keys_since_ms)):
            known[name] = before = KnownKey(to_event_id(id), stored)
            before.check(name, content)
    for condition in conditions:
        [[newest]] = db.execute(_NEWEST, (condition.topic,))
        if (present := to_event_id(newest)) != condition.id:
            return Refusal(condition, present)
    receipts: list[Receipt] = []
    fresh: list[tuple[Draft, EventId]] = []
    bodies: list[str] = []
    for draft, body in zip(prepared.drafts, prepared.bodies, strict=True):
        key = draft.idempotency_key
        if key in known:
            receipts.append(Receipt(known[key].id, duplicate=True))
            continue
        event_id = ids.next()
        if key is not None:
            known[key] = KnownKey(event_id, prepared.keys[key])
            db.execute(
                "INSERT OR REPLACE INTO log_keys VALUES (?, ?, ?, ?, ?)",
                (prepared.publisher, key, to_number(event_id), prepared.keys[key], at_ms),
            )
        receipts.append(Receipt(event_id))
        fresh.append((draft, event_id))
        bodies.append(body)
    if fresh:
        _insert(db, fresh, bodies, at_ms)
    return Appended(receipts, fresh, at_ms)


def _insert(
    db: apsw.Connection, fresh: Sequence[tuple[Draft, EventId]], bodies: Sequence[str], at_ms: int
) -> None:
    numbers = [to_number(event_id) for _, event_id in fresh]
    sizes = [draft.size for draft, _ in fresh]
    end = numbers[-1]
    db.executemany(
        "INSERT INTO log_events VALUES (?, ?, ?, ?, ?)",
        [(number, at_ms, size, end, body) for number, size, body in zip(numbers, sizes, bodies, strict=True)],
    )
    db.executemany(
        "INSERT INTO log_topics VALUES (?, ?, ?, ?)",
        [
            (topic, number, place, size)
            for (draft, _), number, size in zip(fresh, numbers, sizes, strict=True)
            for place, topic in enumerate(draft.topics)
        ],
    )


def end_of_append(db: apsw.Connection, event_id: EventId) -> EventId | None:
    """Return the last id of the append of a kept event."""
    row = db.execute("SELECT end FROM log_events WHERE id = ?", (to_number(event_id),)).fetchone()
    return None if row is None else to_event_id(row[0])


# --- dropping -------------------------------------------------------------------------------------------

_OLDEST_OF: Final = "SELECT id, size FROM log_topics WHERE topic = ?1 ORDER BY id LIMIT ?5"
_OLDEST: Final = "SELECT id, size FROM log_events WHERE ?1 = '' ORDER BY id LIMIT ?5"
_EXCESS: Final = """
    SELECT id FROM (
        SELECT oldest.id AS id, coalesce(CAST(at AS INTEGER), 0) AS at, row_number() OVER before AS number,
               sum(oldest.size) OVER before - oldest.size AS size_before
        FROM ({oldest}) AS oldest LEFT JOIN log_events USING (id)
        WINDOW before AS (ORDER BY oldest.id))
    WHERE number <= ?2 OR size_before < ?3 OR at <= ?4
"""
_EXCESS_OF: Final = _EXCESS.format(oldest=_OLDEST_OF)
_EXCESS_OF_ALL: Final = _EXCESS.format(oldest=_OLDEST)
_TOPICS_OF: Final = """
    SELECT log_topics.topic, log_topics.id, CAST(log_topics.size AS INTEGER)
    FROM json_each(?1) AS chosen
    JOIN log_events AS event ON event.id = chosen.value
    JOIN json_each(CASE WHEN json_valid(event.body) THEN event.body ELSE '{}' END, '$.topics') AS name
    JOIN log_topics ON log_topics.topic = name.value AND log_topics.id = event.id
"""
_SIZE_OF: Final = """
    SELECT count(*), coalesce(sum(event.size), 0)
    FROM json_each(?1) AS chosen JOIN log_events AS event ON event.id = chosen.value
"""
_RECORD: Final = (
    "INSERT INTO log_dropped VALUES (?, ?) ON CONFLICT (topic) DO UPDATE SET id = max(id, excluded.id)"
)
_OLDEST_AT: Final = """
    SELECT coalesce(CAST(at AS INTEGER), 0)
    FROM (SELECT id FROM log_topics WHERE topic = ? ORDER BY id LIMIT 1) LEFT JOIN log_events USING (id)
"""


def drop_each(db: apsw.Connection, excesses: Sequence[Excess], max_events: int) -> list[Dropped]:
    """Drop some of several excesses, one after the other, as :func:`drop` does.

    An event of several topics counts for each of them, so that none loses more than it has too much.

    Args:
        db: the connection, in a transaction.
        excesses: what to drop, as of before.
        max_events: maximum number of events to drop now.
    """
    all_dropped: list[Dropped] = []
    sums: dict[str, tuple[int, int]] = {}
    for excess in excesses:
        events, size = sums.get(excess.topic, (0, 0))
        left = attrs.evolve(excess, events=excess.events - events, bytes=excess.bytes - size)
        if max_events <= 0 or left.is_empty:
            continue
        dropped = drop(db, left, max_events)
        max_events -= dropped.events
        all_dropped.append(dropped)
        for topic, (events, size) in (*dropped.topics.items(), (WHOLE, (dropped.events, dropped.bytes))):
            before = sums.get(topic, (0, 0))
            sums[topic] = before[0] + events, before[1] + size
    return all_dropped


def drop(db: apsw.Connection, excess: Excess, max_events: int) -> Dropped:
    """Drop some of what one topic or the log has too much, and record how far; the oldest first.

    Args:
        db: the connection, in a transaction.
        excess: what to drop.
        max_events: maximum number of events to drop now.
    """
    query = _EXCESS_OF_ALL if excess.topic == WHOLE else _EXCESS_OF
    scanned = min(excess.events, max_events) if excess.is_number else max_events
    arguments = (excess.topic, excess.events, excess.bytes, excess.until_ms, scanned)
    numbers = [id for (id,) in db.execute(query, arguments)]
    chosen = "[" + ",".join(map(str, numbers)) + "]"
    [[events, size]] = db.execute(_SIZE_OF, (chosen,))
    rows: dict[tuple[str, int], int] = {
        (topic, id): size for topic, id, size in db.execute(_TOPICS_OF, (chosen,))
    }
    if excess.topic != WHOLE:  # also those whose event is damaged, or missing
        found = "SELECT topic, id, CAST(size AS INTEGER) FROM log_topics WHERE topic = ? AND id = ?"
        for number in numbers:
            for topic, id, each in db.execute(found, (excess.topic, number)):
                rows[topic, id] = each
    topics: dict[str, tuple[int, int]] = {}
    newest: dict[str, int] = {}
    for (topic, id), each in rows.items():
        count, sum_ = topics.get(topic, (0, 0))
        topics[topic] = count + 1, sum_ + each
        newest[topic] = max(id, newest.get(topic, 0))
    db.executemany(_RECORD, newest.items())
    db.executemany("DELETE FROM log_topics WHERE topic = ? AND id = ?", rows)
    db.execute("DELETE FROM log_events WHERE id IN (SELECT value FROM json_each(?))", (chosen,))
    oldest = {topic: at for topic in topics for (at,) in db.execute(_OLDEST_AT, (topic,))}
    return Dropped(events, size, topics, oldest, newest)


_FORGET: Final = """
    DELETE FROM log_keys WHERE (publisher, key) IN (
        SELECT publisher, key
        FROM (SELECT publisher, key, at, row_number() OVER (ORDER BY at, id) AS number
              FROM (SELECT publisher, key, at, id FROM log_keys ORDER BY at, id LIMIT ?3))
        WHERE at < ?1 OR number <= ?2)
"""


def forget(db: apsw.Connection, keys_since_ms: int, max_keys: int, max_rows: int) -> int:
    """Forget old idempotency keys, and fold the oldest records of what was dropped.

    Args:
        db: the connection, in a transaction.
        keys_since_ms: keys used before this steady time are forgotten (ms).
        max_keys: maximum number of keys that are kept.
        max_rows: maximum number of rows to delete now.

    Returns:
        The number of rows deleted.
    """
    [[keys]] = db.execute("SELECT count(*) FROM log_keys")
    db.execute(_FORGET, (keys_since_ms, keys - max_keys, max_rows))
    deleted = db.changes()
    [[records]] = db.execute("SELECT count(*) FROM log_dropped")
    if (surplus := min(records - 1 - DROPPED_RECORDS_MAX, max_rows)) > 0:
        folded: Iterable[Any] = db.execute(
            "DELETE FROM log_dropped WHERE topic IN"
            " (SELECT topic FROM log_dropped WHERE topic != '' ORDER BY id LIMIT ?) RETURNING id",
            (surplus,),
        ).fetchall()
        db.execute(_RECORD, ("", max(id for (id,) in folded)))
        deleted += surplus
    return deleted
