"""The task store in SQLite, which survives a restart. See :class:`.port.TaskStore`.

A task is one row: columns for the fields that queries select by, and the whole task as JSON in ``body``. The
times in columns are steady time, those in ``body`` are the task's own.
Input, text and result have tables of their own: they may be large, and do not change with every version.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import apsw

from ...database import Database
from ...events import EventId
from ...idempotency import IdempotencyKey
from ...log.sqlite import SQLiteLog
from ...unreadable import as_text
from ..model import Change, Operation, Task
from ..states import Status
from .appending import AppendedEvents, TaskAppender
from .port import (
    Bounds,
    ClaimedTask,
    ExpiredTask,
    Outgoing,
    PublishedMessage,
    Publishing,
    Snapshot,
    missing,
    taken,
    too_many,
)
from .room import check_room
from .rows import (
    EXPIRED_COLUMNS,
    OUTBOX_COLUMNS,
    TASK_COLUMNS,
    TaskRows,
    apply_changes,
    marks,
    one_row,
    read_input,
    to_ms,
)
from .schema import COMPONENT, MIGRATIONS

T = TypeVar("T")

_ENDED: Final = (
    f"SELECT {EXPIRED_COLUMNS} FROM tasks WHERE kind = ? AND ended IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM task_outbox WHERE task = tasks.id) "
)
_LONG_OVERDUE: Final = (
    f"SELECT {TASK_COLUMNS} FROM tasks WHERE status IN (?, ?) AND kind = ? AND deadline <= ?"
)
_UNPUBLISHED: Final = (
    f"SELECT {OUTBOX_COLUMNS}"
    " FROM task_outbox AS outbox LEFT JOIN tasks ON tasks.id = outbox.task"
    " WHERE NOT kept ORDER BY outbox.seq LIMIT ?"
)
_UNFINISHED: Final = (Status.PENDING.value, Status.RUNNING.value)


class SQLiteTaskStore:
    """The task store in a SQLite database.

    Args:
        database: the database; its owner opens it after this constructor has named the migrations.
        log: the log in the same database, to which changes append their events; None for another log, whose
            events go through the outbox.
    """

    is_shared: Final = False
    shared_tasks: Final = 0
    durability: Final = "An acknowledged task is on disk; it survives the end of the process."

    def __init__(self, database: Database, log: SQLiteLog | None = None) -> None:
        self._database = database
        self._appender = TaskAppender(log)
        self.unreadable: Final = database.unreadable
        self.room: Final = database.room
        self._rows = TaskRows(database.unreadable)
        database.require(COMPONENT, MIGRATIONS)

    @property
    def publishes(self) -> bool:
        return self._appender.is_active

    def publish_with(self, publishing: Publishing) -> None:
        self._appender.publishing = publishing

    async def create(
        self,
        changes: Sequence[Change],
        *,
        raw_input: bytes = b"null",
        max_unfinished: int,
        max_tasks: int,
        key: IdempotencyKey | None = None,
    ) -> Task | None:
        task = changes[0].task

        def create(db: apsw.Connection, events: list[AppendedEvents]) -> Task | None:
            if key is not None and (stored := self._find_by_key(db, key)) is not None:
                return stored
            known = "SELECT 1 FROM tasks WHERE id = ? UNION ALL SELECT 1 FROM tasks_gone WHERE id = ?"
            if one_row(db, known, task.id, task.id):
                raise taken(task.id)
            [unfinished] = one_row(
                db, "SELECT count(*) FROM tasks WHERE status IN (?, ?) AND kind = ?", *_UNFINISHED, task.kind
            ) or (0,)
            if unfinished >= max_unfinished:
                raise too_many(task.kind, max_unfinished)
            self.room.check()
            db.execute(
                "INSERT INTO tasks (id, kind, owner, status, worker, deadline, body)"
                " VALUES (?, ?, ?, '', '', 0, '')",
                (task.id, task.kind, task.owner),
            )
            seq = db.last_insert_rowid()
            db.execute("INSERT INTO task_inputs VALUES (?, ?)", (seq, raw_input))
            if key is not None:
                db.execute(
                    "INSERT INTO task_keys VALUES (?, ?, ?, ?)", (seq, key.scope, key.text, key.fingerprint)
                )
            self._apply(db, seq, changes, events)
            return None

        return await self._write(create)

    async def change(self, task_id: str, operation: Operation) -> Task:
        def change(db: apsw.Connection, events: list[AppendedEvents]) -> Task:
            seq, task = self._find(db, task_id)
            return self._apply(db, seq, check_room(self.room, operation(task)), events) or task

        return await self._write(change)

    async def claim(self, kinds: Collection[str], operation: Operation) -> ClaimedTask | None:
        oldest = (
            f"SELECT seq FROM tasks WHERE status = ? AND kind IN ({marks(kinds)}) AND seq > ?"
            " ORDER BY seq LIMIT 1"
        )

        def claim(db: apsw.Connection, events: list[AppendedEvents]) -> ClaimedTask | None:
            seq = 0
            while row := one_row(db, oldest, Status.PENDING.value, *kinds, seq):
                [seq] = row
                found = one_row(db, f"SELECT {TASK_COLUMNS} FROM tasks WHERE seq = ?", seq)
                for task in self._rows.readable([found] if found else []):
                    changed = self._apply(db, seq, operation(task), events) or task
                    return ClaimedTask(changed, read_input(db, seq))
            return None

        return await self._write(claim)

    async def _write(self, work: Callable[[apsw.Connection, list[AppendedEvents]], T]) -> T:
        """Run a write that changes one task, and hand on the events that it has appended."""
        events: list[AppendedEvents] = []

        def committed(_: object) -> None:
            for each in events:
                self._appender.announce(each)

        return await self._database.write(lambda db: work(db, events), committed=committed)

    def _apply(
        self, db: apsw.Connection, seq: int, changes: Sequence[Change], events: list[AppendedEvents]
    ) -> Task | None:
        appended = self._appender.append(db, changes)
        if appended is None:
            return apply_changes(db, seq, changes, None)
        events.append(appended)
        return apply_changes(db, seq, changes, appended.published)

    async def get(self, task_id: str) -> Task:
        return await self._database.read(lambda db: self._find(db, task_id)[1])

    async def input(self, task_id: str) -> bytes:
        return await self._database.read(lambda db: read_input(db, self._find(db, task_id)[0]))

    async def find(
        self,
        *,
        kind: str | None = None,
        status: Status | None = None,
        owner: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        columns = {"kind": kind, "status": status and status.value, "owner": owner}
        given = {name: value for name, value in columns.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given) or "true"

        def find(db: apsw.Connection) -> list[Task]:
            query = f"SELECT {TASK_COLUMNS} FROM tasks WHERE {where} ORDER BY seq DESC LIMIT ?"
            max_rows = limit
            while True:  # once, unless there are damaged rows
                rows = db.execute(query, (*given.values(), max_rows)).fetchall()
                found = list(self._rows.readable(rows))
                if len(found) >= limit or len(rows) < max_rows:
                    return found[:limit]
                max_rows *= 2

        return await self._database.read(find)

    async def snapshot(self, task_id: str) -> Snapshot:
        def snapshot(db: apsw.Connection) -> Snapshot:
            seq, task = self._find(db, task_id)
            version, event_id = one_row(
                db, "SELECT published_version, CAST(published_id AS BLOB) FROM tasks WHERE seq = ?", seq
            ) or (0, None)
            texts = db.execute(
                "SELECT CAST(text AS BLOB) FROM task_texts WHERE task = ? ORDER BY version", (seq,)
            )
            end = one_row(db, "SELECT message FROM task_ends WHERE task = ?", seq)
            return Snapshot(
                task=task,
                text=self._rows.text(task_id, texts),
                published_version=version,
                published_id=event_id and EventId(as_text(event_id)),
                end=self._rows.end(task_id, end[0]) if end else None,
            )

        return await self._database.read(snapshot)

    async def result(self, task_id: str) -> bytes | None:
        def result(db: apsw.Connection) -> bytes | None:
            seq, _ = self._find(db, task_id)
            row = one_row(db, "SELECT result FROM task_ends WHERE task = ?", seq)
            if row is None or row[0] is None:
                return None
            return row[0] if isinstance(row[0], bytes) else b""  # a damaged result is no JSON

        return await self._database.read(result)

    async def renew(self, task_ids: Collection[str], until: datetime) -> None:
        def renew(db: apsw.Connection) -> None:
            db.execute(
                f"UPDATE tasks SET lease_until = ? WHERE status = ? AND id IN ({marks(task_ids)})",
                (to_ms(until), Status.RUNNING.value, *task_ids),
            )

        await self._database.write(renew)

    async def overdue(self, now: datetime) -> list[Task]:
        return await self._select(
            "status IN (?, ?) AND (deadline <= ? OR lease_until <= ?)", *_UNFINISHED, to_ms(now), to_ms(now)
        )

    async def held_by(self, prefix: str) -> list[Task]:
        return await self._select(
            "status = ? AND substr(worker, 1, ?) = ?", Status.RUNNING.value, len(prefix), prefix
        )

    async def _select(self, where: str, *values: Any) -> list[Task]:
        def select(db: apsw.Connection) -> list[Task]:
            query = f"SELECT {TASK_COLUMNS} FROM tasks WHERE {where} ORDER BY seq"
            return list(self._rows.readable(db.execute(query, values)))

        return await self._database.read(select)

    async def counts(self) -> Mapping[tuple[str, Status], int]:
        def counts(db: apsw.Connection) -> Mapping[tuple[str, Status], int]:
            counts: Counter[tuple[str, Status]] = Counter()
            rows = db.execute(
                "SELECT CAST(kind AS BLOB), CAST(status AS BLOB), count(*) FROM tasks GROUP BY kind, status"
            )
            for kind, stored, count in rows:
                if (status := self._rows.status(as_text(kind), stored)) is not None:
                    counts[as_text(kind), status] += count
            return counts

        return await self._database.read(counts)

    # --- the outbox ---------------------------------------------------------------------------

    async def unpublished(self, limit: int) -> list[Outgoing]:
        def unpublished(db: apsw.Connection) -> list[tuple[int, Outgoing | None]]:
            rows = [(row[0], self._rows.outgoing(row)) for row in db.execute(_UNPUBLISHED, (limit,))]
            self._appender.note_outbox(is_empty=not rows)
            return rows

        def drop(db: apsw.Connection) -> None:
            db.executemany("DELETE FROM task_outbox WHERE seq = ?", lost)

        while True:
            rows = await self._database.read(unpublished)
            lost = [(seq,) for seq, row in rows if row is None]
            if not lost:
                return [row for _, row in rows if row is not None]
            await self._database.write(drop)

    async def mark_published(self, published: Sequence[PublishedMessage]) -> None:
        done = [(row.task_id, row.version, row.part) for row in published if not row.keep]
        kept = [(row.task_id, row.version, row.part) for row in published if row.keep]
        positions = [(row.version, row.id, row.task_id) for row in published if row.part == 0]

        def mark(db: apsw.Connection) -> None:
            db.executemany("DELETE FROM task_outbox WHERE task = ? AND version = ? AND part = ?", done)
            if kept:
                db.executemany(
                    "UPDATE task_outbox SET kept = 1 WHERE task = ? AND version = ? AND part = ?", kept
                )
            db.executemany("UPDATE tasks SET published_version = ?, published_id = ? WHERE id = ?", positions)

        await self._database.write(mark)

    async def ending(self) -> list[str]:
        def ending(db: apsw.Connection) -> list[str]:
            rows = db.execute("SELECT CAST(task AS BLOB) FROM task_outbox WHERE kept ORDER BY seq")
            return [as_text(row[0]) for row in rows]

        return await self._database.read(ending)

    async def mark_ended(self, task_id: str) -> None:
        def mark(db: apsw.Connection) -> None:
            db.execute("DELETE FROM task_outbox WHERE task = ? AND kept", (task_id,))

        await self._database.write(mark)

    async def outbox_depth(self) -> int:
        def depth(db: apsw.Connection) -> int:
            return int((one_row(db, "SELECT count(*) FROM task_outbox") or (0,))[0])

        return await self._database.read(depth)

    # --- expiry -------------------------------------------------------------------------------

    async def expire(
        self,
        now: datetime,
        bounds: Mapping[str, Bounds],
        default: Bounds,
        *,
        tombstone_seconds: float,
        max_tombstones: int,
    ) -> list[ExpiredTask]:
        def expire(db: apsw.Connection) -> list[ExpiredTask]:
            expired: list[ExpiredTask] = []
            kinds: list[Any] = db.execute(
                "SELECT CAST(kind AS BLOB), count(*) FROM tasks GROUP BY kind"
            ).fetchall()
            for name, count in kinds:
                kind = as_text(name)
                bound = bounds.get(kind, default)
                limit = to_ms(now - timedelta(seconds=bound.keep_seconds))
                old = db.execute(_ENDED + "AND ended <= ? ORDER BY ended, seq", (kind, limit)).fetchall()
                too_many = max(0, count - len(old) - bound.max_kept)
                if too_many:
                    old += db.execute(
                        _ENDED + "AND ended > ? ORDER BY ended, seq LIMIT ?", (kind, limit, too_many)
                    ).fetchall()
                old += self._unreadable_unfinished(db, kind, limit)
                for row in old:
                    expired.append(self._rows.expired(row))
                    db.execute(
                        "INSERT OR REPLACE INTO tasks_gone (id, at) SELECT id, ? FROM tasks WHERE seq = ?",
                        (to_ms(now), row[0]),
                    )
                    db.execute("DELETE FROM tasks WHERE seq = ?", (row[0],))
            oldest = to_ms(now - timedelta(seconds=tombstone_seconds))
            db.execute("DELETE FROM tasks_gone WHERE at <= ?", (oldest,))
            db.execute(
                "DELETE FROM tasks_gone WHERE seq <="
                " (SELECT seq FROM tasks_gone ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                (max_tombstones,),
            )
            return expired

        return await self._database.write(expire)

    def _unreadable_unfinished(self, db: apsw.Connection, kind: str, limit: int) -> list[Any]:
        """Select the tasks that nobody could fail at their deadline, because they cannot be decoded."""
        rows = db.execute(_LONG_OVERDUE, (*_UNFINISHED, kind, limit)).fetchall()
        damaged = [row[0] for row in rows if not self._rows.is_readable(row)]
        query = f"SELECT {EXPIRED_COLUMNS} FROM tasks WHERE seq IN ({marks(damaged)})"
        return db.execute(query, damaged).fetchall() if damaged else []

    # --- single tasks -------------------------------------------------------------------------

    def _find(self, db: apsw.Connection, task_id: str) -> tuple[int, Task]:
        row = one_row(db, f"SELECT {TASK_COLUMNS} FROM tasks WHERE id = ?", task_id)
        if row is None:
            gone = one_row(db, "SELECT 1 FROM tasks_gone WHERE id = ?", task_id)
            raise missing(task_id, was_there=gone is not None)
        return row[0], self._rows.task(row)

    def _find_by_key(self, db: apsw.Connection, key: IdempotencyKey) -> Task | None:
        row = one_row(
            db,
            f"SELECT fingerprint, {TASK_COLUMNS} FROM task_keys JOIN tasks ON tasks.seq = task_keys.task"
            " WHERE scope = ? AND key = ?",
            key.scope,
            key.text,
        )
        if row is None:
            return None
        key.check(row[0])
        return self._rows.task(row[1:])
