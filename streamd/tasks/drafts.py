"""The events of the rows of the outbox, as drafts for the log."""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import structlog

from ..errors import InvalidField, RequestError
from ..events import Draft, EventSettings
from ..json import MESSAGE_ENVELOPE
from .kinds import Kind
from .messages import COMPLETE, ERROR, PROGRESS, REDUCED_EVENT_BYTES, reduce_data
from .metrics import TaskMetrics
from .model import Message
from .states import Status
from .store.port import Outgoing

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


class TaskDrafts:
    """Builds the drafts of tasks' events. Any thread may call it.

    Args:
        limits: the limits of events for publishers.
        kinds: the registered kinds, by name.
        metrics: the counters.
    """

    def __init__(self, limits: EventSettings, kinds: Mapping[str, Kind], metrics: TaskMetrics) -> None:
        self._limits: Final = TaskEventLimits.of(limits)
        self._kinds = kinds
        self._metrics = metrics

    def make(self, row: Outgoing) -> Draft | None:
        """Build the event of a row; None for one that is dropped.

        Its idempotency key is ``{task}:{version}``, or ``{task}:{version}:{part}`` for one on another topic
        than the task's own.

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
