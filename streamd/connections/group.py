"""Connections that share a bound and an account: all of them, or those of one service."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import trio

from ..errors import TooManyConnections
from .connection import Connection
from .health import Health


class Group:
    """A number of places, who has them, and what those did who had them before.

    Args:
        name: for messages; empty for the group of all.
        max_connections: places (count); 0 for no bound.
        max_lifetime_seconds: a connection ends with ``closing`` after this (s); 0 for no limit.
        lifetime_jitter: how much of that is random (0 to 1).
        retry_after_seconds: what those are told for whom there is no place (s).
        heartbeat_fields: what the group's heartbeats say beside the time, as JSON fields; asked once for
            all who are due together.
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
        self.max_connections: Final = max_connections
        self._places = trio.Semaphore(max_connections, max_value=max_connections) if max_connections else None
        self._max_lifetime_seconds = max_lifetime_seconds
        self._lifetime_jitter = lifetime_jitter
        self._retry_after_seconds = retry_after_seconds
        self._heartbeat_fields = heartbeat_fields
        self._connections: dict[str, Connection] = {}
        self._ended: Counter[str] = Counter()  # totals of connections that are gone
        self._ended_seconds = 0.0

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        """Everyone connected now; a copy."""
        return iter(list(self._connections.values()))

    def enter(self, connection: Connection) -> None:
        """Take a place.

        Raises:
            TooManyConnections: there is none.
        """
        if self._places is not None:
            try:
                self._places.acquire_nowait()
            except trio.WouldBlock:
                of = f" of {self.name}" if self.name else ""
                raise TooManyConnections(
                    f"all {self.max_connections} connections{of} are taken",
                    retry_after_seconds=self._retry_after_seconds,
                ) from None
        self._connections[connection.id] = connection

    def leave(self, connection: Connection) -> None:
        """Give the place back."""
        self.forget(connection)
        self._ended.update(
            connections=1,
            events=connection.sent.events,
            bytes=connection.sent.bytes,
            errors=connection.errors,
        )
        self._ended_seconds += trio.current_time() - connection.opened

    def forget(self, connection: Connection) -> None:
        """Give the place back, as if it never had been taken."""
        if self._places is not None:
            self._places.release()
        del self._connections[connection.id]

    def choose_expiry(self) -> float:
        """When a connection that begins now is to end (s, trio's clock)."""
        if not self._max_lifetime_seconds:
            return float("inf")
        jitter = self._lifetime_jitter * random.random()
        return trio.current_time() + self._max_lifetime_seconds * (1 - jitter)

    def heartbeat_fields(self) -> Mapping[str, Any]:
        """What a heartbeat of this group says beside the time."""
        return {} if self._heartbeat_fields is None else self._heartbeat_fields(self)

    def statistics(self) -> dict[str, Any]:
        """Counts of all connections since the start, and of those there are now."""
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
