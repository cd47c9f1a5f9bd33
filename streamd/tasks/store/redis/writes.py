"""The changes of a task as the scripts take them, and the replies as rows."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ....events import Draft
from ....idempotency import IdempotencyKey
from ....redis.link import Argument
from ...model import Change, topic_of
from ..port import Outgoing, Publishing
from ..rows import steady_ms


class RowWrite(msgspec.Struct):
    """One event of a change, for ``write.lua``.

    Args:
        name: of the row in the outbox.
        version: the task's version.
        is_own: the event is on the task's own topic.
        has_event: there is a draft; otherwise the message is dropped.
        keep: the task is ending with this row.
    """

    name: str
    version: int
    is_own: bool
    has_event: bool
    keep: bool


class StoredRow(msgspec.Struct, array_like=True, frozen=True):
    """A row of the outbox, without what its task has."""

    task_id: str
    version: int
    part: int
    topics: str
    message: bytes
    final: bool
    last: bool


class TaskWrite(msgspec.Struct, kw_only=True):
    """The changes of one task by one script; numbers that Redis stores are texts.

    The values of its fields, and the rows for the outbox, follow as arguments of their own: cmsgpack knows no
    binary values.

    Args:
        id, kind, owner, status: those of the task after the changes.
        deadline, lease, ended: steady times (ms), '' for none.
        fields: names in the task's hash.
        texts: parts that are added to the task's text.
        rows: the events.
        appends: append the events to the log; otherwise they go into the outbox.
        revision: on which the changes were decided; 0 for a new task.
        key, fingerprint: the idempotency key of a new task, and its fingerprint in hexadecimal; '' for none.
        max_unfinished: maximum number of unfinished tasks of the kind of a new task.
        max_tasks: maximum number of tasks of all kinds, a new one included.
    """

    id: str
    kind: str
    owner: str
    status: str
    deadline: str
    lease: str
    ended: str
    fields: list[str]
    texts: list[str]
    rows: list[RowWrite]
    appends: bool
    revision: int = 0
    key: str = ""
    fingerprint: str = ""
    max_unfinished: int = 0
    max_tasks: int = 0


_encode: Final = msgspec.msgpack.Encoder().encode
_STORED_ROW: Final = msgspec.msgpack.Decoder(StoredRow)


def make_write(
    changes: Sequence[Change],
    rows: Sequence[Outgoing],
    drafts: Sequence[Draft | None] | None,
    publishing: Publishing | None,
    raw_input: bytes | None = None,
    **others: Any,
) -> list[Argument]:
    """Return the changes of a task as arguments of the scripts.

    Args:
        changes: in order, at least one.
        rows: their events.
        drafts: those of the rows, which the script appends; None to put the rows into the outbox.
        publishing: the publisher's part.
        raw_input: the input of a new task; None for another.
        others: further members of the :class:`TaskWrite`.
    """
    task = changes[-1].task
    deadline, lease, ended = (
        _ms_text(steady_ms(task, moment)) for moment in (task.deadline, task.lease_until, task.ended_at)
    )
    fields: dict[str, str | bytes] = {
        "body": msgspec.json.encode(task),
        "status": task.status.value,
        "worker": task.worker,
        "deadline": deadline,
        "lease": lease,
        "ended": ended,
    }
    if raw_input is not None:
        fields["input"] = raw_input
    for change in changes:
        if change.result is not None:
            fields["result"] = change.result
    row_writes: list[RowWrite] = []
    packed: list[bytes] = []
    for index, row in enumerate(rows):
        message = msgspec.json.encode({"type": row.message.type, "data": row.message.data})
        if row.final and row.is_own:
            fields["end"] = message
        if drafts is None:
            packed.append(_pack(row, message))
        row_writes.append(
            RowWrite(
                name=row_name(row.task_id, row.version, row.part),
                version=row.version,
                is_own=row.is_own,
                has_event=drafts is not None and drafts[index] is not None,
                keep=publishing is not None and publishing.keeps(row),
            )
        )
    write = TaskWrite(
        id=task.id,
        kind=task.kind,
        owner=task.owner,
        status=task.status.value,
        deadline=deadline,
        lease=lease,
        ended=ended,
        fields=list(fields),
        texts=[change.text for change in changes if change.text],
        rows=row_writes,
        appends=drafts is not None,
        **others,
    )
    return [_encode(write), len(fields) + len(packed), *fields.values(), *packed]


def row_name(task_id: str, version: int, part: int) -> str:
    """Return the name of a row of the outbox."""
    return f"{task_id}:{version}:{part}"


def key_name(key: IdempotencyKey) -> str:
    """Return the field of an idempotency key: a key has no zero byte."""
    return f"{key.scope}\0{key.text}"


def unpack_row(packed: bytes, kind: bytes, status: bytes) -> Sequence[Any]:
    """Return a row of the outbox as :meth:`.rows.TaskRows.outgoing` decodes it.

    Raises:
        msgspec.MsgspecError: it does not even tell its task.
    """
    row = _STORED_ROW.decode(packed)
    return (
        0, row.task_id.encode(), kind, status, row.version, row.part, row.topics.encode(), row.message,
        row.final, row.last,
    )  # fmt: skip


def task_row(id: bytes, number: bytes | None, body: bytes | None, lease: bytes | None) -> Sequence[Any]:
    """Return what a script has read of a task as :meth:`.rows.TaskRows.task` decodes it."""
    is_time = lease is not None and lease.isdigit()
    return number_of(number), id, body, int(lease) if lease and is_time else lease or None


def number_of(text: bytes | None) -> int:
    """Decode a number of a task; 0 for a damaged one."""
    return int(text) if text and text.isdigit() else 0


def _pack(row: Outgoing, message: bytes) -> bytes:
    topics = "" if row.topics == (topic_of(row.task_id),) else msgspec.json.encode(row.topics).decode()
    return _encode(StoredRow(row.task_id, row.version, row.part, topics, message, row.final, row.last))


def _ms_text(ms: int | None) -> str:
    return "" if ms is None else str(ms)
