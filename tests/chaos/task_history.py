"""The history of tasks: the reports of their workers, and the messages at their followers."""

from typing import Any, Literal

import attrs

Outcome = Literal["acknowledged", "refused", "unknown"]
Status = Literal["completed", "failed", "cancelled"]


@attrs.frozen
class Chunk:
    """A piece of text that a worker reported once; its name occurs in no other."""

    text: str
    outcome: Outcome


@attrs.frozen
class EndAttempt:
    """One attempt to end a task."""

    status: Status
    outcome: Outcome


@attrs.frozen
class TaskMessage:
    """One message of a task's stream.

    Args:
        id: the client's last event id with it.
        connection: number of the connection over which it came.
        number_of_round: the round in which it came.
    """

    type: str
    data: dict[str, Any]
    id: str = ""
    connection: int = 0
    number_of_round: int = 0

    def __str__(self) -> str:
        version = f"version {self.data['version']}{' (snapshot)' if self.data.get('snapshot') else ''}"
        return f"{self.type} {version} {self.id} (connection {self.connection}, round {self.number_of_round})"


@attrs.define
class FollowerHistory:
    """All messages that one follower of a task received, over all its connections."""

    name: str
    messages: list[TaskMessage] = attrs.field(factory=list)
    finished: bool = False  # it was told that the stream is over


@attrs.define
class TaskHistory:
    """One task, from its creation to its end.

    Attributes:
        name: of its idempotency key.
        ids: the task ids of the answers to its creation, each once.
        chunks: in the order in which they were reported.
        ends: attempts to end it.
        followers: of its stream.
        final: the task as the server answered at last; None if it did not answer 200.
        watched: versions of its events at the reader of all tasks, in their order, or None without one.
    """

    name: str
    ids: list[str] = attrs.field(factory=list)
    chunks: list[Chunk] = attrs.field(factory=list)
    ends: list[EndAttempt] = attrs.field(factory=list)
    followers: list[FollowerHistory] = attrs.field(factory=list)
    final: dict[str, Any] | None = None
    watched: list[int] | None = None
