"""Broadcasts: one message to every connection that a filter selects."""

import itertools
from collections.abc import Callable, Iterable

import attrs

from ..events import Control, Pattern, UnloggedEvent
from .connection import Connection
from .turns import visit_in_turns


@attrs.frozen(kw_only=True)
class ConnectionFilter:
    """Selects connections; a condition that is None holds for every connection.

    Usable wherever a function from a connection to a bool is, such as ``where`` of
    :meth:`~streamd.connections.Registry.broadcast`.

    Args:
        transport: ``sse``, ``websocket`` or ``poll``.
        topic: a topic whose events the connection receives, by a topic or by a pattern of its own.
        pattern: matches at least one of the connection's topics, or of its patterns read as a topic.
        user: its user; empty for anonymous clients.
        client_id: its client id, or its own id if it chose none.
    """

    transport: str | None = None
    topic: str | None = None
    pattern: Pattern | None = None
    user: str | None = None
    client_id: str | None = None

    def __call__(self, connection: Connection) -> bool:
        """Return True if all conditions hold."""
        return (
            self.transport in (None, connection.transport)
            and self.user in (None, connection.identity.user)
            and self.client_id in (None, connection.client_id)
            and (self.topic is None or self._receives(connection, self.topic))
            and (self.pattern is None or self._follows(connection, self.pattern))
        )

    @staticmethod
    def _receives(connection: Connection, topic: str) -> bool:
        return connection.subscription is not None and connection.subscription.selectors.matches([topic])

    @staticmethod
    def _follows(connection: Connection, pattern: Pattern) -> bool:
        if connection.subscription is None:
            return False
        selectors = connection.subscription.selectors
        followed = itertools.chain(selectors.topics, (own.text for own in selectors.patterns))
        return any(map(pattern.matches, followed))


@attrs.define
class BroadcastOutcome:
    """Counts of the selected connections that were open."""

    sent: int = 0  # took the message into their send queue
    full: int = 0  # had no room for it there


async def broadcast_in_turns(
    connections: Iterable[Connection], message: Control | UnloggedEvent, where: Callable[[Connection], bool]
) -> BroadcastOutcome:
    """Send a message to every open connection for which ``where`` is true, in turns.

    A connection that opens meanwhile does not receive it. Cancelled, some have received it.
    """
    outcome = BroadcastOutcome()

    def send(connection: Connection) -> None:
        if not connection.is_open or not where(connection):
            return
        if connection.send(message):
            outcome.sent += 1
        else:
            outcome.full += 1

    await visit_in_turns(connections, send)
    return outcome
