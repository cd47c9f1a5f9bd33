"""Tasks in SQLite: they survive the process. See :class:`.port.TaskStore`.

A task is one row: what is looked for in columns, all of it as JSON in ``body``. What is large, and does
not change with every version (input, text, result), has tables of its own.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import apsw
import attrs
import msgspec

from ...database import Database
from ...events import EventId
from ..model import Change, Message, Status, Task
from ..operations import Operation
from .port import Bounds, Outgoing, Published, Snapshot, missing, taken, too_many

COMPONENT: Final = "tasks"

MIGRATIONS: Final = (
    """
    CREATE TABLE tasks (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        owner TEXT NOT NULL,
        status TEXT NOT NULL,
        worker TEXT NOT NULL,
        deadline INTEGER NOT NULL,          -- times are milliseconds since 1970
        lease_until INTEGER,
        ended INTEGER,
        published_version INTEGER NOT NULL DEFAULT 0,
        published_id TEXT,
        body BLOB NOT NULL
    );
    CREATE INDEX tasks_by_status ON tasks (status, kind, seq);
    CREATE INDEX tasks_by_kind ON tasks (kind, seq);
    CREATE INDEX tasks_by_end ON tasks (kind, ended) WHERE ended IS NOT NULL;
    CREATE TABLE task_inputs (
        task INTEGER PRIMARY KEY REFERENCES tasks (seq) ON DELETE CASCADE,
        input BLOB NOT NULL
    );
    CREATE TABLE task_texts (
        task INTEGER NOT NULL REFERENCES tasks (seq) ON DELETE CASCADE,
        version INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (task, version)
    ) WITHOUT ROWID;
    CREATE TABLE task_ends (
        task INTEGER PRIMARY KEY REFERENCES tasks (seq) ON DELETE CASCADE,
        message BLOB NOT NULL,
        result BLOB
    );
    CREATE TABLE task_outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        task TEXT NOT NULL,
        version INTEGER NOT NULL,
        last INTEGER NOT NULL,
        message BLOB NOT NULL,
        UNIQUE (task, version)
    );
    CREATE TABLE tasks_gone (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        at INTEGER NOT NULL
    );
    CREATE INDEX tasks_gone_by_time ON tasks_gone (at);
    """,
)

_COLUMNS: Final = "tasks.seq, tasks.body, tasks.lease_until"
_ENDED: Final = (
    f"SELECT {_COLUMNS}, NULL FROM tasks WHERE kind = ? AND ended IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM task_outbox WHERE task = tasks.id) "
)
_UNFINISHED: Final = (Status.PENDING.value, Status.RUNNING.value)


class SQLiteTaskStore:
    """A store in SQLite.

    Args:
        database: where; it is opened by whoever owns it.
    """

    durability: Final = "An acknowledged task is on disk; it survives the end of the process."

    def __init__(self, database: Database) -> None:
        self._database = database
        database.require(COMPONENT, MIGRATIONS)

    async def create(self, changes: Sequence[Change], *, max_unfinished: int) -> None:
        task = changes[0].task

        def create(db: apsw.Connection) -> None:
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
            db.execute("INSERT INTO task_inputs VALUES (?, ?)", (seq, task.raw_input))
            _apply(db, seq, changes)

        await self._database.write(create)

    async def change(self, task_id: str, operation: Operation) -> Task:
        def change(db: apsw.Connection) -> Task:
            seq, task = _find(db, task_id, with_input=False)  # it may be large, and does not change
            return _apply(db, seq, operation(task)) or task

        return await self._database.write(change)

    async def claim(self, kinds: Collection[str], operation: Operation) -> Task | None:
        def claim(db: apsw.Connection) -> Task | None:
            row = _one(
                db,
                f"SELECT id FROM tasks WHERE status = ? AND kind IN ({_marks(kinds)}) ORDER BY seq LIMIT 1",
                Status.PENDING.value,
                *kinds,
            )
            if row is None:
                return None
            seq, task = _find(db, row[0])
            return _apply(db, seq, operation(task))

        return await self._database.write(claim)

    async def get(self, task_id: str) -> Task:
        return await self._database.read(lambda db: _find(db, task_id)[1])

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
            query = f"SELECT {_COLUMNS}, NULL FROM tasks WHERE {where} ORDER BY seq DESC LIMIT ?"
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
            query = f"SELECT {_COLUMNS}, NULL FROM tasks WHERE {where} ORDER BY seq"
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
            query = "SELECT task, version, message, last FROM task_outbox ORDER BY seq LIMIT ?"
            return [
                Outgoing(task, version, _message(message), bool(last))
                for task, version, message, last in db.execute(query, (limit,))
            ]

        return await self._database.read(unpublished)

    async def mark_published(self, published: Sequence[Published]) -> None:
        def mark(db: apsw.Connection) -> None:
            keys = [(entry.task_id, entry.version) for entry in published]
            db.executemany("DELETE FROM task_outbox WHERE task = ? AND version = ?", keys)
            db.executemany(
                "UPDATE tasks SET published_version = ?, published_id = ? WHERE id = ?",
                [(entry.version, entry.id, entry.task_id) for entry in published],
            )

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
        gone_seconds: float,
        max_gone: int,
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
            db.execute("DELETE FROM tasks_gone WHERE at <= ?", (_ms(now - timedelta(seconds=gone_seconds)),))
            db.execute(
                "DELETE FROM tasks_gone WHERE seq <="
                " (SELECT seq FROM tasks_gone ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                (max_gone,),
            )
            return expired

        return await self._database.write(expire)


# --- rows -------------------------------------------------------------------------------------------


def _one(db: apsw.Connection, query: str, *values: Any) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = db.execute(query, values).fetchone()
    return row


def _find(db: apsw.Connection, task_id: str, *, with_input: bool = True) -> tuple[int, Task]:
    columns = f"{_COLUMNS}, task_inputs.input" if with_input else f"{_COLUMNS}, NULL"
    joined = "JOIN task_inputs ON task_inputs.task = tasks.seq" if with_input else ""
    row = _one(db, f"SELECT {columns} FROM tasks {joined} WHERE id = ?", task_id)
    if row is None:
        gone = _one(db, "SELECT 1 FROM tasks_gone WHERE id = ?", task_id)
        raise missing(task_id, was_there=gone is not None)
    return row[0], _task(row)


def _task(row: Sequence[Any]) -> Task:
    _, body, lease_until, raw_input = row
    task = msgspec.json.decode(body, type=Task)
    return attrs.evolve(task, lease_until=_moment(lease_until), raw_input=raw_input or b"null")


def _apply(db: apsw.Connection, seq: int, changes: Sequence[Change]) -> Task | None:
    """Store some changes of a task, in order, and what is to be published of them; the task after them."""
    for change in changes:
        task = change.task
        message = msgspec.json.encode(change.message)
        db.execute(
            "INSERT INTO task_outbox (task, version, last, message) VALUES (?, ?, ?, ?)",
            (task.id, task.version, task.status.ended, message),
        )
        if change.text:
            db.execute("INSERT INTO task_texts VALUES (?, ?, ?)", (seq, task.version, change.text))
        if task.status.ended:
            db.execute("INSERT INTO task_ends VALUES (?, ?, ?)", (seq, message, change.result))
    if not changes:
        return None
    task = changes[-1].task
    db.execute(
        "UPDATE tasks SET status = ?, worker = ?, deadline = ?, lease_until = ?, ended = ?, body = ?"
        " WHERE seq = ?",
        (
            task.status.value,
            task.worker,
            _ms(task.deadline),
            task.lease_until and _ms(task.lease_until),
            task.ended_at and _ms(task.ended_at),
            msgspec.json.encode(attrs.evolve(task, raw_input=b"")),
            seq,
        ),
    )
    return task


def _message(raw: bytes) -> Message:
    return msgspec.json.decode(raw, type=Message)


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
