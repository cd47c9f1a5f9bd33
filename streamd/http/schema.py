"""The shapes of requests and answers, as ``/openapi.json`` shows them."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

Id = Annotated[str, Meta(pattern=r"^[0-9]{13}-[0-9]{6}$", description="An event id; ids sort as strings.")]
Cursor = Annotated[str, Meta(description="An event id to go on after, or `earliest` for all that is kept.")]
Topics = Annotated[list[str], Meta(description="Topics to receive.")]
Patterns = Annotated[
    list[str],
    Meta(description="Patterns of topics: `*` is one segment, a last `**` the rest; `/` and `:` separate."),
]
Overflow = Annotated[
    Literal["catch-up", "latest", "disconnect"],
    Meta(description="What happens when the client is too slow for the events."),
]
ClientId = Annotated[str, Meta(description="A name; a second connection with it replaces the first.")]
Retry = Annotated[int, Meta(description="Milliseconds for clients to wait before they reconnect.")]


Status = Literal["pending", "running", "completed", "failed", "cancelled"]


# --- requests ---------------------------------------------------------------------------------


class SubscribeQuery(Struct):
    """What to receive. At least one topic or pattern."""

    topic: Topics = []
    pattern: Patterns = []
    last_event_id: Cursor | UnsetType = UNSET
    overflow: Overflow = "catch-up"
    client_id: ClientId | UnsetType = UNSET
    heartbeat: Annotated[float, Meta(description="Quiet seconds before a heartbeat.")] | UnsetType = UNSET


class PollQuery(Struct):
    """What to receive, and how long to wait for it. At least one topic or pattern."""

    topic: Topics = []
    pattern: Patterns = []
    after: Cursor | UnsetType = UNSET
    wait: Annotated[float, Meta(description="Seconds to wait when there is nothing.")] | UnsetType = UNSET
    overflow: Overflow = "catch-up"
    client_id: ClientId | UnsetType = UNSET


class ResumeHeaders(Struct):
    """The cursor as browsers send it; it goes before the one in the query."""

    last_event_id: Cursor | UnsetType = field(default=UNSET, name="Last-Event-ID")


class ConnectionsQuery(Struct):
    """How many connections to list, or which one."""

    limit: Annotated[int, Meta(description="The most connections to list.")] = 100
    id: Annotated[str, Meta(description="The only connection to list.")] | UnsetType = UNSET


class Publish(Struct, forbid_unknown_fields=True):
    """One event. Either `topic` or `topics`. An array publishes several, all or none; NDJSON one a line."""

    topic: str | None = None
    topics: list[str] | None = None
    type: str | None = None
    data: Any = ""
    retry: Retry | None = None
    idempotency_key: str | None = None


class NewStep(Struct, forbid_unknown_fields=True):
    """A step that is known before the work begins."""

    name: str
    weight: Annotated[float, Meta(description="Its share of the task's progress.")] = 1.0


class TasksQuery(Struct):
    """Which tasks to list."""

    kind: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    limit: Annotated[int, Meta(description="The most tasks to list.")] = 100


# --- answers ----------------------------------------------------------------------------------


class Problem(Struct):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: Annotated[str, Meta(description="Stable, for programs.")]
    detail: str
    field: Annotated[str, Meta(description="The input that is wrong, if one is.")] | UnsetType = UNSET


class RetryHeaders(Struct):
    """When to come back."""

    retry_after: Annotated[int, Meta(description="Seconds until another try makes sense.")] | UnsetType = (
        field(default=UNSET, name="Retry-After")
    )


class EventStreamText(Struct):
    """Server-Sent Events, until one side ends it (WHATWG HTML section 9.2)."""


class Published(Struct):
    """The event, or every event of the array, is in the log."""

    id: Id


class PublishedAll(Struct):
    """Every event of the array is in the log."""

    ids: list[Id]


class PublishedLine(Struct):
    """What became of one line: an id, or the reason why there is none. Blank lines are not answered."""

    line: Annotated[int, Meta(description="Its place in the body, from 1.")]
    id: Id | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class LoggedEvent(Struct):
    """An event as JSON."""

    id: Id
    type: str
    topics: list[str]
    data: Any
    retry: Retry | UnsetType = UNSET


class Gap(Struct):
    """Events after `requested`, up to `resumed_after`, are no longer kept."""

    requested: Id
    resumed_after: Id


class PollAnswer(Struct):
    """Events, and the cursor for the next poll."""

    events: list[LoggedEvent]
    next: Id
    gap: Gap | None
    control: (
        Annotated[list[dict[str, Any]], Meta(description="Messages to this client alone.")] | UnsetType
    ) = UNSET


class ConnectionStatus(Struct):
    """One client over one transport."""

    id: str
    client_id: str
    user: str
    address: str
    transport: str
    opened_at: str
    age_seconds: float
    health: Literal["healthy", "unhealthy", "stale"]
    stalled_seconds: float
    events_sent: int
    bytes_sent: int
    waiting: int
    errors: int


class Connections(Struct):
    """Totals since the start, and the connections there are now."""

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


class Health(Struct):
    """The server is up."""

    status: str


class Readiness(Struct):
    """The server takes requests."""

    status: str
    head: Annotated[Id, Meta(description="The newest event's id.")]
    durability: Annotated[str, Meta(description="What an acknowledged event survives.")]


class MetricsText(Struct):
    """The Prometheus text format."""


class Step(Struct):
    """One part of a task."""

    name: str
    status: Literal["pending", "running", "completed", "failed", "skipped"]
    progress: float
    weight: float
    message: str
    error: str


class TaskError(Struct):
    """Why a task failed, or was cancelled."""

    code: str
    detail: str


class Task(Struct):
    """A long piece of work, as it stands."""

    id: str
    kind: str
    owner: str
    status: Status
    progress: Annotated[float, Meta(description="0 to 100; never falls.")]
    stage: str
    message: str
    steps: list[Step]
    details: Annotated[dict[str, Any], Meta(description="The newest of each further field of its messages.")]
    eta_seconds: float | None
    error: TaskError | None
    worker: str
    created_at: str
    started_at: str | None
    updated_at: str
    ended_at: str | None
    deadline: Annotated[str, Meta(description="When it fails, if it has not ended.")]
    version: int
    has_result: bool
    cancelled: Annotated[bool, Meta(description="Tells a worker to stop.")]
    eventsUrl: str  # noqa: N815 - as the services say it
    resultUrl: str  # noqa: N815
    lease: Annotated[str, Meta(description="The key to report on it, for its worker.")] | UnsetType = UNSET
    lease_until: str | UnsetType = UNSET
    input: Any | UnsetType = UNSET


class Tasks(Struct):
    """Tasks, the newest first."""

    tasks: list[Task]


class AnyJson(Struct):
    """Any JSON value."""


class Nothing(Struct):
    """There is none."""
