"""Totals of a group of connections, which add up over nodes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import trio

from .connection import Connection
from .health import Health


class GroupTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a group's connections since the start, and of the present ones.

    Args:
        total: connections since the start.
        active: present connections.
        max_connections: maximum number of present connections; 0 for no limit.
        by_transport, by_health: present connections.
        seconds: durations of all connections together (s).
        errors, events_sent, bytes_sent: of all connections since the start.
    """

    total: int = 0
    active: int = 0
    max_connections: int = 0
    by_transport: dict[str, int] = {}
    by_health: dict[str, int] = {}
    seconds: float = 0.0
    errors: int = 0
    events_sent: int = 0
    bytes_sent: int = 0

    def add(self, others: Iterable["GroupTotals"]) -> "GroupTotals":
        """Return the sum of these and other totals, with the limit of these."""
        parts = [self, *others]
        if len(parts) == 1:
            return self
        by_transport: Counter[str] = Counter()
        by_health: Counter[str] = Counter()
        for part in parts:
            by_transport.update(part.by_transport)
            by_health.update(part.by_health)
        return GroupTotals(
            total=sum(part.total for part in parts),
            active=sum(part.active for part in parts),
            max_connections=self.max_connections,
            by_transport=dict(by_transport),
            by_health=dict(by_health),
            seconds=sum(part.seconds for part in parts),
            errors=sum(part.errors for part in parts),
            events_sent=sum(part.events_sent for part in parts),
            bytes_sent=sum(part.bytes_sent for part in parts),
        )

    def statistics(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {
            "total": self.total,
            "active": self.active,
            "max_connections": self.max_connections,
            "by_transport": self.by_transport,
            "by_health": {state.value: self.by_health.get(state.value, 0) for state in Health},
            "average_connection_seconds": round(self.seconds / self.total, 3) if self.total else 0.0,
            "errors": self.errors,
            "events_sent": self.events_sent,
            "bytes_sent": self.bytes_sent,
        }


class GroupTally:
    """Adds present connections to the totals of those that have ended.

    Args:
        ended: the totals of connections that have ended.
        live: number of the connections to add.
    """

    def __init__(self, ended: GroupTotals, live: int) -> None:
        self._ended = ended
        self._live = live
        self._now = trio.current_time()
        self._by_transport: Counter[str] = Counter()
        self._by_health: Counter[Health] = Counter()
        self._seconds = ended.seconds
        self._errors, self._events, self._bytes = ended.errors, ended.events_sent, ended.bytes_sent

    def add(self, connections: Sequence[Connection]) -> None:
        """Add connections, which may have ended since."""
        self._by_transport.update([connection.transport for connection in connections])
        self._by_health.update([connection.health for connection in connections])
        self._seconds += sum([self._now - connection.opened for connection in connections])
        self._errors += sum([connection.errors for connection in connections])
        self._events += sum([connection.sent.events for connection in connections])
        self._bytes += sum([connection.sent.bytes for connection in connections])

    def totals(self) -> GroupTotals:
        """Return the totals of all."""
        return GroupTotals(
            total=self._ended.total + self._live,
            active=self._live,
            max_connections=self._ended.max_connections,
            by_transport=dict(self._by_transport),
            by_health={state.value: count for state, count in self._by_health.items()},
            seconds=self._seconds,
            errors=self._errors,
            events_sent=self._events,
            bytes_sent=self._bytes,
        )
