"""Nodes that share their connections through the tests' Redis server, in one process."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from streamd.connections import Connection, Identity, Registry
from streamd.connections.nodes import ConnectionNode, SharedCensus
from streamd.connections.settings import ConnectionSettings
from streamd.events import Control
from streamd.hub import SendQueue
from streamd.metrics import Metrics
from streamd.redis import RedisAddress
from tests.support.redis_servers import shared_server
from tests.support.waiting import until


@attrs.define(eq=False)
class NodeRig:
    """One node: its registry, and the census as it sees it.

    Args:
        registry: of the node.
        node: shares its connections.
        scope: cancelling it is a clean shutdown.
    """

    registry: Registry
    node: ConnectionNode
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ended: trio.Event = attrs.field(factory=trio.Event)

    @property
    def census(self) -> SharedCensus:
        return self.node.census

    def admit(
        self,
        client_id: str | None = None,
        *,
        user: str = "",
        address: str = "",
        capacity: int = 8,
        **options: Any,
    ) -> Connection:
        """Make a connection, which is open inside its ``with`` block."""
        queue = SendQueue(capacity, 10_000)
        return self.registry.admit("sse", Identity(user, address), queue, client_id=client_id, **options)

    async def announced(self) -> None:
        """Wait until all nodes have been told of this node's connections."""
        await until(lambda: not self.node.replaced.unconfirmed)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with self.scope:
            await self.node.run(task_status)
        self.ended.set()

    async def stop(self) -> None:
        """Shut the node down, and wait for the end."""
        self.scope.cancel()
        await self.ended.wait()


@asynccontextmanager
async def open_nodes(
    prefix: str,
    count: int = 2,
    settings: ConnectionSettings | None = None,
    address: RedisAddress | None = None,
    **options: Any,
) -> AsyncIterator[list[NodeRig]]:
    """Run nodes while the block lasts.

    Args:
        prefix: of their keys and channels.
        count: number of nodes.
        settings: of their registries.
        address: of the server; None for the shared one.
        options: of their channels.
    """
    nodes = []
    for _ in range(count):
        registry = Registry(settings or ConnectionSettings(), Metrics(max_type_labels=5))
        server = address or shared_server().address
        nodes.append(
            NodeRig(
                registry, ConnectionNode(registry, server, prefix, **{"reply_seconds": math.inf} | options)
            )
        )
    async with trio.open_nursery() as nursery:
        for node in nodes:
            await nursery.start(node.run)
        await until(lambda: all(len(node.node.channel.live_nodes()) == count - 1 for node in nodes))
        yield nodes
        nursery.cancel_scope.cancel()


async def settle(nodes: list[NodeRig]) -> None:
    """Wait until all nodes have taken the announcements of all: Redis keeps their order with questions."""
    for node in nodes:
        await node.announced()
    for node in nodes:
        await node.census.list(1)


def closing_reason(connection: Connection) -> object:
    """Return the reason of its ``closing``; None while it is open."""
    closing: Control | None = connection.closing
    return None if closing is None else closing.data["reason"]
