"""The shapes of requests and answers, as ``/openapi.json`` shows them."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Id = Annotated[str, Meta(pattern=r"^[0-9]{13}-[0-9]{6}$", description="An event id; ids sort as strings.")]
Cursor = Annotated[str, Meta(description="An event id to go on after, or `earliest` for all that is kept.")]


class SubscribeQuery(Struct):
    """What to receive. At least one topic or pattern."""

    topic: list[str] = []
    pattern: list[str] = []
    last_event_id: Cursor | None = None
    overflow: Literal["catch-up", "latest", "disconnect"] = "catch-up"
    client_id: str | None = None
    heartbeat: Annotated[float, Meta(description="Quiet seconds before a heartbeat.")] | None = None


class PollQuery(Struct):
    """What to receive, and how long to wait for it. At least one topic or pattern."""

    topic: list[str] = []
    pattern: list[str] = []
    after: Cursor | None = None
    wait: Annotated[float, Meta(description="Seconds to wait when there is nothing.")] | None = None
    overflow: Literal["catch-up", "latest", "disconnect"] = "catch-up"
    client_id: str | None = None


class Publish(Struct):
    """One event. Either `topic` or `topics`; an array publishes several, all of them or none."""

    topic: str | None = None
    topics: list[str] | None = None
    type: str | None = None
    data: Any = ""
    retry: int | None = None
    idempotency_key: str | None = None


class Published(Struct):
    """The event is in the log."""

    id: Id


class LoggedEvent(Struct):
    """An event as JSON."""

    id: Id
    type: str
    topics: list[str]
    data: Any
    retry: int | None = None


class Gap(Struct):
    """Events after `requested`, up to `resumed_after`, are no longer kept."""

    requested: Id
    resumed_after: Id


class PollAnswer(Struct):
    """Events, and the cursor for the next poll."""

    events: list[LoggedEvent]
    next: Id
    gap: Gap | None


class Problem(Struct):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


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


class ConnectionsQuery(Struct):
    """How many connections to list, or which one."""

    limit: int = 100
    id: str | None = None


class Health(Struct):
    """Whether the server is up, or takes requests."""

    status: str
