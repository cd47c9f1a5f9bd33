"""A group of connections with one limit, one lifetime and one account: all of them, or one service's."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import trio

from ..errors import TooManyConnections
from .connection import Connection
from .health import Health


class Group:
    """Slots for connections, the connections in them, and totals of those that ended.

    Args:
        name: named in errors; empty for the group of all connections.
        max_connections: maximum number of connections; 0 for no limit.
        max_lifetime_seconds: a connection ends with ``closing`` after this (s); 0 for no limit.
        lifetime_jitter: part of the lifetime that is random (0 to 1).
        retry_after_seconds: ``Retry-After`` of a rejected connection (s).
        heartbeat_fields: makes the JSON fields of the group's heartbeats besides the time. Called once
            for all connections whose heartbeats leave together.
    """

    def __init__(
        self,
        name: str = "",
        *,
        max_connections: int = 0,
        max_lifetime_seconds: float = 0.0,
        lifetime_jitter: float = 0.1,
        retry_after_seconds: float = 5.0,
        heartbeat_fields: Callable[["Group"], Mapping[str, Any]] | None = None,
    ) -> None:
        self.name: Final = name
        self.max_connections = max_connections
        self._max_lifetime_seconds = max_lifetime_seconds
        self._lifetime_jitter = lifetime_jitter
        self._retry_after_seconds = retry_after_seconds
        self._heartbeat_fields = heartbeat_fields
        self._connections: dict[str, Connection] = {}
        self._ended: Counter[str] = Counter()  # totals of connections that ended
        self._ended_seconds = 0.0

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        """Iterate over a copy of the present connections."""
        return iter(list(self._connections.values()))

    def get(self, id: str) -> Connection | None:
        """Return the connection with this id; None if it is not in the group."""
        return self._connections.get(id)

    def enter(self, connection: Connection) -> None:
        """Take a slot.

        Raises:
            TooManyConnections: none is free.
        """
        if self.max_connections and len(self) >= self.max_connections:
            of = f" of {self.name}" if self.name else ""
            raise TooManyConnections(
                f"all {self.max_connections} connections{of} are taken",
                retry_after_seconds=self._retry_after_seconds,
            )
        self._connections[connection.id] = connection

    def leave(self, connection: Connection) -> None:
        """Give the slot back, and add the connection to the totals."""
        self.forget(connection)
        self._ended.update(
            connections=1,
            events=connection.sent.events,
            bytes=connection.sent.bytes,
            errors=connection.errors,
        )
        self._ended_seconds += trio.current_time() - connection.opened

    def forget(self, connection: Connection) -> None:
        """Give the slot back as if it had never been taken."""
        del self._connections[connection.id]

    def choose_expiry(self) -> float:
        """Choose the end of the lifetime of a connection that opens now (s, trio's clock)."""
        if not self._max_lifetime_seconds:
            return float("inf")
        jitter = self._lifetime_jitter * random.random()
        return trio.current_time() + self._max_lifetime_seconds * (1 - jitter)

    def heartbeat_fields(self) -> Mapping[str, Any]:
        """Return the JSON fields that the group's heartbeats have besides the time."""
        return {} if self._heartbeat_fields is None else self._heartbeat_fields(self)

    def statistics(self) -> dict[str, Any]:
        """Count all connections since the start, and the present ones."""
        now = trio.current_time()
        live = list(self._connections.values())
        total = self._ended["connections"] + len(live)
        seconds = self._ended_seconds + sum(now - connection.opened for connection in live)
        health = Counter(connection.health for connection in live)
        return {
            "total": total,
            "active": len(live),
            "max_connections": self.max_connections,
            "by_transport": dict(Counter(connection.transport for connection in live)),
            "by_health": {state.value: health[state] for state in Health},
            "average_connection_seconds": round(seconds / total, 3) if total else 0.0,
            "errors": self._ended["errors"] + sum(connection.errors for connection in live),
            "events_sent": self._ended["events"] + sum(connection.sent.events for connection in live),
            "bytes_sent": self._ended["bytes"] + sum(connection.sent.bytes for connection in live),
        }
