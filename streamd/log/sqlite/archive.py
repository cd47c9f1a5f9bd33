"""The file of a log without a server: statistics, export, import and backup.

Everything but the import reads only, and may run beside the server that uses the file.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import attrs
import msgspec

from ...errors import InvalidBody, StreamdError
from ...events import EARLIEST, Event, EventId
from ...events.event import encode_members
from ...events.ids import parse_event_id
from ...events.stored import decode_event
from ...unreadable import DAMAGE
from .reader import PageQuery
from .schema import COMPONENT, MIGRATIONS, to_event_id, to_number
from .writer import LAST

PAGE_EVENTS: Final = 1000
_PAGE_BYTES: Final = 8 << 20
_BUSY_TIMEOUT_MS: Final = 5000


# An empty log that was only started may take events from before its start.
_FORGET_STARTS: Final = """
    DELETE FROM log_boundaries
    WHERE NOT EXISTS (SELECT 1 FROM log_events) AND NOT EXISTS (SELECT 1 FROM log_dropped)
"""


class ArchiveError(StreamdError):
    """The file of a log cannot be read or written as asked."""

    code = "log-file"


@contextmanager
def read_only(path: str) -> Iterator[apsw.Connection]:
    """Open the file of a log for reading.

    Raises:
        ArchiveError: there is no such file, or it holds no log of a version that is known.
    """
    if not Path(path).is_file():
        raise ArchiveError(f"there is no file {path}")
    try:
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
            _check_version(connection, path)
            yield connection
        finally:
            connection.close()
    except apsw.Error as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _check_version(db: apsw.Connection, path: str) -> None:
    row = None
    if db.table_exists(None, "migrations"):
        row = db.execute("SELECT version FROM migrations WHERE component = ?", (COMPONENT,)).fetchone()
    if row is None:
        raise ArchiveError(f"{path} holds no event log")
    if row[0] != len(MIGRATIONS):
        raise ArchiveError(
            f"the log in {path} is of version {row[0]}; this streamd reads version {len(MIGRATIONS)}"
        )


@attrs.frozen
class LogStatistics:
    """The contents of a log.

    Args:
        events: number of events.
        bytes: size of their topics, types and data.
        topics: number of topics.
        keys: number of idempotency keys.
        starts: number of starts that are recorded.
        first, last: the oldest and the newest event; None without events.
        largest: the topics with the most events, each with the number and size of its events.
        file_bytes: size of the file, with its write-ahead log.
        free_bytes: part of the file that is free, and will be used again.
    """

    events: int
    bytes: int
    topics: int
    keys: int
    starts: int
    first: EventId | None
    last: EventId | None
    largest: Sequence[tuple[str, int, int]]
    file_bytes: int
    free_bytes: int


def statistics(path: str, *, largest: int = 10) -> LogStatistics:
    """Count the contents of a log.

    Args:
        path: of the file.
        largest: number of topics to list.

    Raises:
        ArchiveError: the file cannot be read.
    """
    with read_only(path) as db, db:
        [[events, size, first, last]] = db.execute(
            "SELECT count(*), coalesce(sum(size), 0), min(id), max(id) FROM log_events"
        )
        [[topics]] = db.execute("SELECT count(DISTINCT topic) FROM log_topics")
        [[keys]] = db.execute("SELECT count(*) FROM log_keys")
        [[starts]] = db.execute("SELECT count(*) FROM log_boundaries")
        rows: list[Any] = db.execute(
            "SELECT topic, count(*) AS events, sum(size) FROM log_topics"
            " GROUP BY topic ORDER BY events DESC, topic LIMIT ?",
            (largest,),
        ).fetchall()
        free = db.pragma("freelist_count") * db.pragma("page_size")
    return LogStatistics(
        events=events,
        bytes=size,
        topics=topics,
        keys=keys,
        starts=starts,
        first=None if first is None else to_event_id(first),
        last=None if last is None else to_event_id(last),
        largest=[(name, count, size) for name, count, size in rows],
        file_bytes=sum(each.stat().st_size for each in (Path(path), Path(path + "-wal")) if each.exists()),
        free_bytes=free,
    )


# --- export -------------------------------------------------------------------------------------------------


@attrs.frozen
class ExportedPage:
    """Consecutive events of a log.

    Args:
        lines: NDJSON: the events as WebSocket and polls send them.
        count: number of lines.
        last: the id of the last event; None if there is none.
        damaged: ids of events that cannot be decoded; they are left out.
    """

    lines: bytes
    count: int
    last: EventId | None
    damaged: Sequence[EventId]


def count_after(path: str, after: EventId) -> int:
    """Count the events after a position.

    Raises:
        ArchiveError: the file cannot be read.
    """
    with read_only(path) as db:
        [[count]] = db.execute("SELECT count(*) FROM log_events WHERE id > ?", (to_number(after),))
    return int(count)


def export(path: str, after: EventId) -> Iterator[ExportedPage]:
    """Read the events after a position, up to the newest one at the start, page by page.

    Raises:
        ArchiveError: the file cannot be read.
    """
    with read_only(path) as db:
        [[head]] = db.execute("SELECT coalesce(max(id), 0) FROM log_events")
        position = to_number(after)
        while position < head:
            query = PageQuery((), position, head, PAGE_EVENTS, _PAGE_BYTES)
            raw = query.read(db)
            position = raw.cursor or head
            lines, damaged = [], []
            for number, body in query.read_rows(db):
                if number > position:
                    break
                try:
                    decode_event(body)
                except DAMAGE:
                    damaged.append(to_event_id(number))
                else:
                    lines.append(body + b"\n")
            yield ExportedPage(b"".join(lines), len(lines), to_event_id(position), damaged)


# --- import -------------------------------------------------------------------------------------------------


@attrs.define
class Import:
    """The import of exported events into a log, in steps of one transaction.

    Events keep their ids. Those that the log has are skipped, so an import that was interrupted can be
    started again from its beginning.

    Args:
        path: of the file, which is created if it is missing.
        at_ms: steady time of the events (ms), from which their age counts.

    Attributes:
        imported: number of events that were new to the log.
        skipped: number of events that the log had.
    """

    path: str
    at_ms: int
    imported: int = 0
    skipped: int = 0
    _last: int = 0

    def run(self, lines: Iterable[bytes]) -> Iterator[int]:
        """Import lines of NDJSON; yield the number of lines done after each transaction.

        Raises:
            ArchiveError: a line is no event, or an event is older than the newest of the log and is not in
                it. The transactions before are kept.
        """
        connection = self._open()
        try:
            batch: list[tuple[int, Event]] = []
            number = 0
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    batch.append((number, _decode_line(number, line)))
                if len(batch) >= PAGE_EVENTS:
                    self._store(connection, batch)
                    batch = []
                    yield number
            self._store(connection, batch)
            yield number
        except apsw.Error as error:
            raise ArchiveError(f"{self.path} cannot be written: {error}") from error
        finally:
            connection.close()

    def _open(self) -> apsw.Connection:
        try:
            connection = apsw.Connection(self.path)
            connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
            with connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS migrations"
                    " (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
                )
                if not connection.table_exists(None, "log_events"):
                    for script in MIGRATIONS:
                        connection.execute(script)
                    connection.execute("INSERT INTO migrations VALUES (?, ?)", (COMPONENT, len(MIGRATIONS)))
            _check_version(connection, self.path)
            with connection:
                connection.execute(_FORGET_STARTS)
            [[self._last]] = connection.execute(LAST)
        except apsw.Error as error:
            raise ArchiveError(f"{self.path} cannot be written: {error}") from error
        return connection

    def _store(self, db: apsw.Connection, batch: Sequence[tuple[int, Event]]) -> None:
        fresh = []
        last = self._last
        for line, event in batch:
            number = to_number(event.id)
            if number > last:
                fresh.append((number, event))
                last = number
            elif db.execute("SELECT 1 FROM log_events WHERE id = ?", (number,)).fetchone() is None:
                raise ArchiveError(
                    f"line {line}: the event {event.id} is not in the log, and not newer than its last"
                    f" position, {to_event_id(last)}; import into an empty log"
                )
        with db:
            db.executemany(
                "INSERT INTO log_events VALUES (?, ?, ?, ?, ?)",
                [
                    (number, self.at_ms, event.size, number, "{" + encode_members(event).decode())
                    for number, event in fresh
                ],
            )
            db.executemany(
                "INSERT INTO log_topics VALUES (?, ?, ?, ?)",
                [
                    (topic, number, place, event.size)
                    for number, event in fresh
                    for place, topic in enumerate(event.topics)
                ],
            )
        self._last = last
        self.imported += len(fresh)
        self.skipped += len(batch) - len(fresh)


def _decode_line(number: int, line: bytes) -> Event:
    try:
        event = decode_event(line.strip())
        parse_event_id(event.id)
        if event.id == EARLIEST or not event.topics:
            raise InvalidBody("it has no id or no topics")
    except (msgspec.MsgspecError, StreamdError) as error:
        raise ArchiveError(f"line {number} is no event of an export: {error}") from error
    return event


# --- backup -------------------------------------------------------------------------------------------------


def back_up(path: str, target: str) -> int:
    """Copy the file as of this moment, tasks included, while a server may use it; return the bytes.

    Raises:
        ArchiveError: the file cannot be read, or the target exists or cannot be written.
    """
    if Path(target).exists():
        raise ArchiveError(f"{target} exists")
    with read_only(path) as db:
        db.execute("VACUUM INTO ?", (target,))
    return Path(target).stat().st_size
