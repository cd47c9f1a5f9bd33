"""The census: the open connections, and operations on them, for callers that do not know which node has them.

A :class:`~.registry.Registry` has the connections of one node. A census has those of all nodes that share
one log: :class:`LocalCensus` where there is one node, :class:`.nodes.SharedCensus` where there are several.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Protocol

import attrs

from ..characters import quoted
from ..errors import ConnectionClosing, NotFound, SendQueueFull
from ..events import UnloggedEvent
from .broadcast import BroadcastOutcome, ConnectionFilter
from .connection import CloseReason, Connection
from .registry import Registry
from .totals import GroupTotals


@attrs.frozen
class Listing:
    """The totals of all connections, and the states of some of them, oldest first, as JSON values."""

    totals: GroupTotals
    connections: list[dict[str, Any]]


class Census(Protocol):
    """Finds connections and operates on them.

    A connection is addressed by its own id, or by a client id, for the newest connection with it; see
    :meth:`.Registry.find` for ``user``.
    """

    async def list(self, limit: int, id: str | None = None) -> Listing:
        """List the connections, or only the one with this own id.

        Nodes that do not answer are left out.
        """

    async def status(self, id: str, *, user: str = "") -> dict[str, Any]:
        """Return the state of a connection, as JSON values.

        Raises:
            NotFound: there is no such connection.
            Unavailable: it may be on a node that did not answer.
        """

    async def send(self, id: str, message: UnloggedEvent, *, user: str = "") -> str:
        """Queue a message for one client, and return the connection's own id.

        Raises:
            NotFound: there is no such connection.
            ConnectionClosing: it is being closed.
            SendQueueFull: its send queue has no room.
            Unavailable: it may be on a node that did not answer.
        """

    async def close(self, id: str, *, user: str = "", reason: str = CloseReason.CLOSED) -> None:
        """End a connection, and tell its client the reason.

        Raises:
            NotFound: there is no such connection.
            Unavailable: it may be on a node that did not answer.
        """

    async def broadcast(self, message: UnloggedEvent, where: ConnectionFilter) -> BroadcastOutcome:
        """Send a message to every open connection that a filter selects, and count those that took it.

        The connections of nodes that do not answer are not counted. Cancelled, some have received it.
        """


class LocalCensus:
    """The census of one node; see :class:`Census`. Its methods have no checkpoint, but for broadcasts.

    Args:
        registry: of the node.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def list(self, limit: int, id: str | None = None) -> Listing:
        listed: Iterator[Connection] = iter(self._registry)
        if id is not None:
            listed = filter(None, [self._registry.get(id)])
        shown = [connection.status() for connection in itertools.islice(listed, limit)]
        return Listing(self._registry.totals(), shown)

    async def status(self, id: str, *, user: str = "") -> dict[str, Any]:
        return self._registry.status(id, user=user)

    async def send(self, id: str, message: UnloggedEvent, *, user: str = "") -> str:
        connection = self._registry.find(id, user=user)
        if not connection.is_open:
            raise closing(connection.id)
        if not connection.send(message):
            raise full(connection.id, self._registry.settings.retry_after_seconds)
        return connection.id

    async def close(self, id: str, *, user: str = "", reason: str = CloseReason.CLOSED) -> None:
        self._registry.close(id, user=user, reason=reason)

    async def broadcast(self, message: UnloggedEvent, where: ConnectionFilter) -> BroadcastOutcome:
        return await self._registry.broadcast(message, where)


def closing(id: str) -> ConnectionClosing:
    """Build the error for a message to a connection that is being closed."""
    return ConnectionClosing(f"connection {id} is being closed", field="id")


def full(id: str, retry_after_seconds: float) -> SendQueueFull:
    """Build the error for a message that a send queue has no room for."""
    return SendQueueFull(
        f"the send queue of connection {id} is full", retry_after_seconds=retry_after_seconds
    )


def not_found(id: str) -> NotFound:
    """Build the error for an id that no connection has."""
    return NotFound(f"no connection has the id or client id {quoted(id)}", field="id")
