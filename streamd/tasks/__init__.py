"""Long work as a resource (layer 3): tasks, their store, who works on them, and their streams.

Imports the hub and what is below it; no transport, and nothing of the web.

==============  ==============================================================================
``model``       :class:`Task` and :class:`Step`, and the tables of what may become of them
``operations``  what can be done with a task: pure functions to its next version and its message
``messages``    the standard message and the snapshot
``kinds``       :class:`Kind`: what is known of all tasks of one kind
``port``        :class:`TaskStore`: tasks, and the outbox of what is to be published
``memory``      the store in memory
``sqlite``      the store on disk
``checks``      what the values of a task may be
``ledger``      where every change passes: checked, stored, counted, published
``service``     :class:`Tasks`: what programs use
``reports``     what workers elsewhere say, in one message
``outbox``      publishes what the store's outbox holds, in order, each message once
``runner``      runs tasks in this process; leases, deadlines and expiry of all
``progress``    :class:`Progress`: the handle that work is given
``workflow``    stages that stream by being inside them
``stream``      the stream of one task: snapshot, tail, end
``metrics``     what is counted
==============  ==============================================================================

The way of a change: an operation makes the task's next version and one message; the store keeps both in
one transaction; the outbox publishes the message on ``tasks/{id}`` under the key ``{task}:{version}``; a
stream begins with a snapshot of one version, and goes on with the next.
"""

from .kinds import Kind
from .messages import make_message, standard, step_fields, task_fields
from .model import Message, Status, Step, StepPlan, StepStatus, Task, TaskError, topic_of
from .progress import Progress, StepFailed, StepProgress, WorkFailed
from .runner import Runner
from .settings import TaskSettings
from .tasks import Tasks, View

__all__ = [
    "Kind",
    "Message",
    "Progress",
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
    "Tasks",
    "View",
    "WorkFailed",
    "make_message",
    "standard",
    "step_fields",
    "task_fields",
    "topic_of",
]
