"""The file of a log without a server: statistics, export, import and backup.

Everything but the import reads only, and may run beside the server that uses the file.
"""

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import apsw
import attrs
import msgspec

from ...database import read_clock
from ...errors import InvalidField, StreamdError
from ...events import EARLIEST, Draft, Event, EventId, EventSettings
from ...events.event import encode_members
from ...events.ids import parse_event_id, split_event_id
from ...events.stored import decode_event
from ...unreadable import DAMAGE, as_text
from .reader import EVENT_JSON
from .schema import COMPONENT, MIGRATIONS, to_event_id, to_number
from .writer import LAST

PAGE_EVENTS: Final = 1000
_PAGE_BYTES: Final = 8 << 20
_BUSY_TIMEOUT_MS: Final = 5000
_INTERRUPTIBLE_STEPS: Final = 100_000  # of SQLite's machine: some milliseconds

_INCREMENTAL: Final = 2  # of SQLite's pragma auto_vacuum
_AHEAD_MS_MAX: Final = 86_400_000  # of an id: clocks of machines differ, but not by a day
_ANY_SIZE: Final = EventSettings(
    max_event_bytes=1 << 40, max_topics_per_event=1 << 20, max_topic_bytes=1 << 20
)
"""Bounds of imported events: they were checked by those of the server that took them."""

_EXPORTED: Final = f"""
    SELECT id, CAST({EVENT_JSON} AS BLOB) FROM log_events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?
"""
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
            # Python handles Ctrl-C in this function, also while a statement runs for minutes.
            connection.set_progress_handler(_go_on, _INTERRUPTIBLE_STEPS)
            _check_version(connection, path)
            yield connection
        finally:
            connection.close()
    except apsw.Error as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _go_on() -> bool:
    return False


def check(path: str) -> None:
    """Check that a file holds a log of a version that is known.

    Raises:
        ArchiveError: it does not, or there is no such file.
    """
    with read_only(path):
        pass


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
            "SELECT count(*), coalesce(sum(CAST(size AS INTEGER)), 0), min(id), max(id) FROM log_events"
        )
        [[topics]] = db.execute("SELECT count(DISTINCT topic) FROM log_topics")
        [[keys]] = db.execute("SELECT count(*) FROM log_keys")
        [[starts]] = db.execute("SELECT count(*) FROM log_boundaries")
        rows: list[Any] = db.execute(
            "SELECT CAST(topic AS BLOB), count(*) AS events, sum(CAST(size AS INTEGER)) FROM log_topics"
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
        largest=[(as_text(name), count, size) for name, count, size in rows],
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
            lines: list[bytes] = []
            damaged: list[EventId] = []
            size = 0
            with closing(db.cursor()) as rows:  # closed after each page: a reader delays checkpoints
                for number, line in rows.execute(_EXPORTED, (position, head, PAGE_EVENTS)):
                    position = number
                    try:
                        decode_event(line)
                    except DAMAGE:
                        damaged.append(to_event_id(number))
                    else:
                        lines.append(line + b"\n")
                        size += len(line)
                        if size >= _PAGE_BYTES:
                            break
                else:
                    if len(lines) + len(damaged) < PAGE_EVENTS:  # dropped meanwhile, or the end
                        position = head
            yield ExportedPage(b"".join(lines), len(lines), to_event_id(position), damaged)


# --- import -------------------------------------------------------------------------------------------------


@attrs.define
class Import:
    """The import of exported events into a log, in one transaction: all of them, or none.

    Events keep their ids. Those that the log has are skipped, so an import can be repeated, and a longer
    export imported after a shorter one.

    Args:
        path: of the file, which is created if it is missing.
        wall: the time of the wall clock. The age of the events counts from the steady time of a process
            that starts now.

    Attributes:
        imported: number of events that were new to the log.
        skipped: number of events that the log had.
    """

    path: str
    wall: datetime
    imported: int = 0
    skipped: int = 0
    _at_ms: int = 0
    _last: int = 0
    _has_begun: bool = False

    def run(self, lines: Iterable[bytes]) -> Generator[int, None, None]:
        """Import lines of NDJSON; yield the number of lines read from time to time.

        What was imported is kept at the end of the iteration, and nothing if that is not reached.

        Raises:
            ArchiveError: the file cannot be written; a line is no event; an event is older than the last
                position of the log and is not in it; or the log has another event with its id.
        """
        is_new = not Path(self.path).exists()
        is_done = False
        try:
            with closing(apsw.Connection(self.path)) as db:
                db.set_busy_timeout(_BUSY_TIMEOUT_MS)
                if is_new:
                    db.pragma("auto_vacuum", _INCREMENTAL)
                db.transaction_mode = "IMMEDIATE"
                with db:
                    self._create_tables(db)
                    yield from self._store_lines(db, lines)
            is_done = True
        except apsw.Error as error:
            raise ArchiveError(f"{self.path} cannot be written: {error}") from error
        finally:
            if is_new and not is_done:
                Path(self.path).unlink(missing_ok=True)

    def _create_tables(self, db: apsw.Connection) -> None:
        db.execute(
            "CREATE TABLE IF NOT EXISTS migrations (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
        )
        if not db.table_exists(None, "log_events"):
            for script in MIGRATIONS:
                db.execute(script)
            db.execute("INSERT INTO migrations VALUES (?, ?)", (COMPONENT, len(MIGRATIONS)))
        _check_version(db, self.path)

    def _store_lines(self, db: apsw.Connection, lines: Iterable[bytes]) -> Iterator[int]:
        batch: list[tuple[int, Event]] = []
        number = 0
        for number, line in enumerate(lines, start=1):
            if line.strip():
                batch.append((number, self._decode_line(number, line)))
            if len(batch) >= PAGE_EVENTS:
                self._store(db, batch)
                batch = []
                yield number
        self._store(db, batch)
        yield number

    def _store(self, db: apsw.Connection, batch: Sequence[tuple[int, Event]]) -> None:
        if batch and not self._has_begun:
            db.execute(_FORGET_STARTS)
            [[self._last]] = db.execute(LAST)
            record = read_clock(db) if db.table_exists(None, "clock") else None
            steady = self.wall if record is None else record.steady_at(self.wall)
            self._at_ms = round(steady.timestamp() * 1000)
            self._has_begun = True
        fresh: list[tuple[int, Event, str]] = []
        for line, event in batch:
            number = to_number(event.id)
            body = "{" + encode_members(event).decode()
            if number > self._last:
                fresh.append((number, event, body))
                self._last = number
            else:
                self._insert(db, fresh)
                fresh = []
                self._check_known(db, line, event, body)
        self._insert(db, fresh)
        self.skipped += len(batch)

    def _insert(self, db: apsw.Connection, fresh: Sequence[tuple[int, Event, str]]) -> None:
        db.executemany(
            "INSERT INTO log_events VALUES (?, ?, ?, ?, ?)",
            [(number, self._at_ms, event.size, number, body) for number, event, body in fresh],
        )
        db.executemany(
            "INSERT INTO log_topics VALUES (?, ?, ?, ?)",
            [
                (topic, number, place, event.size)
                for number, event, _ in fresh
                for place, topic in enumerate(event.topics)
            ],
        )
        self.imported += len(fresh)
        self.skipped -= len(fresh)

    def _check_known(self, db: apsw.Connection, line: int, event: Event, body: str) -> None:
        """Check that the log has an event that is not newer than its last position."""
        stored = db.execute(
            "SELECT CAST(body AS BLOB) FROM log_events WHERE id = ?", (to_number(event.id),)
        ).fetchone()
        if stored is None:
            raise ArchiveError(
                f"line {line}: the event {event.id} is not in the log, and not newer than its last"
                f" position, {to_event_id(self._last)}; import into an empty log"
            )
        if stored[0] != body.encode():
            raise ArchiveError(f"line {line}: the log has another event with the id {event.id}")

    def _decode_line(self, number: int, line: bytes) -> Event:
        try:
            event = decode_event(line.strip())
            if parse_event_id(event.id) == EARLIEST:
                raise InvalidField("an event has an id of its own", field="id")
            draft = Draft.encoded(
                event.topics,
                event.data,
                encoding=event.encoding,
                limits=_ANY_SIZE,
                type=event.type,
                retry_ms=event.retry_ms,
            )
            if (draft.topics, draft.type) != (event.topics, event.type):
                raise InvalidField("its topics are not all different, or its type is empty", field="topics")
            if split_event_id(event.id)[0] > round(self.wall.timestamp() * 1000) + _AHEAD_MS_MAX:
                raise InvalidField(
                    f"the id {event.id} is in the future, and so would be all later ones", field="id"
                )
        except msgspec.MsgspecError as error:
            raise ArchiveError(f"line {number} is no event of an export: {error}") from error
        except StreamdError as error:
            raise ArchiveError(f"line {number} is no event of an export: {error.detail}") from error
        return event


# --- backup -------------------------------------------------------------------------------------------------


def back_up(path: str, target: str) -> int:
    """Copy the file as of this moment, tasks included, while a server may use it; return the bytes.

    Raises:
        ArchiveError: the file cannot be read, or the target exists or cannot be written; a part of it is
            deleted.
    """
    with read_only(path) as db:
        try:
            descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise ArchiveError(f"{target} cannot be created: {error.strerror}") from error
        try:
            db.execute("VACUUM INTO ?", (target,))
            os.fsync(descriptor)
            return os.fstat(descriptor).st_size
        except BaseException:
            Path(target).unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
