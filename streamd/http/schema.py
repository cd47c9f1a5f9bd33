"""The structs of requests and responses as ``/openapi.json`` shows them.

A struct describes a JSON body. A struct whose body has other media types says so in a classmethod
``__media_types__``, which returns the types of the body by media type; one whose body may be left out has the
class variable ``body_required``. The OpenAPI component of a class has the class's name without the suffix
``Schema``, which sets a struct apart from the class that it shows.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from .json import JSON

NDJSON: Final = "application/x-ndjson"
PROBLEM_JSON: Final = "application/problem+json"

MediaTypes = dict[str, tuple[Any, ...]]
"""By media type, the types that a body may have."""

Id = Annotated[str, Meta(pattern=r"^[0-9]{13}-[0-9]{6}$", description="An event id; ids sort as strings.")]
Cursor = Annotated[
    str, Meta(description="The event id after which to resume, or `earliest` for all kept events.")
]
Topics = Annotated[list[str], Meta(description="Topics to receive.")]
Patterns = Annotated[
    list[str],
    Meta(description="Patterns of topics: `*` is one segment, a last `**` the rest; `/` and `:` separate."),
]
Overflow = Annotated[
    Literal["catch-up", "latest", "disconnect"],
    Meta(description="The policy for a client that is too slow for its events."),
]
ClientId = Annotated[
    str,
    Meta(
        description="A name that does not begin with `~`; the connection replaces the one whose "
        "`resume_secret` it brings."
    ),
]
ResumeSecret = Annotated[
    str, Meta(description="Of the client's last connection; anonymous clients with a `client_id` only.")
]
Transport = Literal["sse", "websocket", "poll"]
Encoding = Annotated[
    str,
    Meta(
        extra_json_schema={"enum": ["base64"]},
        description="`data` is the base64 of bytes (RFC 4648 section 4); absent for text and JSON.",
    ),
]
Retry = Annotated[int, Meta(description="Reconnection delay for clients (ms).")]

Time = Annotated[str, Meta(description="RFC 3339, in UTC.")]

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


# --- requests ---------------------------------------------------------------------------------


class SubscribeQuery(Struct):
    """The events to receive: at least one topic or pattern."""

    topic: Topics = []
    pattern: Patterns = []
    last_event_id: Cursor | UnsetType = UNSET
    include: (
        Annotated[
            Literal["topics"],
            Meta(description="Adds a `topic` field for each topic of an event, which EventSource ignores."),
        ]
        | UnsetType
    ) = UNSET
    overflow: Overflow = "catch-up"
    client_id: ClientId | UnsetType = UNSET
    resume_secret: ResumeSecret | UnsetType = UNSET
    heartbeat: Annotated[float, Meta(description="Heartbeat interval of a quiet stream (s).")] | UnsetType = (
        UNSET
    )


class PollQuery(Struct):
    """The events to receive, and the time to wait for them. At least one topic or pattern."""

    topic: Topics = []
    pattern: Patterns = []
    after: Cursor | UnsetType = UNSET
    wait: Annotated[float, Meta(description="Time to wait when there are no events yet (s).")] | UnsetType = (
        UNSET
    )
    overflow: Overflow = "catch-up"
    client_id: ClientId | UnsetType = UNSET
    resume_secret: ResumeSecret | UnsetType = UNSET


class ResumeHeaders(Struct):
    """The cursor as browsers send it; it takes precedence over the one in the query."""

    last_event_id: Cursor | UnsetType = field(default=UNSET, name="Last-Event-ID")


class SubscribeHeaders(ResumeHeaders):
    """The cursor and the resume secret; they take precedence over those in the query."""

    resume_secret: ResumeSecret | UnsetType = field(default=UNSET, name="Resume-Secret")


class IdempotencyHeaders(Struct):
    """The key of a request that creates a resource."""

    idempotency_key: (
        Annotated[
            str,
            Meta(
                pattern=r'^([!#-+\--~]{1,255}|"[!#-\[\]-~]{1,255}")$',
                description="Marks retries: the same key with the same content creates one resource.",
            ),
        ]
        | UnsetType
    ) = field(default=UNSET, name="Idempotency-Key")


class ConnectionsQuery(Struct):
    """The connections to list."""

    limit: Annotated[int, Meta(description="Maximum number of connections to list.")] = 100
    id: Annotated[str, Meta(description="The only connection to list.")] | UnsetType = UNSET


class UserQuery(Struct):
    """The user whose connection is addressed."""

    user: Annotated[str, Meta(description="Empty: any connection by its own id, or an anonymous client.")] = (
        ""
    )


class PublishSchema(Struct, forbid_unknown_fields=True):
    """One event, with `topic` or `topics`. An array publishes all its events or none; NDJSON one a line."""

    topic: str | None = None
    topics: list[str] | None = None
    type: str | None = None
    data: Any = ""
    encoding: Encoding | None = None
    retry: Retry | None = None
    idempotency_key: str | None = None

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {JSON: (cls, list[PublishSchema]), NDJSON: (cls,)}


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


# --- responses --------------------------------------------------------------------------------


class ProblemSchema(Struct):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: Annotated[str, Meta(description="Stable, for programs.")]
    detail: str
    field: Annotated[str, Meta(description="The input that is wrong, if one is.")] | UnsetType = UNSET

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {PROBLEM_JSON: (cls,)}


class RetryHeaders(Struct):
    """The time of the next try."""

    retry_after: Annotated[int, Meta(description="Delay before a retry (s).")] | UnsetType = field(
        default=UNSET, name="Retry-After"
    )


class EventStreamText(Struct):
    """Server-Sent Events, until the client or the server ends the stream (WHATWG HTML section 9.2)."""

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {"text/event-stream": (str,)}


class PublishedSchema(Struct):
    """The event, or every event of the array, is in the log."""

    id: Id

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {JSON: (cls, PublishedAll)}


class PublishedAll(Struct):
    """Every event of the array is in the log."""

    ids: list[Id]


class PublishedLine(Struct):
    """The outcome of one line: an event id, or an error. Blank lines get no answer."""

    line: Annotated[int, Meta(description="Its number in the body, from 1.")]
    id: Id | UnsetType = UNSET
    error: ProblemSchema | UnsetType = UNSET

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {NDJSON: (cls,)}


class LoggedEvent(Struct):
    """An event as JSON."""

    id: Id
    type: str
    topics: list[str]
    data: Any
    encoding: Encoding | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET


class GapSchema(Struct):
    """Events after `requested`, up to `resumed_after`, are no longer kept."""

    requested: Id
    resumed_after: Id


class PollAnswerSchema(Struct):
    """Events, and the cursor for the next poll."""

    events: list[LoggedEvent]
    next: Id
    gap: GapSchema | None
    control: (
        Annotated[list[dict[str, Any]], Meta(description="Messages to this client alone.")] | UnsetType
    ) = UNSET
    resume_secret: ResumeSecret | UnsetType = UNSET


class ConnectionStatus(Struct):
    """One client over one transport."""

    id: str
    client_id: str
    user: str
    address: str
    transport: Transport
    topics: Annotated[list[str], Meta(description="Topics and patterns, at most 10 of them.")]
    opened_at: str
    age_seconds: float
    health: Literal["healthy", "unhealthy", "stale"]
    stalled_seconds: float
    events_sent: int
    bytes_sent: int
    waiting: int
    errors: int


class Connections(Struct):
    """Totals since the start, and the open connections."""

    total: int
    active: int
    max_connections: int
    by_transport: dict[str, int]
    by_health: dict[str, int]
    average_connection_seconds: float
    errors: int
    events_sent: int
    bytes_sent: int
    connections: list[ConnectionStatus]


class SentSchema(Struct):
    """The message is in the connection's send queue."""

    id: Annotated[str, Meta(description="The connection's own id.")]


class BroadcastSchema(Struct):
    """Numbers of open connections that the filter selected."""

    sent: Annotated[int, Meta(description="Connections that took the message into their send queue.")]
    full: Annotated[int, Meta(description="Connections whose send queue had no room for it.")]


class HealthSchema(Struct):
    """The server is up."""

    status: str


class Readiness(Struct):
    """The server accepts requests."""

    status: str
    head: Annotated[Id, Meta(description="The newest event's id.")]
    durability: Annotated[str, Meta(description="The failures that an acknowledged event survives.")]


class MetricsText(Struct):
    """The Prometheus text format."""

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {"text/plain": (str,)}


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


class AnyJson(Struct):
    """Any JSON value."""

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {JSON: (Any,)}


class Nothing(Struct):
    """No body."""

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {}
