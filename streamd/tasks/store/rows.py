"""The rows of the task store in SQLite: written, and decoded or reported as unreadable.

The store in Redis decodes its tasks as such rows too. A damaged row is an error for its task alone, and lists
leave it out.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import apsw
import attrs
import msgspec

from ...errors import Unreadable
from ...unreadable import DAMAGE, UnreadableRecords, as_text
from ..model import Change, Message, Task, topic_of
from ..states import Status
from .port import ExpiredTask, Outgoing, PublishedMessage, outgoing_rows

# Names are read as bytes, see `as_text`.
TASK_COLUMNS: Final = "tasks.seq, CAST(tasks.id AS BLOB), tasks.body, tasks.lease_until"
EXPIRED_COLUMNS: Final = "tasks.seq, CAST(tasks.id AS BLOB), CAST(tasks.kind AS BLOB), CAST(status AS BLOB)"
OUTBOX_COLUMNS: Final = (
    "outbox.seq, CAST(outbox.task AS BLOB), CAST(tasks.kind AS BLOB), CAST(status AS BLOB),"
    " outbox.version, part, CAST(topics AS BLOB), message, final, last"
)

_DECODE_TASK: Final = msgspec.json.Decoder(Task).decode
_DECODE_MESSAGE: Final = msgspec.json.Decoder(Message).decode
_DECODE_TOPICS: Final = msgspec.json.Decoder(tuple[str, ...]).decode

Row = Sequence[Any]


@attrs.frozen
class TaskRows:
    """Decodes rows, and reports those that are damaged."""

    unreadable: UnreadableRecords

    def task(self, row: Row) -> Task:
        """Decode a row of :data:`TASK_COLUMNS`.

        Raises:
            Unreadable: the row is damaged.
        """
        _, id, body, lease_until = row
        try:
            task: Task = _DECODE_TASK(body)
            if lease_until == steady_ms(task, task.lease_until):
                return task
            until = None if lease_until is None else task.at(_moment(lease_until))
            return attrs.evolve(task, lease_until=until)
        except DAMAGE as error:
            raise self.unreadable.report("task", as_text(id), error) from error

    def readable(self, rows: Iterable[Row]) -> Iterator[Task]:
        """Decode rows of :data:`TASK_COLUMNS`, and leave damaged ones out."""
        for row in rows:
            try:
                yield self.task(row)
            except Unreadable:
                continue

    def is_readable(self, row: Row) -> bool:
        """Return True if :meth:`task` can decode a row."""
        return next(self.readable([row]), None) is not None

    def status(self, kind: str, status: bytes) -> Status | None:
        """Decode a status that was read as bytes; None for a damaged one of a task of this kind."""
        try:
            return Status(status.decode())
        except DAMAGE as error:
            self.unreadable.report("status of tasks", kind, error)
            return None

    def expired(self, row: Row) -> ExpiredTask:
        """Decode a row of :data:`EXPIRED_COLUMNS`, which needs nothing of the task itself."""
        _, id, kind, status = row
        return ExpiredTask(as_text(id), as_text(kind), self.status(as_text(kind), status))

    def text(self, task_id: str, parts: Iterable[Row]) -> str:
        """Join the parts of a task's text, each read as bytes.

        Raises:
            Unreadable: a part is damaged.
        """
        try:
            return "".join([part.decode() for (part,) in parts])
        except DAMAGE as error:
            raise self.unreadable.report("text of task", task_id, error) from error

    def end(self, task_id: str, raw: bytes) -> Message:
        """Decode the last message of a task.

        Raises:
            Unreadable: it is damaged.
        """
        try:
            message: Message = _DECODE_MESSAGE(raw)
        except DAMAGE as error:
            raise self.unreadable.report("last message of task", task_id, error) from error
        return message

    def outgoing(self, row: Row) -> Outgoing | None:
        """Decode a row of :data:`OUTBOX_COLUMNS`; None if it does not even tell its task."""
        seq, id, kind, status, version, part, topics, message, final, last = row
        try:
            task_id = id.decode()
        except DAMAGE as error:
            self.unreadable.report("event of task", f"{as_text(id)}:{seq}", error)
            return None
        names: tuple[str, ...] = (topic_of(task_id),)
        is_damaged = False
        try:
            decoded: Message = _DECODE_MESSAGE(message)
            names = _DECODE_TOPICS(topics) if topics else names
        except DAMAGE as error:
            self.unreadable.report("event of task", f"{task_id}:{version}:{part}", error)
            is_damaged = True
            known = {"status": as_text(status)} if final else {}
            decoded = Message("", {"taskId": task_id, "version": version, **known})
        return Outgoing(
            task_id,
            as_text(kind),
            version,
            part,
            names,
            decoded,
            bool(final),
            bool(last),
            is_damaged,
        )


def one_row(db: apsw.Connection, query: str, *values: Any) -> tuple[Any, ...] | None:
    """Return the first row of a query."""
    row: tuple[Any, ...] | None = db.execute(query, values).fetchone()
    return row


def read_input(db: apsw.Connection, seq: int) -> bytes:
    """Return the input of a task, by its number: JSON, or nothing if it is damaged."""
    row = one_row(db, "SELECT input FROM task_inputs WHERE task = ?", seq)
    if row is None:
        return b"null"
    return row[0] if isinstance(row[0], bytes) else b""


def marks(values: Collection[object]) -> str:
    """Return a placeholder of SQL for each value."""
    return ", ".join("?" * len(values))


def apply_changes(
    db: apsw.Connection, seq: int, changes: Sequence[Change], published: Sequence[PublishedMessage] | None
) -> Task | None:
    """Store the changes of a task in order, and return the task after them.

    Args:
        db: the connection, in a transaction.
        seq: the task's number.
        changes: the changes.
        published: their events, if the transaction has appended them to the log; None to put these into the
            outbox.
    """
    for change in changes:
        task = change.task
        for row in outgoing_rows(change):
            message = msgspec.json.encode({"type": row.message.type, "data": row.message.data})
            if published is None:
                _put_into_outbox(db, row, message, kept=False)
            elif any(each.keep and each.version == row.version for each in published) and row.last:
                _put_into_outbox(db, row, message, kept=True)
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
            steady_ms(task, task.deadline),
            steady_ms(task, task.lease_until),
            steady_ms(task, task.ended_at),
            msgspec.json.encode(task),
            seq,
        ),
    )
    for each in published or ():
        if each.is_own:
            db.execute(
                "UPDATE tasks SET published_version = ?, published_id = ? WHERE seq = ?",
                (each.version, each.id, seq),
            )
    return task


def _put_into_outbox(db: apsw.Connection, row: Outgoing, message: bytes, *, kept: bool) -> None:
    topics = "" if row.topics == (topic_of(row.task_id),) else msgspec.json.encode(row.topics).decode()
    db.execute(
        "INSERT INTO task_outbox (task, version, part, topics, final, last, kept, message)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (row.task_id, row.version, row.part, topics, row.final, row.last, kept, message),
    )


def steady_ms(task: Task, moment: datetime | None) -> int | None:
    """Return a time of a task as steady time (ms since 1970)."""
    return None if moment is None else to_ms(moment - task.clock_offset)


def to_ms(moment: datetime) -> int:
    """Return a time as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
