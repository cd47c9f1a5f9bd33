"""The states of tasks and steps: diagrams, the tables state x event, and the rules that couple them.

Theory of operation
-------------------
A task has one status, and each of its steps has one. Every operation on a task is one *event*. A table gives
the status that follows from a status and an event; an event that a status does not list is rejected with
:class:`.errors.InvalidTransition`, and nothing changes. This module holds no tasks and performs nothing: the
operations in :mod:`.operations` look statuses up here, and build the task that follows.

A task::

                 START                 COMPLETE
    PENDING ───────────────▶ RUNNING ────────────▶ COMPLETED
       │                     │  ▲  │    FAIL
       │     UPDATE, RENEW,  └──┘  ├─────────────▶ FAILED
       │     MOVE_STEP             │    CANCEL
       │                           └─────────────▶ CANCELLED
       │    FAIL (nobody started it before its deadline)
       ├─────────────────────────────────────────▶ FAILED
       │    CANCEL
       └─────────────────────────────────────────▶ CANCELLED

A step::

                 START                 COMPLETE
    PENDING ───────────────▶ RUNNING ────────────▶ COMPLETED
       │                     │  ▲  │    FAIL
       │            UPDATE   └──┘  ├─────────────▶ FAILED
       │                           │    SKIP
       │    SKIP                   └─────────────▶ SKIPPED
       └─────────────────────────────────────────▶ SKIPPED

Coupling rules
--------------
1. Steps move only while their task runs: every event of a step is the event MOVE_STEP of the task.
2. The end of a task ends its running steps (:data:`STEP_EVENT_AT_END`). Pending steps stay pending.
3. A lease exists exactly while a task runs: START grants it, RENEW and every report extend it, the end of the
   task drops it.
4. Progress never falls, and only COMPLETE sets it to 100. The work raises it to 99.9 at most, steps alone to
   99. A completed or skipped step counts as done, a failed one with the progress that it had reached.
5. Every event but RENEW makes the next version of the task and one message. Nothing follows an end, so the
   version of the end is the task's last.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from ..characters import quoted
from ..errors import InvalidTransition


class Status(StrEnum):
    """The status of a task."""

    PENDING = "pending"  # no worker has started it
    RUNNING = "running"  # a worker holds its lease
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True if no event can follow."""
        return not TASK_TABLE[self]


class StepStatus(StrEnum):
    """The status of a step."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """True if no event can follow."""
        return not STEP_TABLE[self]


class TaskEvent(StrEnum):
    """An event of a task."""

    START = "start"
    UPDATE = "update"
    RENEW = "renew"
    MOVE_STEP = "move_step"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"


class StepEvent(StrEnum):
    """An event of a step."""

    START = "start"
    UPDATE = "update"
    COMPLETE = "complete"
    FAIL = "fail"
    SKIP = "skip"


TASK_TABLE: Final[Mapping[Status, Mapping[TaskEvent, Status]]] = {
    Status.PENDING: {
        TaskEvent.START: Status.RUNNING,
        TaskEvent.FAIL: Status.FAILED,
        TaskEvent.CANCEL: Status.CANCELLED,
    },
    Status.RUNNING: {
        TaskEvent.UPDATE: Status.RUNNING,
        TaskEvent.RENEW: Status.RUNNING,
        TaskEvent.MOVE_STEP: Status.RUNNING,
        TaskEvent.COMPLETE: Status.COMPLETED,
        TaskEvent.FAIL: Status.FAILED,
        TaskEvent.CANCEL: Status.CANCELLED,
    },
    Status.COMPLETED: {},
    Status.FAILED: {},
    Status.CANCELLED: {},
}

STEP_TABLE: Final[Mapping[StepStatus, Mapping[StepEvent, StepStatus]]] = {
    StepStatus.PENDING: {
        StepEvent.START: StepStatus.RUNNING,
        StepEvent.SKIP: StepStatus.SKIPPED,
    },
    StepStatus.RUNNING: {
        StepEvent.UPDATE: StepStatus.RUNNING,
        StepEvent.COMPLETE: StepStatus.COMPLETED,
        StepEvent.FAIL: StepStatus.FAILED,
        StepEvent.SKIP: StepStatus.SKIPPED,
    },
    StepStatus.COMPLETED: {},
    StepStatus.FAILED: {},
    StepStatus.SKIPPED: {},
}

STEP_EVENT_AT_END: Final[Mapping[TaskEvent, StepEvent]] = {
    # The worker reported the whole task as done, so a step that it left running is done as well.
    TaskEvent.COMPLETE: StepEvent.COMPLETE,
    TaskEvent.FAIL: StepEvent.FAIL,
    TaskEvent.CANCEL: StepEvent.FAIL,
}
"""Rule 2: the event of a running step at each end of its task."""

STEP_ENDS: Final[Mapping[StepStatus, StepEvent]] = {
    StepStatus.COMPLETED: StepEvent.COMPLETE,
    StepStatus.FAILED: StepEvent.FAIL,
    StepStatus.SKIPPED: StepEvent.SKIP,
}
"""The event that ends a step with a status."""

_GOALS: Final[Mapping[TaskEvent, Status]] = {
    TaskEvent.START: Status.RUNNING,
    TaskEvent.COMPLETE: Status.COMPLETED,
    TaskEvent.FAIL: Status.FAILED,
    TaskEvent.CANCEL: Status.CANCELLED,
}
_STEP_GOALS: Final[Mapping[StepEvent, StepStatus]] = {
    StepEvent.START: StepStatus.RUNNING,
    **{event: status for status, event in STEP_ENDS.items()},
}


def next_status(status: Status, event: TaskEvent) -> Status:
    """Return the status that follows from a status and an event of the task.

    Raises:
        InvalidTransition: the event is not possible in this status.
    """
    following = TASK_TABLE[status].get(event)
    if following is not None:
        return following
    goal = _GOALS.get(event)
    why = ", not running" if goal is None else f" and cannot become {goal.value}"
    raise InvalidTransition(f"the task is {status.value}{why}", field="status")


def next_step_status(name: str, status: StepStatus, event: StepEvent) -> StepStatus:
    """Return the status that follows from a status and an event of a step.

    Args:
        name: the step's name, for the error.
        status: the step's status.
        event: the event.

    Raises:
        InvalidTransition: the event is not possible in this status.
    """
    following = STEP_TABLE[status].get(event)
    if following is not None:
        return following
    goal = _STEP_GOALS.get(event)
    why = ", not running" if goal is None else f" and cannot become {goal.value}"
    raise InvalidTransition(f"step {quoted(name)} is {status.value}{why}", field="step")
