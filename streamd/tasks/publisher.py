"""From the store's outbox to the log: every message, each once, those of a task in order."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NoReturn, TypeVar

import attrs
import structlog
import trio

from ..errors import IdempotencyConflict, RequestError, StreamdError, Unavailable
from ..events import Draft, EventId, EventSettings
from ..hub import Hub
from ..log.port import Receipt
from .messages import COMPLETE, ERROR, PROGRESS
from .metrics import TaskMetrics
from .model import Message, Status, topic_of
from .store.port import Outgoing, Published, TaskStore

PUBLISHER: Final = "tasks"
_BATCH_ROWS: Final = 256  # as many as the fan-out takes in one turn
_REDUCED_BYTES: Final = 1000  # holds a message without its further fields
_FIRST_RETRY_SECONDS: Final = 0.05
_LAST_RETRY_SECONDS: Final = 5.0
_REMEMBERED_MAX: Final = 10_000  # places of messages published lately (count); see `place_of`

K = TypeVar("K")
V = TypeVar("V")

_log = structlog.get_logger(__name__)


@attrs.frozen
class OwnLimits:
    """Limits of tasks' messages: those for publishers, but never so small that the end cannot be said."""

    max_event_bytes: int
    max_topics_per_event: int = 1
    max_topic_bytes: int = 1024
    max_idempotency_key_bytes: int = 1024

    @classmethod
    def of(cls, limits: EventSettings) -> "OwnLimits":
        return cls(max(limits.max_event_bytes, _REDUCED_BYTES))


class OutboxPublisher:
    """Publishes what the store's outbox holds, for as long as it runs.

    A message is published under the idempotency key ``{task}:{version}``: a crash between the log's
    taking it and the store's noting that repeats nothing. What cannot be published now stays, and is tried
    again; the work that it tells of goes on.
    """

    def __init__(self, store: TaskStore, hub: Hub, limits: EventSettings, metrics: TaskMetrics) -> None:
        self._store = store
        self._hub = hub
        self._limits = OwnLimits.of(limits)
        self._metrics = metrics
        self._wanted = trio.Event()
        self._published = trio.Event()
        self._places: OrderedDict[tuple[str, int], EventId] = OrderedDict()
        self._ends: OrderedDict[str, int] = OrderedDict()
        self._watching: dict[str, dict[Callable[[], None], None]] = {}

    def wake(self) -> None:
        """There is something to publish."""
        self._wanted.set()

    def forget(self, task_id: str) -> None:
        """A new task has that id: what is known of an old one does not hold for it."""
        if self._ends.pop(task_id, None) is not None:
            for key in [key for key in self._places if key[0] == task_id]:
                del self._places[key]

    def end_of(self, task_id: str) -> int | None:
        """The version of a task's last message, if that is being published or was just now."""
        return self._ends.get(task_id)

    def place_of_end(self, task_id: str) -> EventId | None:
        """The place of a task's last message, if it was published just now."""
        version = self._ends.get(task_id)
        return None if version is None else self._places.get((task_id, version))

    def watch(self, task_id: str, woken: Callable[[], None]) -> None:
        """Call ``woken`` when a task's last message is in the log; it must not block."""
        self._watching.setdefault(task_id, {})[woken] = None

    def unwatch(self, task_id: str, woken: Callable[[], None]) -> None:
        """No more."""
        watching = self._watching[task_id]
        del watching[woken]
        if not watching:
            del self._watching[task_id]

    async def place_of(self, task_id: str, version: int) -> EventId | None:
        """Wait until that version of a task is published; None if its place is not known any more."""
        asked = False
        while (task_id, version) not in self._places:
            published = self._published
            if not asked:
                asked = True
                snapshot = await self._store.snapshot(task_id)
                if snapshot.published_version == version:
                    return snapshot.published_id
                if snapshot.published_version > version:
                    return self._places.get((task_id, version))
            await published.wait()
        return self._places[task_id, version]

    async def run(self) -> NoReturn:
        """Publish until cancelled; what is not published by then is, when it runs again."""
        retry_seconds = _FIRST_RETRY_SECONDS
        most = _BATCH_ROWS
        while True:
            self._wanted = trio.Event()
            try:
                rows = await self._store.unpublished(most)
                if not rows:
                    await self._wanted.wait()
                    continue
                await self._publish(rows)
            except Exception as error:  # noqa: BLE001 - whatever it is, the work that is told of goes on
                self._metrics.publish_failures.inc()
                if isinstance(error, StreamdError):
                    _log.warning("task_messages_wait", code=error.code, retry_seconds=retry_seconds)
                else:
                    _log.exception("task_messages_wait", retry_seconds=retry_seconds)
                await trio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, _LAST_RETRY_SECONDS)
                most = max(1, most // 2)  # fewer may find room
            else:
                retry_seconds = _FIRST_RETRY_SECONDS
                most = min(2 * most, _BATCH_ROWS)

    async def _publish(self, rows: Sequence[Outgoing]) -> None:
        for row in rows:
            if row.last:
                _remember(self._ends, row.task_id, row.version)
        drafts = [self._draft(row) for row in rows]
        receipts = await self._publish_drafts(drafts)
        published = []
        for row, receipt in zip(rows, receipts, strict=True):
            published.append(Published(row.task_id, row.version, receipt.id, row.last))
            _remember(self._places, (row.task_id, row.version), receipt.id)
            if row.last:
                for woken in self._watching.get(row.task_id, {}):
                    woken()
        self._wake_waiting()
        await self._store.mark_published(published)
        self._metrics.outbox_depth.dec(len(published))
        self._wake_waiting()

    async def _publish_drafts(self, drafts: list[Draft]) -> list[Receipt]:
        try:
            return await self._hub.publish_drafts(drafts, publisher=PUBLISHER)
        except IdempotencyConflict as error:
            # The log still knows another task of that id, longer than the store does.
            _log.warning("task_keys_taken", detail=error.detail)
            return [await self._publish_draft(draft) for draft in drafts]

    async def _publish_draft(self, draft: Draft) -> Receipt:
        """Publish one; where its key is another task's, under one that tells what it says, too."""
        try:
            [receipt] = await self._hub.publish_drafts([draft], publisher=PUBLISHER)
        except IdempotencyConflict:
            content = hashlib.sha256(f"{draft.type}\n{draft.data}".encode()).hexdigest()[:32]
            draft = attrs.evolve(draft, idempotency_key=f"{draft.idempotency_key}:{content}")
            [receipt] = await self._hub.publish_drafts([draft], publisher=PUBLISHER)
        return receipt

    def _wake_waiting(self) -> None:
        self._published.set()
        self._published = trio.Event()

    def _draft(self, row: Outgoing) -> Draft:
        """The event of a message; one that cannot be an event is published without its further fields."""
        try:
            return self._make_draft(row, row.message)
        except Unavailable:
            raise
        except RequestError as error:
            self._metrics.refused_messages.inc()
            _log.error("task_message_reduced", task=row.task_id, version=row.version, detail=error.detail)
            kept = ("taskId", "version", "status", "progress", "timestamp", "code")
            data = {name: row.message.data[name] for name in kept if name in row.message.data}
            return self._make_draft(row, Message(_plain_type(row), data))

    def _make_draft(self, row: Outgoing, message: Message) -> Draft:
        return Draft.create(
            topic_of(row.task_id),
            message.data,
            limits=self._limits,
            type=message.type,
            idempotency_key=f"{row.task_id}:{row.version}",
        )


def _plain_type(row: Outgoing) -> str:
    if not row.last:
        return PROGRESS
    return COMPLETE if row.message.data.get("status") == Status.COMPLETED else ERROR


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED_MAX:
        memory.popitem(last=False)
