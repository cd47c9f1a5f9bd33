"""A client that connects to another node replaces the connection that it has.

::

    opened ── announced ──> Redis ──> all nodes, also the one with the connection
                                        earlier connections of the same client are closed

Redis delivers announcements to all nodes in one order, in which the later one wins. A connection whose own
announcement has not come back yet is therefore later than each one that arrives, and stays. The node of the
other one closes it when the announcement arrives there.

A node that was cut off announces its connections again with their ages, because Redis' order tells nothing
about them: then the younger connection wins.
"""

from collections.abc import Sequence
from typing import Final, NoReturn

import trio

from ..connection import CloseReason, Connection
from ..registry import REPLACED_RETRY_MS, Registry
from .channel import NodeChannel, NodePart
from .messages import AnyNodeMessage, ClientsOpened, OpenClient

_INTERVAL_SECONDS: Final = 0.02  # a client needs longer to change from one node to another
_ANNOUNCED_AT_ONCE: Final = 500


class ReplacedClients(NodePart):
    """Announces the connections of this node, and closes those that others replace.

    Args:
        registry: of this node.
        channel: to the others.

    Attributes:
        unconfirmed: the connections whose announcement has not come back, by their ids.
    """

    def __init__(self, registry: Registry, channel: NodeChannel) -> None:
        self._registry = registry
        self._channel = channel
        self._new: list[Connection] = []  # to be announced
        self._old: list[Connection] = []  # to be announced with their ages
        self.unconfirmed: dict[str, Connection] = {}
        self._has_some = trio.Event()

    def note_opened(self, connection: Connection) -> None:
        """Announce a connection that may replace one on another node."""
        if self._channel.is_open and _may_replace(connection):  # otherwise it is announced when it is open
            self.unconfirmed[connection.id] = connection
            self._new.append(connection)
            self._has_some.set()

    def note_closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self.unconfirmed.pop(connection.id, None)

    def opened(self) -> None:
        self._announce_again([each for each in self._registry if _may_replace(each)])

    def lost(self) -> None:
        self._new.clear()
        self._old.clear()
        self.unconfirmed.clear()

    def take(self, message: AnyNodeMessage, *, is_own: bool) -> None:
        if not isinstance(message, ClientsOpened):
            return
        for client in message.clients:
            if is_own:
                self.unconfirmed.pop(client.id, None)
            else:
                self._replace(client)

    def _replace(self, client: OpenClient) -> None:
        """Close the connection that another node's replaces, if it is the earlier one."""
        connection = self._registry.find_client(client.user, client.client_id, client.lineage)
        if connection is None or connection.id in self.unconfirmed:
            return
        if client.age is not None and connection.opened > trio.current_time() - client.age:
            self._announce_again([connection])
            return
        connection.close(CloseReason.REPLACED, retry_ms=REPLACED_RETRY_MS)

    def _announce_again(self, connections: Sequence[Connection]) -> None:
        if connections:
            self._old.extend(connections)
            self._has_some.set()

    async def run(self) -> NoReturn:
        """Announce connections until cancelled."""
        while True:
            await self._has_some.wait()
            now = trio.current_time()
            # One that has ended may be older than the client's next connection, on another node.
            clients = [
                _describe(each, None if each.id in self.unconfirmed else now - each.opened)
                for each in _take_some(self._new)
            ]
            if not clients:
                clients = [
                    _describe(each, now - each.opened)
                    for each in _take_some(self._old)
                    if not each.is_disconnected
                ]
            if not self._new and not self._old:
                self._has_some = trio.Event()
            if clients:
                await self._channel.tell(ClientsOpened(node=self._channel.node, clients=clients))
            await trio.sleep(_INTERVAL_SECONDS)


def _may_replace(connection: Connection) -> bool:
    """Return True unless it is the first of its lineage, which replaces nothing."""
    return connection.has_client_id and connection.lineage != connection.id


def _take_some(connections: list[Connection]) -> list[Connection]:
    taken = connections[:_ANNOUNCED_AT_ONCE]
    del connections[:_ANNOUNCED_AT_ONCE]
    return taken


def _describe(connection: Connection, age: float | None = None) -> OpenClient:
    return OpenClient(connection.identity.user, connection.client_id, connection.lineage, connection.id, age)
