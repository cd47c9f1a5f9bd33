"""The presentation of messages: the events by which a task's kind publishes them."""

from collections.abc import Mapping, Sequence

import attrs
import structlog

from ..json import MESSAGE_ENVELOPE, encode_json
from .kinds import Kind
from .messages import standard
from .model import Cause, Change, Message, Publication, Task

_log = structlog.get_logger(__name__)


class Presenter:
    """The presenter of all tasks' messages.

    Args:
        kinds: the registered kinds, by name.
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds

    def present(self, task: Task, message: Message) -> tuple[Publication, ...]:
        """Build the events that publish a message, as the task's kind presents it.

        If the kind fails, or its events cannot be published, the standard message is published under the
        kind's event types; one that has its own types is then left without the snapshot of an ended task.
        """
        known = self._kinds.get(task.kind)
        if known is None or known.present is standard:
            return standard(task, message)
        try:
            publications = tuple(known.present(task, message))
            if publications or not _is_last_snapshot(task, message):
                _check_publications(task, publications)
        except Exception:  # noqa: BLE001 - a failure to present must not stop the work
            _log.exception("task_message_not_presented", task=task.id, kind=task.kind, type=message.type)
            if known.event_types and _is_last_snapshot(task, message):
                return ()  # under a type of the kind's it might be taken for the last message
            return standard(task, known.rename(message))
        return publications

    def present_change(self, change: Change) -> Change:
        """Return a change with the events that publish its message."""
        known = self._kinds.get(change.task.kind)
        if known is None or known.present is standard or change.message is None:
            return change  # it has the standard publication
        return attrs.evolve(change, publications=self.present(change.task, change.message))

    def present_snapshot(self, task: Task, message: Message) -> Message | None:
        """Build the snapshot of a task as its kind presents it; None if the kind leaves it out."""
        own = [row.message for row in self.present(task, message) if row.topics[0] == task.topic]
        return own[0] if own else None

    def present_end(self, task: Task, message: Message | None) -> Message | None:
        """Return a stored last message under its kind's event types; an older streamd may have stored it."""
        known = self._kinds.get(task.kind)
        return message if known is None or message is None else known.rename(message)


def _is_last_snapshot(task: Task, message: Message) -> bool:
    """Return True for the snapshot of an ended task, after which its last message follows."""
    return message.cause is Cause.SNAPSHOT and task.status.ended


def _check_publications(task: Task, publications: Sequence[Publication]) -> None:
    """Check that exactly one publication is the task's own, and that all of them can be stored.

    Raises:
        ValueError: the task's own topic is missing, repeated, or not the first of its publication.
        TypeError: a topic or type is no text, or a message is no JSON object.
        InvalidField: a message is no JSON, or not within the profile of :mod:`streamd.json`.
    """
    firsts = [publication.topics[0] for publication in publications]
    topics = [topic for publication in publications for topic in publication.topics]
    if firsts.count(task.topic) != 1 or topics.count(task.topic) != 1:
        raise ValueError(
            f"exactly one publication must have {task.topic!r} as its first topic; the topics are {topics}"
        )
    for publication in publications:
        message = publication.message
        texts = [*publication.topics, message.type]
        if not all(isinstance(text, str) for text in texts) or not isinstance(message.data, dict):
            raise TypeError("topics and types must be text, and data a JSON object")
        encode_json(message.data, "data", envelope=MESSAGE_ENVELOPE)
