"""Long-running work as a resource: tasks, their store, their workers and their streams.

Imports the hub and the layers below it, but no transport and no web framework.

================  ======================================================================================
``states``        the states of tasks and steps: diagrams, tables, coupling rules
``model``         :class:`Task`, :class:`Step`, :class:`Message`, :class:`Publication`, ``Operation``
``operations``    pure functions from a task to its next version and the message of the change
``steps``         those that change a step
``versions``      the next version of a task: its number, its time and its estimated end
``sentences``     the texts of a task: checked, or made valid
``messages``      the standard message, the snapshot, and a task as JSON
``reports``       the reports of workers elsewhere, as changes of their tasks
``checks``        limits and syntax of a task's values
``kinds``         :class:`Kind`: the properties that all tasks of one kind share
``presentation``  the events by which a kind publishes a message
``engine``        :class:`.engine.TaskEngine`: validates, stores, counts and publishes every change
``tasks``         :class:`Tasks`: the engine with everything that programs use
``claims``        the queue of claims that wait for a pending task
``progress``      :class:`Progress` and :func:`step`: the handles of work in this process
``text_stream``   :class:`TextStream`: text that arrives in pieces, in few events
``slots``         the slots of tasks that run in this process, with a reserve for each kind
``runner``        :class:`Runner`: runs work in this process, and looks after leases and deadlines
``pressure``      shorter retention of ended tasks while the store is nearly full
``failures``      log lines of tasks that have failed
``publisher``     publishes the rows of the outbox, in order and once each
``drafts``        the events of changes, as drafts for the log
``positions``     the positions of published versions in the log
``endings``       the calls of :attr:`Kind.ended`
``stream``        the stream of one task: snapshot, changes, end
``metrics``       counters
``store/``        the port of the task store, and its implementations
================  ======================================================================================

The way of a change: an operation builds the task's next version and its message. The kind presents the
message as one event or several. The store keeps the version and the events in one transaction: in the log, if
that is in the same file or in the same Redis, and otherwise in an outbox, whose events the publisher
publishes. A stream begins with a snapshot of one version and continues with the next. Several nodes may share
a store in Redis: each learns of what the others do from notes at the events in the log.
"""

from .kinds import Ended, Kind, Present, Work
from .messages import (
    COMPLETE,
    EDUCATIONAL,
    ERROR,
    PROGRESS,
    STATUS,
    as_percent,
    format_optional,
    make_message,
    make_snapshot,
    standard,
    step_list,
    task_fields,
)
from .model import (
    Cause,
    Message,
    Publication,
    Step,
    StepPlan,
    Task,
    TaskError,
    topic_of,
)
from .progress import Progress, StepFailed, StepProgress, WorkFailed, step
from .runner import Runner
from .settings import TaskSettings
from .states import Status, StepStatus
from .store.port import ClaimedTask
from .tasks import Tasks, TaskView
from .text_stream import TextStream

__all__ = [
    "COMPLETE",
    "EDUCATIONAL",
    "ERROR",
    "PROGRESS",
    "STATUS",
    "Cause",
    "ClaimedTask",
    "Ended",
    "Kind",
    "Message",
    "Present",
    "Progress",
    "Publication",
    "Runner",
    "Status",
    "Step",
    "StepFailed",
    "StepPlan",
    "StepProgress",
    "StepStatus",
    "Task",
    "TaskError",
    "TaskSettings",
    "TaskView",
    "Tasks",
    "TextStream",
    "Work",
    "WorkFailed",
    "as_percent",
    "format_optional",
    "make_message",
    "make_snapshot",
    "standard",
    "step",
    "step_list",
    "task_fields",
    "topic_of",
]
