"""The task store in SQLite, which survives a restart. See :class:`.port.TaskStore`.

A task is one row: columns for the fields that queries select by, and the whole task as JSON in ``body``. The
times in columns are steady time, those in ``body`` are the task's own.
Input, text and result have tables of their own: they may be large, and do not change with every version.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import apsw
import attrs
import msgspec

from ...database import Database
from ...events import EventId
from ...idempotency import IdempotencyKey
from ..model import Change, Message, Task, topic_of
from ..operations import Operation
from ..states import Status
from .port import (
    Bounds,
    ClaimedTask,
    Outgoing,
    PublishedMessage,
    Snapshot,
    missing,
    outgoing_rows,
    taken,
    too_many,
)
from .schema import COMPONENT, MIGRATIONS

_COLUMNS: Final = "tasks.seq, tasks.body, tasks.lease_until"
_ENDED: Final = (
    f"SELECT {_COLUMNS} FROM tasks WHERE kind = ? AND ended IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM task_outbox WHERE task = tasks.id) "
)
_UNPUBLISHED: Final = (
    "SELECT outbox.task, coalesce(tasks.kind, ''), version, part, topics, message, final, last"
    " FROM task_outbox AS outbox LEFT JOIN tasks ON tasks.id = outbox.task"
    " WHERE NOT kept ORDER BY outbox.seq LIMIT ?"
)
_DECODE_TASK: Final = msgspec.json.Decoder(Task).decode
_DECODE_MESSAGE: Final = msgspec.json.Decoder(Message).decode
_DECODE_TOPICS: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_UNFINISHED: Final = (Status.PENDING.value, Status.RUNNING.value)


class SQLiteTaskStore:
    """The task store in a SQLite database.

    Args:
        database: the database; its owner opens it after this constructor has named the migrations.
    """

    durability: Final = "An acknowledged task is on disk; it survives the end of the process."

    def __init__(self, database: Database) -> None:
        self._database = database
        database.require(COMPONENT, MIGRATIONS)

    async def create(
        self,
        changes: Sequence[Change],
        *,
        raw_input: bytes = b"null",
        max_unfinished: int,
        key: IdempotencyKey | None = None,
    ) -> Task | None:
        task = changes[0].task

        def create(db: apsw.Connection) -> Task | None:
            if key is not None and (stored := _find_by_key(db, key)) is not None:
                return stored
            known = "SELECT 1 FROM tasks WHERE id = ? UNION ALL SELECT 1 FROM tasks_gone WHERE id = ?"
            if _one(db, known, task.id, task.id):
                raise taken(task.id)
            [unfinished] = _one(
                db, "SELECT count(*) FROM tasks WHERE status IN (?, ?) AND kind = ?", *_UNFINISHED, task.kind
            ) or (0,)
            if unfinished >= max_unfinished:
                raise too_many(task.kind, max_unfinished)
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
            _apply(db, seq, changes)
            return None

        return await self._database.write(create)

    async def change(self, task_id: str, operation: Operation) -> Task:
        def change(db: apsw.Connection) -> Task:
            seq, task = _find(db, task_id)
            return _apply(db, seq, operation(task)) or task

        return await self._database.write(change)

    async def claim(self, kinds: Collection[str], operation: Operation) -> ClaimedTask | None:
        def claim(db: apsw.Connection) -> ClaimedTask | None:
            row = _one(
                db,
                f"SELECT id FROM tasks WHERE status = ? AND kind IN ({_marks(kinds)}) ORDER BY seq LIMIT 1",
                Status.PENDING.value,
                *kinds,
            )
            if row is None:
                return None
            seq, task = _find(db, row[0])
            return ClaimedTask(_apply(db, seq, operation(task)) or task, _input(db, seq))

        return await self._database.write(claim)

    async def get(self, task_id: str) -> Task:
        return await self._database.read(lambda db: _find(db, task_id)[1])

    async def input(self, task_id: str) -> bytes:
        return await self._database.read(lambda db: _input(db, _find(db, task_id)[0]))

    async def find(
        self,
        *,
        kind: str | None = None,
        status: Status | None = None,
        owner: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        wanted = {"kind": kind, "status": status and status.value, "owner": owner}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given) or "true"

        def find(db: apsw.Connection) -> list[Task]:
            query = f"SELECT {_COLUMNS} FROM tasks WHERE {where} ORDER BY seq DESC LIMIT ?"
            return [_task(row) for row in db.execute(query, (*given.values(), limit))]

        return await self._database.read(find)

    async def snapshot(self, task_id: str) -> Snapshot:
        def snapshot(db: apsw.Connection) -> Snapshot:
            seq, task = _find(db, task_id)
            version, event_id = _one(
                db, "SELECT published_version, published_id FROM tasks WHERE seq = ?", seq
            ) or (0, None)
            texts = db.execute("SELECT text FROM task_texts WHERE task = ? ORDER BY version", (seq,))
            end = _one(db, "SELECT message FROM task_ends WHERE task = ?", seq)
            return Snapshot(
                task=task,
                text="".join(row[0] for row in texts),
                published_version=version,
                published_id=event_id and EventId(event_id),
                end=_message(end[0]) if end else None,
            )

        return await self._database.read(snapshot)

    async def result(self, task_id: str) -> bytes | None:
        def result(db: apsw.Connection) -> bytes | None:
            seq, _ = _find(db, task_id)
            row = _one(db, "SELECT result FROM task_ends WHERE task = ?", seq)
            return row[0] if row else None

        return await self._database.read(result)

    async def renew(self, task_ids: Collection[str], until: datetime) -> None:
        def renew(db: apsw.Connection) -> None:
            db.execute(
                f"UPDATE tasks SET lease_until = ? WHERE status = ? AND id IN ({_marks(task_ids)})",
                (_ms(until), Status.RUNNING.value, *task_ids),
            )

        await self._database.write(renew)

    async def overdue(self, now: datetime) -> list[Task]:
        return await self._select(
            "status IN (?, ?) AND (deadline <= ? OR lease_until <= ?)", *_UNFINISHED, _ms(now), _ms(now)
        )

    async def held_by(self, prefix: str) -> list[Task]:
        return await self._select(
            "status = ? AND substr(worker, 1, ?) = ?", Status.RUNNING.value, len(prefix), prefix
        )

    async def _select(self, where: str, *values: Any) -> list[Task]:
        def select(db: apsw.Connection) -> list[Task]:
            query = f"SELECT {_COLUMNS} FROM tasks WHERE {where} ORDER BY seq"
            return [_task(row) for row in db.execute(query, values)]

        return await self._database.read(select)

    async def counts(self) -> Mapping[tuple[str, Status], int]:
        def counts(db: apsw.Connection) -> Mapping[tuple[str, Status], int]:
            rows = db.execute("SELECT kind, status, count(*) FROM tasks GROUP BY kind, status")
            return {(kind, Status(status)): count for kind, status, count in rows}

        return await self._database.read(counts)

    # --- the outbox ---------------------------------------------------------------------------

    async def unpublished(self, limit: int) -> list[Outgoing]:
        def unpublished(db: apsw.Connection) -> list[Outgoing]:
            return [_outgoing(row) for row in db.execute(_UNPUBLISHED, (limit,))]

        return await self._database.read(unpublished)

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
            return [str(row[0]) for row in db.execute("SELECT task FROM task_outbox WHERE kept ORDER BY seq")]

        return await self._database.read(ending)

    async def mark_ended(self, task_id: str) -> None:
        def mark(db: apsw.Connection) -> None:
            db.execute("DELETE FROM task_outbox WHERE task = ? AND kept", (task_id,))

        await self._database.write(mark)

    async def outbox_depth(self) -> int:
        def depth(db: apsw.Connection) -> int:
            return int((_one(db, "SELECT count(*) FROM task_outbox") or (0,))[0])

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
    ) -> list[Task]:
        def expire(db: apsw.Connection) -> list[Task]:
            expired: list[Task] = []
            kinds: list[Any] = db.execute("SELECT kind, count(*) FROM tasks GROUP BY kind").fetchall()
            for kind, count in kinds:
                bound = bounds.get(kind, default)
                limit = _ms(now - timedelta(seconds=bound.keep_seconds))
                old = db.execute(_ENDED + "AND ended <= ? ORDER BY ended, seq", (kind, limit)).fetchall()
                too_many = max(0, count - len(old) - bound.max_kept)
                if too_many:
                    old += db.execute(
                        _ENDED + "AND ended > ? ORDER BY ended, seq LIMIT ?", (kind, limit, too_many)
                    ).fetchall()
                for row in old:
                    expired.append(_task(row))
                    db.execute("DELETE FROM tasks WHERE seq = ?", (row[0],))
            for task in expired:
                db.execute("INSERT OR REPLACE INTO tasks_gone (id, at) VALUES (?, ?)", (task.id, _ms(now)))
            db.execute(
                "DELETE FROM tasks_gone WHERE at <= ?", (_ms(now - timedelta(seconds=tombstone_seconds)),)
            )
            db.execute(
                "DELETE FROM tasks_gone WHERE seq <="
                " (SELECT seq FROM tasks_gone ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                (max_tombstones,),
            )
            return expired

        return await self._database.write(expire)


# --- rows -------------------------------------------------------------------------------------------


def _one(db: apsw.Connection, query: str, *values: Any) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = db.execute(query, values).fetchone()
    return row


def _find(db: apsw.Connection, task_id: str) -> tuple[int, Task]:
    row = _one(db, f"SELECT {_COLUMNS} FROM tasks WHERE id = ?", task_id)
    if row is None:
        gone = _one(db, "SELECT 1 FROM tasks_gone WHERE id = ?", task_id)
        raise missing(task_id, was_there=gone is not None)
    return row[0], _task(row)


def _find_by_key(db: apsw.Connection, key: IdempotencyKey) -> Task | None:
    row = _one(
        db,
        f"SELECT fingerprint, {_COLUMNS} FROM task_keys JOIN tasks ON tasks.seq = task_keys.task"
        " WHERE scope = ? AND key = ?",
        key.scope,
        key.text,
    )
    if row is None:
        return None
    key.check(row[0])
    return _task(row[1:])


def _input(db: apsw.Connection, seq: int) -> bytes:
    row = _one(db, "SELECT input FROM task_inputs WHERE task = ?", seq)
    return row[0] if row else b"null"


def _task(row: Sequence[Any]) -> Task:
    _, body, lease_until = row
    task: Task = _DECODE_TASK(body)
    if lease_until == _steady_ms(task, task.lease_until):
        return task
    return attrs.evolve(task, lease_until=task.at(_moment(lease_until)) if lease_until is not None else None)


def _outgoing(row: Sequence[Any]) -> Outgoing:
    task, kind, version, part, topics, message, final, last = row
    return Outgoing(
        task,
        kind,
        version,
        part,
        _DECODE_TOPICS(topics) if topics else (topic_of(task),),
        _message(message),
        bool(final),
        bool(last),
    )


def _apply(db: apsw.Connection, seq: int, changes: Sequence[Change]) -> Task | None:
    """Store the changes of a task with their outbox rows, in order, and return the task after them."""
    for change in changes:
        task = change.task
        for row in outgoing_rows(change):
            message = msgspec.json.encode({"type": row.message.type, "data": row.message.data})
            topics = "" if row.topics == (task.topic,) else msgspec.json.encode(row.topics).decode()
            db.execute(
                "INSERT INTO task_outbox (task, version, part, topics, final, last, message)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row.task_id, row.version, row.part, topics, row.final, row.last, message),
            )
            if row.final and row.is_own:
                db.execute("INSERT INTO task_ends VALUES (?, ?, ?)", (seq, message, change.result))
        if change.text:
            db.execute("INSERT INTO task_texts VALUES (?, ?, ?)", (seq, task.version, change.text))
    if not changes:
        return None
    task = changes[-1].task
    db.execute(
        "UPDATE tasks SET status = ?, worker = ?, deadline = ?, lease_until = ?, ended = ?, body = ?"
        " WHERE seq = ?",
        (
            task.status.value,
            task.worker,
            _steady_ms(task, task.deadline),
            _steady_ms(task, task.lease_until),
            _steady_ms(task, task.ended_at),
            msgspec.json.encode(task),
            seq,
        ),
    )
    return task


def _message(raw: bytes) -> Message:
    message: Message = _DECODE_MESSAGE(raw)
    return message


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _steady_ms(task: Task, moment: datetime | None) -> int | None:
    return None if moment is None else _ms(moment - task.clock_offset)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
