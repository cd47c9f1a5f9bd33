"""Kinds of work: the properties that all tasks of one kind share."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs

from .messages import standard
from .model import Message, Publication, Task
from .operations import CANCELLED_MESSAGE, COMPLETED_MESSAGE
from .progress import Progress

Work = Callable[[Progress], Awaitable[Any]]
"""Run one task: report through the handle, and return the result, a JSON value or an ``EncodedJson``."""

Present = Callable[[Task, Message], Sequence[Publication]]
"""Build the events that publish a change.

The function gets the task after the change and its standard message, with the cause and the steps that
changed. It may run in another thread, must not block, and must not change its arguments.

Exactly one of its publications has the task's own topic (``task.topic``), as its first topic: that event
belongs to the task's stream. The others go to any other topics. All of them are stored with the change in one
transaction and published in the order of the sequence, each at least once; see
:class:`~streamd.tasks.publisher.OutboxPublisher`. For a snapshot (``Cause.SNAPSHOT``) only the publication on
the task's own topic is used. Without one for an ended task, a new stream has the task's last message alone.

If the function raises or returns anything else, the standard message is published instead under
:attr:`Kind.event_types`, and the failure is logged.
"""

Ended = Callable[[Task], Awaitable[None]]
"""Act on the end of a task, for example by ending a record that belongs to it.

The function is awaited at least once for each task that ends, after the task's last messages are in the log
and also after a restart of the process. If it raises, or takes longer than a minute, it is called again with
exponential backoff, so it must be idempotent. The task is kept at least until it has returned.
"""


@attrs.frozen(kw_only=True)
class Kind:
    """One kind of work.

    Args:
        name: the name of the kind.
        work: runs the kind's tasks in this process; None: workers elsewhere claim them over HTTP.
        timeout_seconds: time from a task's creation to its deadline (s); None for ``tasks.timeout_seconds``.
        keep_seconds: how long an ended task is kept (s); None for ``tasks.keep_seconds``.
        max_kept: maximum number of tasks kept; None for ``tasks.max_per_kind``.
        max_input_bytes: maximum size of a task's input as JSON (bytes); None for
            ``tuning.tasks.max_input_bytes``.
        compress_results: store results compressed; None for ``tasks.compress_results``.
        completion_message: the last message of a completed task, unless its worker has one of its own.
        cancellation_message: the last message of a task that is cancelled without a reason.
        present: builds the events that publish a change.
        event_types: the event types of the kind's streams, of at most 64 bytes, by the standard type that
            each replaces. Messages that ``present`` did not build have them too, so that clients receive no
            other types.
        ended: acts on the end of a task.
        private: only this process creates tasks of the kind and checks their input; ``POST /tasks`` rejects
            them.
        of_merchants: the owner of its tasks is a merchant, not a user.
    """

    name: str
    work: Work | None = None
    timeout_seconds: float | None = None
    keep_seconds: float | None = None
    max_kept: int | None = None
    max_input_bytes: int | None = None
    compress_results: bool | None = None
    completion_message: str = COMPLETED_MESSAGE
    cancellation_message: str = CANCELLED_MESSAGE
    present: Present = standard
    event_types: Mapping[str, str] = attrs.field(factory=dict)
    ended: Ended | None = None
    private: bool = False
    of_merchants: bool = False

    def rename(self, message: Message) -> Message:
        """Return a message with the kind's event type in place of a standard one."""
        return attrs.evolve(message, type=self.event_types.get(message.type, message.type))
