"""The way from the store's outbox to the log: no event is lost, and those of a task keep their order."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

import structlog
import trio

from ..errors import IdempotencyConflict, StreamdError
from ..events import Draft, EventId, EventSettings
from ..hub import Hub
from ..log.port import Receipt
from ..time_slice import TimeSlice
from .drafts import TaskDrafts
from .endings import TaskEndings
from .kinds import Kind
from .metrics import TaskMetrics
from .positions import TaskPositions
from .store.port import Outgoing, PublishedMessage, Publishing, TaskStore

PUBLISHER: Final = "tasks"
_BATCH_ROWS: Final = 256  # as many as the fan-out takes in one turn
_FIRST_RETRY_SECONDS: Final = 0.05
_LAST_RETRY_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


class OutboxPublisher:
    """The publisher of the store's outbox.

    Where the store and the log share one database, a change appends its events in its own transaction, and
    the outbox holds only what an earlier process left there: the store calls ``Publishing``.

    Otherwise each row has an idempotency key, see :meth:`.drafts.TaskDrafts.make`. After a crash, events that
    the log had taken and the store had not yet recorded as published are published again with the same key:
    a log that kept the key takes them once, one that starts empty (``log.memory``) has not got them. Clients
    that followed across the crash may therefore receive such an event a second time. Rows that cannot be
    published now stay in the outbox and are retried with exponential backoff; the work they report goes on.

    Args:
        store: the store with the outbox.
        hub: the hub to publish on.
        limits: the limits of events for publishers.
        metrics: the counters.
        kinds: the registered kinds, by name.
        time_slice: the time for which events are made in one pass of the event loop; None for the usual one.

    Attributes:
        positions: the positions of recently published events.
        on_end: called with the id of a task that has ended, by a store that several processes share.
        on_creation: called by such a store with the kind of a task that may be pending, '' if unknown.
    """

    def __init__(
        self,
        store: TaskStore,
        hub: Hub,
        limits: EventSettings,
        metrics: TaskMetrics,
        kinds: Mapping[str, Kind],
        time_slice: TimeSlice | None = None,
    ) -> None:
        self.positions: Final = TaskPositions(store)
        self.on_end: Callable[[str], None] = lambda _: None
        self.on_creation: Callable[[str], None] = lambda _: None
        self._store = store
        self._hub = hub
        self._drafts = TaskDrafts(limits, kinds, metrics)
        self._metrics = metrics
        self._endings = TaskEndings(store, kinds, metrics)
        self._slice = time_slice or TimeSlice()
        self._wanted = trio.Event()
        hub.on_gap = self.positions.forget_until
        store.publish_with(
            Publishing(
                draft=self._drafts.make,
                keeps=lambda row: row.last and self._endings.concern(row.kind),
                begin=self.positions.announce,
                done=self._note_appended,
                ended=self._note_end,
                created=self._note_creation,
            )
        )

    def wake(self) -> None:
        """Publish soon: the outbox has new rows."""
        self._wanted.set()

    async def run(self) -> NoReturn:
        """Publish until cancelled. Rows left in the outbox are published by the next run."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._endings.run)
            await self._publish_all()
        raise AssertionError("the publisher runs until it is cancelled")

    async def _publish_all(self) -> NoReturn:
        retry_seconds = _FIRST_RETRY_SECONDS
        limit = _BATCH_ROWS
        while True:
            self._wanted = trio.Event()
            try:
                rows = await self._store.unpublished(limit)
                if not rows:
                    await self._wanted.wait()
                    continue
                await self._publish(rows)
            except Exception as error:  # noqa: BLE001 - no failure to publish may stop the work it reports
                self._metrics.publish_failures.inc()
                if isinstance(error, StreamdError):
                    _log.warning("outbox_delayed", code=error.code, retry_seconds=retry_seconds)
                else:
                    _log.exception("outbox_delayed", retry_seconds=retry_seconds)
                await trio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, _LAST_RETRY_SECONDS)
                limit = max(1, limit // 2)  # the hub may have room for fewer
            else:
                retry_seconds = _FIRST_RETRY_SECONDS
                limit = min(2 * limit, _BATCH_ROWS)

    async def _publish(self, rows: Sequence[Outgoing]) -> None:
        self.positions.announce(rows)
        drafts = []
        for row in rows:
            await self._slice.pause()  # a long text takes milliseconds
            drafts.append(self._drafts.make(row))
        receipts = iter(await self._publish_drafts([draft for draft in drafts if draft is not None]))
        published = [
            PublishedMessage(
                task_id=row.task_id,
                version=row.version,
                part=row.part,
                final=row.final,
                id=next(receipts).id if draft is not None else None,
                keep=row.last and self._endings.concern(row.kind),
            )
            for row, draft in zip(rows, drafts, strict=True)
        ]
        self._note_positions(published)
        await self._store.mark_published(published)
        self._note_published(published)

    def _note_positions(self, published: Sequence[PublishedMessage]) -> None:
        for row in published:
            if row.is_own and row.id is not None:
                self.positions.add(row, row.id)
        self.positions.wake()

    def _note_appended(self, published: Sequence[PublishedMessage], types: Sequence[str]) -> None:
        self._hub.count_published(types)
        self._note_published(published)

    def _note_creation(self, task_id: str, kind: str, position: EventId) -> None:
        known = self.positions.final_position(task_id)
        if known is None or known < position:
            self.positions.forget(task_id)
        self.on_creation(kind)

    def _note_end(self, task_id: str, version: int, position: EventId) -> None:
        self.positions.add_final(task_id, version, position)
        self.positions.wake()
        self.on_end(task_id)

    def _note_published(self, published: Sequence[PublishedMessage]) -> None:
        """Note events that are in the log and marked as published, and begin the endings of their tasks."""
        self._note_positions(published)
        ending = [row.task_id for row in published if row.keep]
        self._metrics.outbox_depth.dec(len(published) - len(ending))
        for task_id in ending:
            self._endings.begin(task_id)

    async def _publish_drafts(self, drafts: list[Draft]) -> list[Receipt]:
        try:
            return await self._hub.publish_drafts(drafts, publisher=PUBLISHER)
        except IdempotencyConflict as error:
            # The log remembers an older task of the same id for longer than the store does.
            _log.warning("task_keys_taken", detail=error.detail)
            return [await self._publish_draft(draft) for draft in drafts]

    async def _publish_draft(self, draft: Draft) -> Receipt:
        """Publish one event, with its content added to the key where an older task of the id has that key."""
        try:
            [receipt] = await self._hub.publish_drafts([draft], publisher=PUBLISHER)
        except IdempotencyConflict:
            content = hashlib.sha256(f"{draft.type}\n{draft.data}".encode()).hexdigest()[:32]
            draft = draft.with_key(f"{draft.idempotency_key}:{content}")
            [receipt] = await self._hub.publish_drafts([draft], publisher=PUBLISHER)
        return receipt
