"""``/tasks``, and the tasks of services."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from .common import Time

Status = Literal["pending", "running", "completed", "failed", "cancelled"]
StepNumber = Annotated[
    Annotated[int, Meta(ge=1)] | None,
    Meta(description="Number of the current step, from 1; null before any, and for another name."),
]
StepName = Annotated[str, Meta(description="Name of the current step; empty before any.")]
StepCount = Annotated[int, Meta(ge=0, description="How many steps there are.")]
TaskPercent = Annotated[
    float, Meta(ge=0, le=100, description="Never falls; 100 only if the task is completed.")
]
TaskMessage = Annotated[str, Meta(description="A sentence for people; the last one tells how it ended.")]
EtaSeconds = Annotated[
    float | None,
    Meta(description="Estimated time to the end (s), at most the time to the deadline; null if unknown."),
]
Lease = Annotated[str, Meta(description="The key with which its worker reports on it.")]


class NewStep(Struct, forbid_unknown_fields=True):
    """A step that is planned before the work begins."""

    name: str
    weight: Annotated[float, Meta(description="Its share of the task's progress.")] = 1.0


class CancelSchema(Struct, forbid_unknown_fields=True):
    """The reason for a cancellation, which becomes the last message of the task. The body may be empty."""

    message: Annotated[str | None, Meta(description="A sentence of at most 2000 characters.")] = None

    body_required: ClassVar[bool] = False


class TasksQuery(Struct):
    """The tasks to list."""

    kind: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    limit: Annotated[int, Meta(description="Maximum number of tasks to list.")] = 100


class StepSchema(Struct):
    """One part of a task."""

    step: Annotated[int, Meta(ge=1, description="Its number, from 1.")]
    name: str
    status: Literal["pending", "running", "completed", "failed", "skipped"]
    progress: float
    weight: float
    message: str
    error: str


class TaskErrorSchema(Struct):
    """The reason why a task failed or was cancelled."""

    code: str
    detail: str


class TaskOfServiceSchema(Struct, kw_only=True):
    """A task in its current state. A service without one of the routes leaves its URL out."""

    id: str
    kind: str
    owner: str
    status: Status
    progress: TaskPercent
    step: StepNumber
    step_name: StepName
    steps: StepCount
    message: TaskMessage
    step_list: list[StepSchema]
    details: Annotated[
        dict[str, Any], Meta(description="The newest value of each additional field of its messages.")
    ]
    eta_seconds: EtaSeconds
    error: TaskErrorSchema | None
    worker: Annotated[str, Meta(description="Empty for none, and for one inside the server.")]
    created_at: str
    started_at: str | None
    updated_at: str
    ended_at: str | None
    deadline: Annotated[str, Meta(description="The time at which it fails unless it has ended.")]
    version: int
    has_result: bool
    cancelled: Annotated[bool, Meta(description="Tells a worker to stop.")]
    status_url: str | UnsetType = field(default=UNSET, name="statusUrl")
    events_url: str | UnsetType = field(default=UNSET, name="eventsUrl")
    result_url: str | UnsetType = field(default=UNSET, name="resultUrl")
    cancel_url: str | UnsetType = field(default=UNSET, name="cancelUrl")


class TaskSchema(TaskOfServiceSchema, kw_only=True):
    """A task in its current state."""

    status_url: str = field(name="statusUrl")
    events_url: str = field(name="eventsUrl")
    result_url: str = field(name="resultUrl")
    cancel_url: str = field(name="cancelUrl")
    lease: Lease | UnsetType = UNSET
    lease_until: str | UnsetType = UNSET


class ClaimedSchema(TaskSchema, kw_only=True):
    """A claimed task, with its input and the worker's lease."""

    lease: Lease
    lease_until: str
    input: Any


class SnapshotSchema(Struct, kw_only=True):
    """The first message of a task's stream: its current state."""

    task_id: str = field(name="taskId")
    version: int
    status: Status
    step: StepNumber
    step_name: StepName
    steps: StepCount
    progress: TaskPercent
    message: TaskMessage
    eta_seconds: EtaSeconds
    timestamp: Time
    step_list: list[StepSchema]
    snapshot: Annotated[bool, Meta(description="True: this is no change of the task.")]
    kind: str
    text: Annotated[str, Meta(description="The text so far.")]
    deadline: Time
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    error: Annotated[str, Meta(description="The reason if the task failed or was cancelled.")] | UnsetType = (
        UNSET
    )
    code: str | UnsetType = UNSET


class TasksSchema(Struct):
    """Tasks, newest first."""

    tasks: list[TaskSchema]
