"""The import of exported events into the file of a log that no server uses."""

from codecs import BOM_UTF8
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

import apsw
import attrs
import msgspec

from ...database import read_clock
from ...errors import InvalidField, StreamdError
from ...events import EARLIEST, Draft, Event, EventSettings
from ...events.event import encode_members
from ...events.ids import parse_event_id, split_event_id
from ...events.stored import decode_event
from .archive import BUSY_TIMEOUT_MS, ArchiveError, check_version
from .schema import COMPONENT, MIGRATIONS, to_event_id, to_number
from .writer import LAST

BATCH_EVENTS: Final = 1000
_INCREMENTAL: Final = 2  # of SQLite's pragma auto_vacuum
_AHEAD_MS_MAX: Final = 86_400_000  # of an id: clocks of machines differ, but not by a day
_ANY_SIZE: Final = EventSettings(
    max_event_bytes=1 << 40, max_topics_per_event=1 << 20, max_topic_bytes=1 << 20
)
"""Bounds of imported events: they were checked by those of the server that took them."""

# An empty log that was only started may take events from before its start.
_FORGET_STARTS: Final = """
    DELETE FROM log_boundaries
    WHERE NOT EXISTS (SELECT 1 FROM log_events) AND NOT EXISTS (SELECT 1 FROM log_dropped)
"""


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
                db.set_busy_timeout(BUSY_TIMEOUT_MS)
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
        check_version(db, self.path)

    def _store_lines(self, db: apsw.Connection, lines: Iterable[bytes]) -> Iterator[int]:
        batch: list[tuple[int, Event]] = []
        number = 0
        for number, line in enumerate(lines, start=1):
            if number == 1:
                line = line.removeprefix(BOM_UTF8)  # noqa: PLW2901 - the line without it
            if line.strip():
                batch.append((number, self._decode_line(number, line)))
            if len(batch) >= BATCH_EVENTS:
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
                private=event.private,
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
