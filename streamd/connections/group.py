"""A group of connections with one limit, one lifetime and one account: all of them, or one service's."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import trio

from ..errors import TooManyConnections
from .connection import Connection
from .totals import GroupTally, GroupTotals

_COUNTED_AT_ONCE: Final = 500  # less than a millisecond


def _no_totals(_: str) -> Sequence[GroupTotals]:
    """Stand in for the other nodes where there are none."""
    return ()


class Group:
    """Slots for connections, the connections in them, and totals of those that ended.

    Args:
        name: named in errors, and the same on all nodes; empty for the group of all connections.
        max_connections: maximum number of connections, on all nodes together; 0 for no limit.
        max_lifetime_seconds: a connection ends with ``closing`` after this (s); 0 for no limit.
        lifetime_jitter: part of the lifetime that is random (0 to 1).
        retry_after_seconds: ``Retry-After`` of a rejected connection (s).
        heartbeat_fields: makes the JSON fields of the group's heartbeats besides the time. Called once
            for all connections whose heartbeats leave together.

    Attributes:
        elsewhere: returns the totals of the group of a name on the other nodes; set by the registry.
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
        self.elsewhere: Callable[[str], Sequence[GroupTotals]] = _no_totals
        self._connections: dict[str, Connection] = {}
        # Totals of connections that ended.
        self._ended = self._events = self._bytes = self._errors = 0
        self._ended_seconds = 0.0

    def __len__(self) -> int:
        """Count the connections of this node."""
        return len(self._connections)

    @property
    def active(self) -> int:
        """The number of connections on all nodes: those of others as they last reported it."""
        active = len(self._connections)
        others = self.elsewhere(self.name)
        return active + sum([totals.active for totals in others]) if others else active

    def __iter__(self) -> Iterator[Connection]:
        """Iterate over a copy of the present connections of this node."""
        return iter(list(self._connections.values()))

    def get(self, id: str) -> Connection | None:
        """Return the connection with this id; None if it is not in the group."""
        return self._connections.get(id)

    def enter(self, connection: Connection) -> None:
        """Take a slot.

        Raises:
            TooManyConnections: none is free.
        """
        if self.max_connections and self.active >= self.max_connections:
            of = f" of {self.name}" if self.name else ""
            raise TooManyConnections(
                f"all {self.max_connections} connections{of} are taken",
                retry_after_seconds=self._retry_after_seconds,
            )
        self._connections[connection.id] = connection

    def leave(self, connection: Connection) -> None:
        """Give the slot back, and add the connection to the totals."""
        self.forget(connection)
        self._ended += 1
        self._events += connection.sent.events
        self._bytes += connection.sent.bytes
        self._errors += connection.errors
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
        """Count all connections since the start, and the present ones, on all nodes, as JSON values."""
        return self.totals().add(self.elsewhere(self.name)).statistics()

    def totals(self) -> GroupTotals:
        """Count all connections of this node since the start, and the present ones."""
        tally = self._begin_tally()
        tally.add(list(self))
        return tally.totals()

    async def totals_in_turns(self) -> GroupTotals:
        """Count as :meth:`totals` does, as of the start, without delaying the fan-out."""
        tally = self._begin_tally()
        live = list(self)
        for start in range(0, len(live), _COUNTED_AT_ONCE):
            tally.add(live[start : start + _COUNTED_AT_ONCE])
            await trio.lowlevel.checkpoint()
        return tally.totals()

    def totals_after(self, before: GroupTotals) -> GroupTotals:
        """Return earlier totals with the present numbers of connections, which takes no time."""
        now = self._begin_tally().totals()
        return msgspec.structs.replace(
            before, total=now.total, active=now.active, max_connections=now.max_connections
        )

    def _begin_tally(self) -> GroupTally:
        ended = GroupTotals(
            total=self._ended,
            max_connections=self.max_connections,
            seconds=self._ended_seconds,
            errors=self._errors,
            events_sent=self._events,
            bytes_sent=self._bytes,
        )
        return GroupTally(ended, len(self))
