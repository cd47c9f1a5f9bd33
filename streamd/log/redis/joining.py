"""Joining the log: a node tells a server what it has seen, and learns what the log has lost."""

from collections.abc import Sequence
from typing import Final

import attrs
import trio

from ...events import EventId
from ...redis.checks import check_server
from ...redis.link import Disconnected, RedisLink
from ..boundaries import Boundaries
from . import scripts
from .codec import from_redis, to_redis
from .dropped import DroppedEvents, parse_boundaries

_WITNESS_SECONDS: Final = 1.0  # a server that was restarted waits so long for the nodes that it knows
_AGAIN_SECONDS: Final = 0.02


@attrs.frozen
class Joined:
    """The state of the log, as a server told it to a node that joined.

    Args:
        server: names the server since its start, or since it became the primary.
        head: the newest position.
        boundaries: of the log.
        dropped: the events that were dropped.
    """

    server: bytes
    head: EventId
    boundaries: Boundaries
    dropped: DroppedEvents


async def join(link: RedisLink, prefix: str, node: str, server: bytes, seen: EventId, now: str) -> Joined:
    """Join the log, and wait until the other nodes have done so, if the server is another than before.

    Args:
        link: to the server.
        prefix: of the log's keys.
        node: its name.
        server: that it joined last; empty for none.
        seen: its last position.
        now: time for ids, '' for the server's (ms).

    Raises:
        Disconnected, RedisError: see :meth:`.RedisLink.call`.
    """
    while True:
        ready, joined, head, boundaries, dropped = await scripts.JOIN.run(
            link, prefix, node, server, to_redis(seen), now, round(_WITNESS_SECONDS * 1000)
        )
        if ready:
            known = DroppedEvents()
            await known.update(dropped)
            return Joined(joined, from_redis(head), parse_boundaries(boundaries), known)
        await trio.sleep(_AGAIN_SECONDS)


async def keep_links(links: Sequence[RedisLink], scope: trio.CancelScope) -> None:
    """Run links until a scope is cancelled."""
    with scope:
        async with trio.open_nursery() as nursery:
            for link in links:
                nursery.start_soon(link.run)


async def reach_server(links: Sequence[RedisLink], setting: str) -> None:
    """Wait until all links are connected, and check the server.

    Raises:
        ConfigError: the server cannot be used.
    """
    while True:
        for link in links:
            await link.connected.wait()
        try:
            await check_server(links[0], setting)
            return
        except Disconnected:  # it went away in between
            await trio.sleep(_AGAIN_SECONDS)
