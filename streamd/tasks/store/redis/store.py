"""The task store in Redis. See the package for its theory of operation, and :class:`.port.TaskStore`."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import trio

from ....characters import quoted
from ....clock import SteadyClock
from ....database import StorageRoom
from ....errors import Unavailable, Unreadable
from ....events import Draft, EventId
from ....idempotency import IdempotencyKey
from ....log.redis import RedisLog
from ....log.redis.codec import from_redis
from ....redis.script import Script
from ....unreadable import as_text
from ...model import Change, Operation, Task
from ...states import Status
from ..port import (
    Bounds,
    ClaimedTask,
    ExpiredTask,
    Outgoing,
    PublishedMessage,
    Publishing,
    Snapshot,
    missing,
    outgoing_rows,
    taken,
    too_many,
)
from ..rows import TaskRows, to_ms
from . import scripts
from .expiry import count_tasks, expire_tasks, overdue_rows
from .locks import TaskLocks
from .notes import hand_on_note, note_of
from .outbox import RedisOutbox
from .writes import key_name, make_write, number_of, task_row

_TRIES_MAX: Final = 100  # of one change: each but the last failed because another node made one
_SCANNED: Final = 256  # tasks that one script looks at
_READ: Final = 64  # tasks that one script returns
_RENEWED: Final = 500  # leases that one script extends


class RedisTaskStore:
    """The task store in Redis.

    Args:
        log: the log, whose connections and keys the store shares; it must be served for as long as the store
            is used.
    """

    is_shared: Final = True
    durability: Final = (
        "An acknowledged task is in Redis: it survives the end of all nodes, and what Redis itself survives"
        " depends on its appendonly, appendfsync and min-replicas-to-write."
    )

    def __init__(self, log: RedisLog) -> None:
        self.shared_tasks = 0
        self.log: Final = log
        self._access = log.access
        self.unreadable: Final = log.unreadable
        self.room: Final = StorageRoom("redis")  # the server has maxmemory
        self._rows = TaskRows(log.unreadable)
        self._outbox = RedisOutbox(log.access, self._rows)
        self._publishing: Publishing | None = None
        self._locks = TaskLocks()
        self._claiming = trio.Lock()

    @property
    def publishes(self) -> bool:
        return self._publishing is not None and self._outbox.is_drained

    def publish_with(self, publishing: Publishing) -> None:
        self._publishing = publishing
        self.log.on_note = partial(hand_on_note, publishing)

    async def start_clock(self, clock: SteadyClock) -> None:
        """Start a clock at the server's time, so that leases and deadlines mean the same on all nodes.

        Call this before the clock is read, on each node.

        Raises:
            Unavailable: the server cannot be reached.
        """
        seconds, microseconds = await self._access.ask(scripts.TIME)
        clock.start_at(datetime.fromtimestamp(int(seconds) + int(microseconds) / 1_000_000, UTC))

    # --- changes ------------------------------------------------------------------------------

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
        reply = await self._write(
            scripts.CREATE,
            changes,
            key=key_name(key) if key is not None else "",
            fingerprint=key.fingerprint.hex() if key is not None else "",
            raw_input=raw_input,
            max_unfinished=max_unfinished,
            max_tasks=max_tasks,
        )
        if reply[0] == b"known":
            assert key is not None
            key.check(bytes.fromhex(reply[1].decode()))
            return self._rows.task(task_row(*reply[2:]))
        if reply[0] == b"taken":
            raise taken(task.id)
        if reply[0] == b"full":
            raise too_many(task.kind, max_unfinished)
        if reply[0] == b"crowded":
            raise too_many(task.kind, 0)
        return None

    async def change(self, task_id: str, operation: Operation) -> Task:
        async with self._locks.hold(task_id):
            _, stored = await self._read(task_id, "revision")
            for _ in range(_TRIES_MAX):
                *row, revision = stored
                task = self._rows.task(task_row(task_id.encode(), *row))
                changes = operation(task)
                if not changes:
                    return task
                reply = await self._write(scripts.CHANGE, changes, revision=int(revision))
                if reply[0] == b"ok":
                    return changes[-1].task
                if reply[0] == b"missing":
                    raise missing(task_id, was_there=bool(reply[1]))
                stored = reply[1:]
        raise Unavailable(
            f"task {quoted(task_id)} is changed too often at the same time", retry_after_seconds=1
        )

    async def claim(self, kinds: Collection[str], operation: Operation) -> ClaimedTask | None:
        after = 0  # number of the last task that is damaged
        tries = 0
        async with self._claiming:
            while tries < _TRIES_MAX:
                found = await self._access.ask(scripts.OLDEST, after, *kinds) if kinds else []
                if not found:
                    return None
                *row, revision, raw_input = found
                try:
                    task = self._rows.task(task_row(*row))
                except Unreadable:
                    after = int(row[1])
                    continue
                changes = operation(task)
                if not changes:
                    return ClaimedTask(task, raw_input)
                reply = await self._write(scripts.CHANGE, changes, revision=int(revision))
                if reply[0] == b"ok":
                    return ClaimedTask(changes[-1].task, raw_input)
                tries += 1
        raise Unavailable("too many nodes claim tasks at the same time", retry_after_seconds=1)

    async def _write(self, script: Script, changes: Sequence[Change], **others: Any) -> Any:
        """Store changes of a task with their events, and return the script's reply."""
        rows = [row for change in changes for row in outgoing_rows(change)]
        publishing = self._publishing
        if publishing is not None and self._outbox.is_drained:
            drafts = [publishing.draft(row) for row in rows]
            write = make_write(changes, rows, drafts, publishing, **others)
            noted = [
                (draft, note_of(row)) for row, draft in zip(rows, drafts, strict=True) if draft is not None
            ]
            reply = await self._access.append_with(script, write, noted)
            if reply[0] == b"ok":
                await self._note_appended(publishing, rows, drafts, reply[1:])
            if reply[0] != b"outbox":
                return reply
            self._outbox.is_drained = False
        write = make_write(changes, rows, None, publishing, **others)
        return await self._access.append_with(script, write, [])

    async def _note_appended(
        self,
        publishing: Publishing,
        rows: Sequence[Outgoing],
        drafts: Sequence[Draft | None],
        ids: Sequence[bytes],
    ) -> None:
        """Tell the publisher about events that are in the log, once this node's tail has them too."""
        publishing.begin(rows)
        positions = iter([from_redis(text) for text in ids])
        published = [
            PublishedMessage(
                task_id=row.task_id,
                version=row.version,
                part=row.part,
                final=row.final,
                id=None if draft is None else next(positions),
                keep=publishing.keeps(row),
            )
            for row, draft in zip(rows, drafts, strict=True)
        ]
        if ids:
            with trio.CancelScope(shield=True):  # the change is made
                await self.log.wait_for_tail(from_redis(ids[-1]))
        publishing.done(published, [draft.type for draft in drafts if draft is not None])

    async def renew(self, task_ids: Collection[str], until: datetime) -> None:
        ids = list(task_ids)
        for first in range(0, len(ids), _RENEWED):
            await self._access.change(scripts.RENEW, to_ms(until), *ids[first : first + _RENEWED])

    # --- reading ------------------------------------------------------------------------------

    async def _read(self, task_id: str, *fields: str, with_text: bool = False) -> tuple[Any, Any]:
        """Return the parts of a task's text; and its number, body and lease with some more fields.

        Raises:
            NotFound, Gone: there is no such task.
        """
        reply = await self._access.ask(scripts.GET, task_id, int(with_text), *fields)
        if reply[0] == b"missing":
            raise missing(task_id, was_there=bool(reply[1]))
        return reply[1], reply[2:]

    async def _read_field(self, task_id: str, field: str) -> bytes | None:
        _, (*row, value) = await self._read(task_id, field)
        self._rows.task(task_row(task_id.encode(), *row))
        return value  # type: ignore[no-any-return]

    async def get(self, task_id: str) -> Task:
        _, row = await self._read(task_id)
        return self._rows.task(task_row(task_id.encode(), *row))

    async def input(self, task_id: str) -> bytes:
        return await self._read_field(task_id, "input") or b""

    async def result(self, task_id: str) -> bytes | None:
        return await self._read_field(task_id, "result")

    async def snapshot(self, task_id: str) -> Snapshot:
        text, (*row, version, event_id, end) = await self._read(
            task_id, "published_version", "published_id", "end", with_text=True
        )
        return Snapshot(
            task=self._rows.task(task_row(task_id.encode(), *row)),
            text=self._rows.text(task_id, [(part,) for part in text]),
            published_version=number_of(version),
            published_id=EventId(as_text(event_id)) if event_id else None,
            end=None if end is None else self._rows.end(task_id, end),
        )

    async def find(
        self,
        *,
        kind: str | None = None,
        status: Status | None = None,
        owner: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        if owner:
            index = f"tasks:owner:{owner}"
        elif status is not None:
            index = f"tasks:status:{status.value}" + ("" if kind is None else f":{kind}")
        else:
            index = "tasks" if kind is None else f"tasks:kind:{kind}"
        given = {"kind": kind, "status": status and status.value, "owner": owner}
        fields = {name: value for name, value in given.items() if value is not None}
        return await self._scan(index, limit, fields)

    async def held_by(self, prefix: str) -> list[Task]:
        found = await self._scan(f"tasks:status:{Status.RUNNING.value}", None, {}, prefix)
        return found[::-1]

    async def _scan(
        self, index: str, limit: int | None, fields: Mapping[str, str], worker: str = ""
    ) -> list[Task]:
        """Return the matching tasks of an index that can be decoded, the newest first."""
        wanted = [text for pair in fields.items() for text in pair]
        found: list[Task] = []
        before = b"+inf"
        while before and (limit is None or len(found) < limit):
            number = _READ if limit is None else min(_READ, limit - len(found))
            before, *read = await self._access.ask(
                scripts.FIND, index, before, _SCANNED, number, worker, *wanted
            )
            found += self._rows.readable(task_row(*read[n : n + 4]) for n in range(0, len(read), 4))
        return found

    async def overdue(self, now: datetime) -> list[Task]:
        rows = [row for row, *_ in await overdue_rows(self._access, to_ms(now))]
        return list(self._rows.readable(sorted(rows, key=lambda row: row[0])))

    async def counts(self) -> Mapping[tuple[str, Status], int]:
        counts: Counter[tuple[str, Status]] = Counter()
        _, *totals = await self._access.ask(scripts.TOTALS)
        for field, count in zip(totals[::2], totals[1::2], strict=True):
            kind, _, stored = field.partition(b"\0")
            if (status := self._rows.status(as_text(kind), stored)) is not None:
                counts[as_text(kind), status] += int(count)
        return counts

    # --- the outbox, and expiry -----------------------------------------------------------------

    async def unpublished(self, limit: int) -> list[Outgoing]:
        return await self._outbox.unpublished(limit)

    async def mark_published(self, published: Sequence[PublishedMessage]) -> None:
        await self._outbox.mark_published(published)

    async def ending(self) -> list[str]:
        return await self._outbox.ending()

    async def mark_ended(self, task_id: str) -> None:
        await self._outbox.mark_ended(task_id)

    async def outbox_depth(self) -> int:
        return await self._outbox.depth()

    async def expire(
        self,
        now: datetime,
        bounds: Mapping[str, Bounds],
        default: Bounds,
        *,
        tombstone_seconds: float,
        max_tombstones: int,
    ) -> list[ExpiredTask]:
        self.shared_tasks = await count_tasks(self._access)
        return await expire_tasks(
            self._access,
            self._rows,
            now,
            lambda kind: bounds.get(kind, default),
            tombstone_seconds=tombstone_seconds,
            max_tombstones=max_tombstones,
        )
