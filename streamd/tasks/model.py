"""Tasks, steps, messages and changes: immutable values without behaviour."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

import attrs

from .states import Status, StepStatus

LOCAL: Final = "local:"
"""The reserved prefix of the names of workers in this process."""


@attrs.frozen
class StepPlan:
    """A step that is known before the work begins.

    Args:
        name: the step's name.
        weight: the step's share of the task's progress, relative to the other steps.
    """

    name: str
    weight: float = 1.0


@attrs.frozen
class Step:
    """One named part of a task.

    Args:
        name: the step's name, unique within the task.
        status: the step's status.
        weight: the step's share of the task's progress, relative to the other steps.
        progress: 0 to 100; never falls.
        message: the newest message, a sentence for people.
        error: the reason for a failure, a sentence for people.
        started_version: version of the task with which the step started; 0 before, and in files of 0.1.0.
    """

    name: str
    status: StepStatus = StepStatus.PENDING
    weight: float = 1.0
    progress: float = 0.0
    message: str = ""
    error: str = ""
    started_version: int = attrs.field(default=0, eq=False)  # orders the steps that run, no state of this one


@attrs.frozen
class TaskError:
    """The reason why a task failed or was cancelled, for clients.

    Args:
        code: for programs: failed, timeout, stalled, cancelled, internal, or one of the work's own.
        detail: for people, a plain sentence.
    """

    code: str
    detail: str


@attrs.frozen(kw_only=True)
class Task:
    """A task at one version. Every change builds a new one. Its input is read separately.

    Its times are steady time plus its ``clock_offset``: see :mod:`streamd.clock`.
    """

    id: str
    kind: str
    owner: str = ""  # chosen by the creator; empty for none
    status: Status = Status.PENDING
    progress: float = 0.0  # 0 to 100; never falls; 100 only when it is completed
    step: str = ""  # name of the current step, or another name that the work chose
    message: str = ""  # the newest message, a sentence for people
    steps: tuple[Step, ...] = ()
    details: dict[str, Any] = attrs.field(factory=dict)  # newest value of each further field of its messages
    eta_seconds: float | None = None  # estimated time from `updated_at` to the end; 0 once it is completed
    eta: datetime | None = None  # estimated end in steady time, at the average rate up to the last progress
    error: TaskError | None = None
    created_at: datetime
    started_at: datetime | None = None
    updated_at: datetime
    ended_at: datetime | None = None
    deadline: datetime  # an unfinished task fails then
    timeout_seconds: float = 0.0  # time from its creation to the deadline; 0 in files of 0.1.0
    clock_offset: timedelta = timedelta()  # its times minus steady time; never falls
    started_offset: timedelta = timedelta()  # the offset at its start
    version: int = 1  # increases by one with each message
    worker: str = ""  # name of the worker that holds or held it
    lease: str = ""  # secret by which the worker holds it; empty unless it runs
    lease_seconds: float = 0.0  # time by which each report extends the lease
    lease_until: datetime | None = None  # end of the lease
    text_bytes: int = 0  # size of the text streamed so far, in UTF-8
    has_result: bool = False

    @property
    def topic(self) -> str:
        """The topic of its stream."""
        return topic_of(self.id)

    @property
    def public_worker(self) -> str:
        """The worker's name for clients; empty for a worker in this process, whose name is internal."""
        return "" if self.worker.startswith(LOCAL) else self.worker

    def at(self, now: datetime) -> datetime:
        """Convert steady time to the clock of this task's times."""
        return now + self.clock_offset

    def running_seconds(self, now: datetime) -> float:
        """Return the steady time since the start of a task that has started (s).

        Args:
            now: steady time.
        """
        assert self.started_at is not None
        return (now - self.started_at + self.started_offset).total_seconds()

    def with_offset(self, offset: timedelta) -> Self:
        """Follow a wall clock that was set forward: move the deadline and the lease of an unfinished task.

        An offset below the task's own changes nothing, so that its times never run backwards.

        Args:
            offset: the wall clock minus steady time.
        """
        step = offset - self.clock_offset
        if step <= timedelta() or self.status.ended:
            return self
        lease_until = None if self.lease_until is None else self.lease_until + step
        return attrs.evolve(self, clock_offset=offset, deadline=self.deadline + step, lease_until=lease_until)

    def find_step(self, name: str) -> Step | None:
        """Return the step of a name; None if there is none."""
        return next((step for step in self.steps if step.name == name), None)

    def number_of(self, name: str) -> int | None:
        """Return the number of the step of a name, from 1; None if there is none."""
        return next((number for number, step in enumerate(self.steps, 1) if step.name == name), None)


def topic_of(task_id: str) -> str:
    """Return the topic of a task's stream."""
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

    Args:
        task: the task after the operation.
        message: the standard message; None for a renewed lease, which has no version and no event.
        text: appended to the task's text.
        result: the result, stored with the end.
        publications: the events, in publishing order; by default the message on the task's own topic.
    """

    task: Task
    message: Message | None = None
    text: str = ""
    result: bytes | None = None
    publications: tuple[Publication, ...] = attrs.field(
        default=attrs.Factory(_own_publication, takes_self=True)
    )


Operation = Callable[[Task], Sequence[Change]]
"""Build the changes of one transaction, in order, each from the task after the one before."""
