"""``/connections``: the open connections, and operations on them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Transport = Literal["sse", "websocket", "poll"]


class ConnectionsQuery(Struct):
    """The connections to list."""

    limit: Annotated[int, Meta(description="Maximum number of connections to list.")] = 100
    id: Annotated[str, Meta(description="The only connection to list.")] | UnsetType = UNSET


class UserQuery(Struct):
    """The user whose connection is addressed."""

    user: Annotated[str, Meta(description="Empty: any connection by its own id, or an anonymous client.")] = (
        ""
    )


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
    """Totals since the start, and the open connections, of all nodes."""

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
