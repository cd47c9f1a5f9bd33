"""Totals of a group of connections, which add up over nodes."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

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
