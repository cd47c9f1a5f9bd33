"""One of the nodes on a Redis: the parts that share its connections with the others."""

from collections.abc import Sequence
from typing import Any, Final, NoReturn

import trio

from ...redis.address import RedisAddress
from ...redis.link import RedisLink
from ..connection import Connection
from ..registry import Registry
from ..totals import GroupTotals
from .census import SharedCensus
from .channel import NodeChannel, NodePart
from .counts import NodeCounts
from .replacing import ReplacedClients


class ConnectionNode:
    """Shares the connections of one node with the others; implements :class:`..others.OtherNodes`.

    :meth:`run` must run for as long as the registry is used.

    Args:
        registry: of this node; it has no connections yet.
        address: of the Redis server.
        prefix: of the keys and channels: nodes with the same one share their connections.
        options: of the :class:`.channel.NodeChannel`.

    Attributes:
        census: the connections of all nodes.
        channel: to the other nodes.
        replaced: closes connections whose clients have connected to other nodes.
    """

    def __init__(self, registry: Registry, address: RedisAddress, prefix: str, **options: Any) -> None:
        self.channel: Final = NodeChannel(address, prefix, **options)
        self.census: Final = SharedCensus(registry, self.channel)
        self._counts = NodeCounts(registry, self.channel)
        self.replaced: Final = ReplacedClients(registry, self.channel)
        self.channel.answer = self.census.answer
        self.channel.parts += [_SecretKey(registry, prefix), self._counts, self.replaced]
        registry.share(self)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Share connections until cancelled; then the other nodes count them no more.

        ``task_status.started`` is called when the others can be asked, or after a short time without Redis.
        """
        async with trio.open_nursery() as nursery:
            await nursery.start(self.channel.run)
            nursery.start_soon(self._counts.run)
            nursery.start_soon(self.replaced.run)
            task_status.started()
        raise AssertionError("the node runs until it is cancelled")

    def totals(self, group: str) -> Sequence[GroupTotals]:
        return self._counts.totals(group)

    def count_at(self, address: str) -> int:
        return self._counts.count_at(address)

    def note_opened(self, connection: Connection) -> None:
        """Report a connection that has opened, and announce it."""
        self._counts.note(connection)
        self.replaced.note_opened(connection)

    def note_closed(self, connection: Connection) -> None:
        """Report a connection that has ended."""
        self._counts.note(connection)
        self.replaced.note_closed(connection)


class _SecretKey(NodePart):
    """Takes the key of the resume secrets from Redis, where the first node has put it."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        self._secrets = registry.secrets
        self._key = f"{prefix}:resume-key"

    async def greet(self, link: RedisLink) -> None:
        # SET is refused while the server's memory is full, also if there is nothing to set.
        stored = await link.call(b"GET", self._key)
        if stored is None:
            stored = await link.call(b"SET", self._key, self._secrets.key.hex(), b"NX", b"GET")
        if stored:
            self._secrets.adopt(bytes.fromhex(stored.decode()))
