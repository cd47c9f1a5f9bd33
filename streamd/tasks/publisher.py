"""The way from the store's outbox to the log: no event is lost, and those of a task keep their order."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

import attrs
import structlog
import trio

from ..errors import IdempotencyConflict, InvalidField, RequestError, StreamdError
from ..events import Draft, EventSettings
from ..hub import Hub
from ..json import MESSAGE_ENVELOPE
from ..log.port import Receipt
from .endings import TaskEndings
from .kinds import Kind
from .messages import COMPLETE, ERROR, PROGRESS, REDUCED_EVENT_BYTES, reduce_data
from .metrics import TaskMetrics
from .model import Message
from .positions import TaskPositions
from .states import Status
from .store.port import Outgoing, PublishedMessage, TaskStore

PUBLISHER: Final = "tasks"
_BATCH_ROWS: Final = 256  # as many as the fan-out takes in one turn
_FIRST_RETRY_SECONDS: Final = 0.05
_LAST_RETRY_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


@attrs.frozen
class TaskEventLimits:
    """The limits of tasks' events: the publishers' own, but always large enough for the end of a task.

    Args:
        max_event_bytes: maximum size of an event (bytes).
    """

    max_event_bytes: int
    max_topics_per_event: int = 64
    max_topic_bytes: int = 1024
    max_idempotency_key_bytes: int = 1024

    @classmethod
    def of(cls, limits: EventSettings) -> "TaskEventLimits":
        """Build the limits from those for publishers."""
        return cls(max(limits.max_event_bytes, REDUCED_EVENT_BYTES))


class OutboxPublisher:
    """The publisher of the store's outbox.

    Each row has the idempotency key ``{task}:{version}``, or ``{task}:{version}:{part}`` for events on other
    topics than the task's own. After a crash, events that the log had taken and the store had not yet
    recorded as published are published again with the same key: a log that kept the key takes them once, one
    that starts empty (``log.memory``) has not got them. Clients that followed across the crash may therefore
    receive such an event a second time. Rows that cannot be published now stay in the outbox and are retried
    with exponential backoff; the work they report goes on.

    Args:
        store: the store with the outbox.
        hub: the hub to publish on.
        limits: the limits of events for publishers.
        metrics: the counters.
        kinds: the registered kinds, by name.

    Attributes:
        positions: the positions of recently published events.
    """

    def __init__(
        self,
        store: TaskStore,
        hub: Hub,
        limits: EventSettings,
        metrics: TaskMetrics,
        kinds: Mapping[str, Kind],
    ) -> None:
        self.positions: Final = TaskPositions(store)
        self._store = store
        self._hub = hub
        self._limits = TaskEventLimits.of(limits)
        self._metrics = metrics
        self._kinds = kinds
        self._endings = TaskEndings(store, kinds, metrics)
        self._wanted = trio.Event()

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
        drafts = [self._draft(row) for row in rows]
        receipts = iter(await self._publish_drafts([draft for draft in drafts if draft is not None]))
        published = []
        for row, draft in zip(rows, drafts, strict=True):
            position = next(receipts).id if draft is not None else None
            if row.is_own and position is not None:
                self.positions.add(row, position)
            published.append(
                PublishedMessage(
                    task_id=row.task_id,
                    version=row.version,
                    part=row.part,
                    id=position,
                    keep=row.last and self._endings.concern(row.kind),
                )
            )
        self.positions.wake()
        await self._store.mark_published(published)
        self.positions.wake()
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
            draft = attrs.evolve(draft, idempotency_key=f"{draft.idempotency_key}:{content}")
            [receipt] = await self._hub.publish_drafts([draft], publisher=PUBLISHER)
        return receipt

    def _draft(self, row: Outgoing) -> Draft | None:
        """Build the event of a row.

        A message on the task's own topic that cannot be an event is reduced, because the stream needs every
        version. On another topic it is dropped, because subscribers there expect its own shape; so is a row
        whose task has a damaged name, which is no topic.
        """
        try:
            if row.is_damaged:
                raise InvalidField("the stored message cannot be decoded", field="message")
            return self._make_draft(row, row.topics, row.message)
        except RequestError as error:
            detail = error.detail
        self._metrics.refused_messages.inc()
        reduced = self._reduce(row) if row.is_own else None
        event = "task_message_dropped" if reduced is None else "task_message_reduced"
        _log.error(event, task=row.task_id, version=row.version, part=row.part, detail=detail)
        return reduced

    def _reduce(self, row: Outgoing) -> Draft | None:
        """Build the reduced event of a row; None if not even that can be an event."""
        message = Message(_plain_type(row), reduce_data(row.message.data))
        known = self._kinds.get(row.kind)
        try:
            return self._make_draft(row, row.topics[:1], known.rename(message) if known else message)
        except RequestError:
            return None

    def _make_draft(self, row: Outgoing, topics: Sequence[str], message: Message) -> Draft:
        key = f"{row.task_id}:{row.version}"
        return Draft.create(
            topics,
            message.data,
            limits=self._limits,
            type=message.type,
            idempotency_key=key if row.is_own else f"{key}:{row.part}",
            envelope=MESSAGE_ENVELOPE,
        )


def _plain_type(row: Outgoing) -> str:
    if not row.final:
        return PROGRESS
    return COMPLETE if row.message.data.get("status") == Status.COMPLETED else ERROR
