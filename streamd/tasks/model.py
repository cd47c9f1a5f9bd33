"""What a task is, and the one table of what may become of it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import attrs


class Status(StrEnum):
    """Where a task stands."""

    PENDING = "pending"  # nobody works on it yet
    RUNNING = "running"  # a worker holds it
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing can come after it."""
        return not TRANSITIONS[self]


TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    # a task that nobody takes up fails at its deadline
    Status.PENDING: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELLED}),
    Status.RUNNING: frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""From each status, those that may follow it."""


class StepStatus(StrEnum):
    """Where a step of a task stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """Whether nothing can come after it."""
        return not STEP_TRANSITIONS[self]


STEP_TRANSITIONS: Final[Mapping[StepStatus, frozenset[StepStatus]]] = {
    StepStatus.PENDING: frozenset({StepStatus.RUNNING, StepStatus.SKIPPED}),
    StepStatus.RUNNING: frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED}),
    StepStatus.COMPLETED: frozenset(),
    StepStatus.FAILED: frozenset(),
    StepStatus.SKIPPED: frozenset(),
}
"""The same for steps."""


@attrs.frozen
class StepPlan:
    """A step that is known before the work begins."""

    name: str
    weight: float = 1.0  # its share of the task's progress, among those of the other steps


@attrs.frozen
class Step:
    """One part of a task."""

    name: str
    status: StepStatus = StepStatus.PENDING
    weight: float = 1.0
    progress: float = 0.0  # 0 to 100 within the step; never falls
    message: str = ""
    error: str = ""  # a plain sentence, when it failed


@attrs.frozen
class TaskError:
    """Why a task failed, fit to be shown to a client."""

    code: str  # for programs: failed, timeout, stalled, cancelled, internal, or the work's own
    detail: str  # a plain sentence


@attrs.frozen(kw_only=True)
class Task:
    """A long piece of work, as it stands at one version. Each change makes a new one."""

    id: str
    kind: str
    owner: str = ""  # whose it is; empty: nobody's in particular
    status: Status = Status.PENDING
    progress: float = 0.0  # 0 to 100; never falls
    step: str = ""  # name of the step being worked on, or another name that the work chose
    message: str = ""
    steps: tuple[Step, ...] = ()
    details: dict[str, Any] = attrs.field(factory=dict)  # the newest of each further field of its messages
    eta_seconds: float | None = None  # at the observed rate, when it last made progress
    error: TaskError | None = None
    created_at: datetime
    started_at: datetime | None = None
    updated_at: datetime
    ended_at: datetime | None = None
    deadline: datetime  # when it fails, if it has not ended
    version: int = 1  # each change, and so each event, has the next one
    worker: str = ""  # who holds it
    lease: str = ""  # the secret of who holds it
    lease_seconds: float = 0.0  # what each sign of life renews it for
    lease_until: datetime | None = None  # when that ends, unless it is renewed
    text_bytes: int = 0  # of the text so far, in UTF-8
    has_result: bool = False

    @property
    def topic(self) -> str:
        """The topic of its events."""
        return topic_of(self.id)

    def find_step(self, name: str) -> Step | None:
        """The step of that name."""
        return next((step for step in self.steps if step.name == name), None)


def topic_of(task_id: str) -> str:
    """The topic of a task's events."""
    return f"tasks/{task_id}"


class Cause(StrEnum):
    """The operation that a message reports."""

    CREATED = "created"
    STARTED = "started"
    UPDATED = "updated"
    STEP_STARTED = "step_started"
    STEP_UPDATED = "step_updated"
    STEP_ENDED = "step_ended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SNAPSHOT = "snapshot"  # no operation: the current state, for a new follower


@attrs.frozen
class Message:
    """The message of one change, or a snapshot of a task.

    Args:
        type: the SSE event type.
        data: the JSON fields.
        cause: the operation, for :data:`~.kinds.Present`; not published.
        steps: the steps that the operation started, updated or ended; when a task ends, those that were still
            running. For :data:`~.kinds.Present`; not published.
    """

    type: str
    data: dict[str, Any]
    cause: Cause = Cause.UPDATED
    steps: tuple[Step, ...] = ()


@attrs.frozen
class Publication:
    """One event that a change publishes.

    Args:
        topics: the event's topics, the canonical one first.
        message: its type and data.
    """

    topics: tuple[str, ...]
    message: Message


def _own_publication(change: "Change") -> tuple[Publication, ...]:
    if change.message is None:
        return ()
    return (Publication((change.task.topic,), change.message),)


@attrs.frozen(kw_only=True)
class Change:
    """A task after one operation, with everything that is stored and published with it.

    A change without a message only renews a lease: the version stays, and nothing is published.
    """

    task: Task
    message: Message | None = None
    text: str = ""  # appended to the task's text
    result: bytes | None = None  # JSON, stored with the end
    publications: tuple[Publication, ...] = attrs.field(  # in publishing order; a kind may present others
        default=attrs.Factory(_own_publication, takes_self=True)
    )
