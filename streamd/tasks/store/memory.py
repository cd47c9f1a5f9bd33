"""The task store in this process's memory, which does not survive a restart. See :class:`.port.TaskStore`."""

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

import attrs
import trio

from ...database import MEMORY, StorageRoom
from ...events import EventId
from ...idempotency import IdempotencyKey
from ...unreadable import UnreadableRecords
from ..model import Change, Message, Operation, Task
from ..states import Status
from .port import (
    Bounds,
    ClaimedTask,
    ExpiredTask,
    Outgoing,
    PublishedMessage,
    Publishing,
    Snapshot,
    is_overdue,
    missing,
    outgoing_rows,
    taken,
    too_many,
)
from .room import check_room

_STEP_BYTES: Final = 150  # of a step besides its name, as measured


@attrs.define(eq=False)
class _Record:
    """One stored task with its input, text, result and last message; ``size`` is that of the first three, and
    of the task's steps.
    """

    task: Task
    raw_input: bytes
    key: IdempotencyKey | None = None
    text: list[str] = attrs.field(factory=list)
    result: bytes | None = None
    published_version: int = 0
    published_id: EventId | None = None
    end: Message | None = None
    size: int = 0


class MemoryTaskStore:
    """The task store in memory: records and outbox rows in the order of their creation.

    Args:
        room: the bound of inputs, steps, texts and results; without one by default.
    """

    durability: Final = "Tasks are in this process's memory; they do not survive a restart."

    def __init__(self, room: StorageRoom | None = None) -> None:
        self.room: Final = room or StorageRoom(MEMORY)
        self.unreadable: Final = UnreadableRecords()  # nothing damages this process's memory
        self._records: dict[str, _Record] = {}
        self._keys: dict[tuple[str, str], tuple[bytes, _Record]] = {}  # fingerprint and record, by key
        self._outbox: dict[tuple[str, int, int], Outgoing] = {}  # by task, version and part
        self._ending: dict[str, None] = {}  # tasks whose last row is published and kept
        self._tombstones: OrderedDict[str, datetime] = OrderedDict()  # deleted tasks, by time of deletion

    is_shared: Final = False
    shared_tasks: Final = 0
    publishes: Final = False

    def publish_with(self, publishing: Publishing) -> None:
        """Leave all events to the outbox."""

    async def create(
        self,
        changes: Sequence[Change],
        *,
        raw_input: bytes = b"null",
        max_unfinished: int,
        max_tasks: int,
        key: IdempotencyKey | None = None,
    ) -> Task | None:
        await trio.lowlevel.checkpoint()
        task = changes[0].task
        if key is not None and (key.scope, key.text) in self._keys:
            fingerprint, record = self._keys[key.scope, key.text]
            key.check(fingerprint)
            return record.task
        if task.id in self._records or task.id in self._tombstones:
            raise taken(task.id)
        unfinished = sum(
            record.task.kind == task.kind and not record.task.status.ended
            for record in self._records.values()
        )
        if unfinished >= max_unfinished:
            raise too_many(task.kind, max_unfinished)
        self.room.check()
        record = self._records[task.id] = _Record(task, raw_input, key)
        if key is not None:
            self._keys[key.scope, key.text] = key.fingerprint, record
        self._count(record, len(raw_input) + sum(_STEP_BYTES + len(step.name) for step in task.steps))
        self._apply(record, changes)
        return None

    async def change(self, task_id: str, operation: Operation) -> Task:
        await trio.lowlevel.checkpoint()
        return self._change(self._find(task_id), operation)

    async def claim(self, kinds: Collection[str], operation: Operation) -> ClaimedTask | None:
        await trio.lowlevel.checkpoint()
        for record in self._records.values():
            if record.task.status is Status.PENDING and record.task.kind in kinds:
                return ClaimedTask(self._change(record, operation), record.raw_input)
        return None

    async def get(self, task_id: str) -> Task:
        await trio.lowlevel.checkpoint()
        return self._find(task_id).task

    async def input(self, task_id: str) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._find(task_id).raw_input

    async def find(
        self,
        *,
        kind: str | None = None,
        status: Status | None = None,
        owner: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        await trio.lowlevel.checkpoint()
        found: list[Task] = []
        for record in reversed(self._records.values()):
            task = record.task
            if len(found) == limit:
                break
            if kind in (None, task.kind) and status in (None, task.status) and owner in (None, task.owner):
                found.append(task)
        return found

    async def snapshot(self, task_id: str) -> Snapshot:
        await trio.lowlevel.checkpoint()
        record = self._find(task_id)
        return Snapshot(
            task=record.task,
            text="".join(record.text),
            published_version=record.published_version,
            published_id=record.published_id,
            end=record.end,
        )

    async def result(self, task_id: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self._find(task_id).result

    async def renew(self, task_ids: Collection[str], until: datetime) -> None:
        await trio.lowlevel.checkpoint()
        for task_id in task_ids:
            record = self._records.get(task_id)
            if record is not None and record.task.status is Status.RUNNING:
                record.task = attrs.evolve(record.task, lease_until=record.task.at(until))

    async def overdue(self, now: datetime) -> list[Task]:
        await trio.lowlevel.checkpoint()
        return [record.task for record in self._records.values() if is_overdue(record.task, now)]

    async def held_by(self, prefix: str) -> list[Task]:
        await trio.lowlevel.checkpoint()
        return [
            record.task
            for record in self._records.values()
            if record.task.status is Status.RUNNING and record.task.worker.startswith(prefix)
        ]

    async def counts(self) -> Mapping[tuple[str, Status], int]:
        await trio.lowlevel.checkpoint()
        return Counter((record.task.kind, record.task.status) for record in self._records.values())

    # --- the outbox ---------------------------------------------------------------------------

    async def unpublished(self, limit: int) -> list[Outgoing]:
        await trio.lowlevel.checkpoint()
        return list(islice(self._outbox.values(), limit))

    async def mark_published(self, published: Sequence[PublishedMessage]) -> None:
        await trio.lowlevel.checkpoint()
        for row in published:
            waiting = self._outbox.pop((row.task_id, row.version, row.part), None)
            if row.keep and waiting is not None:
                self._ending[row.task_id] = None
            record = self._records.get(row.task_id)
            if record is not None and row.part == 0:
                record.published_version, record.published_id = row.version, row.id

    async def ending(self) -> list[str]:
        await trio.lowlevel.checkpoint()
        return list(self._ending)

    async def mark_ended(self, task_id: str) -> None:
        await trio.lowlevel.checkpoint()
        self._ending.pop(task_id, None)

    async def outbox_depth(self) -> int:
        await trio.lowlevel.checkpoint()
        return len(self._outbox) + len(self._ending)

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
        await trio.lowlevel.checkpoint()
        waiting = {row.task_id for row in self._outbox.values()} | set(self._ending)
        ended: dict[str, list[Task]] = {}
        for record in self._records.values():
            if record.task.ended_at is not None and record.task.id not in waiting:
                ended.setdefault(record.task.kind, []).append(record.task)
        expired: list[Task] = []
        for kind, tasks in ended.items():
            bound = bounds.get(kind, default)
            limit = now - timedelta(seconds=bound.keep_seconds)
            kept = sum(record.task.kind == kind for record in self._records.values())
            for task in sorted(tasks, key=_ended):
                if _ended(task) <= limit or kept > bound.max_kept:
                    expired.append(task)
                    kept -= 1
        for task in expired:
            record = self._records.pop(task.id)
            self._count(record, -record.size)
            key = record.key
            if key is not None:
                del self._keys[key.scope, key.text]
            self._tombstones[task.id] = now
        while self._tombstones and (
            len(self._tombstones) > max_tombstones
            or next(iter(self._tombstones.values())) <= now - timedelta(seconds=tombstone_seconds)
        ):
            self._tombstones.popitem(last=False)
        return [ExpiredTask(task.id, task.kind, task.status) for task in expired]

    # ------------------------------------------------------------------------------------------

    def _find(self, task_id: str) -> _Record:
        record = self._records.get(task_id)
        if record is None:
            raise missing(task_id, was_there=task_id in self._tombstones)
        return record

    def _change(self, record: _Record, operation: Operation) -> Task:
        self._apply(record, check_room(self.room, operation(record.task)))
        return record.task

    def _apply(self, record: _Record, changes: Sequence[Change]) -> None:
        for change in changes:
            record.task = change.task
            if change.text:
                record.text.append(change.text)
            if change.result is not None:
                record.result = change.result
            for row in outgoing_rows(change):
                self._outbox[row.task_id, row.version, row.part] = row
                if row.final and row.is_own:
                    record.end = row.message
        self._count(record, sum(len(change.text) + len(change.result or b"") for change in changes))

    def _count(self, record: _Record, added_bytes: int) -> None:
        record.size += added_bytes
        self.room.note(self.room.used_bytes + added_bytes)


def _ended(task: Task) -> datetime:
    """Return the steady time of a task's end."""
    assert task.ended_at is not None
    return task.ended_at - task.clock_offset
