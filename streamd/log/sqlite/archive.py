"""The file of a log without a server: statistics, export and backup.

All of them read only, and may run while a server uses the file.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import attrs

from ...errors import StreamdError
from ...events import EventId
from ...events.stored import decode_event
from ...unreadable import DAMAGE, as_text
from .reader import EVENT_JSON
from .schema import COMPONENT, MIGRATIONS, to_event_id, to_number

PAGE_EVENTS: Final = 1000
_PAGE_BYTES: Final = 8 << 20
BUSY_TIMEOUT_MS: Final = 5000
_INTERRUPTIBLE_STEPS: Final = 100_000  # of SQLite's machine: some milliseconds

_EXPORTED: Final = f"""
    SELECT id, CAST({EVENT_JSON} AS BLOB) FROM log_events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?
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
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            # Python handles Ctrl-C in this function, also while a statement runs for minutes.
            connection.set_progress_handler(_go_on, _INTERRUPTIBLE_STEPS)
            check_version(connection, path)
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


def check_version(db: apsw.Connection, path: str) -> None:
    """Check that a database holds a log of a version that is known.

    Raises:
        ArchiveError: it does not.
    """
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
