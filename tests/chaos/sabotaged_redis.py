"""Logs in Redis that break their promises in what only they do; see :mod:`tests.chaos.sabotaged`."""

import random
import uuid
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

import attrs

from streamd.events import EARLIEST
from streamd.log.boundaries import Boundaries
from streamd.log.redis import RedisLog
from streamd.log.redis.appending import PendingScript
from streamd.log.redis.codec import from_redis
from streamd.log.redis.joining import Joined, join
from streamd.redis import RedisLink

_log_module: Any = import_module("streamd.log.redis.log")


def _forget_results(log: RedisLog, rate: int) -> RedisLog:
    """Send appends again without a way to know that they were made."""
    queue: Any = log._changes
    attempt = queue._try

    async def try_again(group: Sequence[Any], first: int) -> None:
        if random.randrange(rate) == 0:
            lost = [
                PendingScript(pending.script, pending.arguments) for pending in group
            ]  # as if no reply had come
            for pending, copy in zip(group, lost, strict=True):
                copy.number = pending.number
            await attempt(lost, first)
            queue._node = uuid.uuid4().hex
        await attempt(group, first)

    queue._try = try_again
    return log


def _hide_seen(log: RedisLog, rate: int) -> RedisLog:
    """Do not tell the server what this node has seen."""

    async def join_blindly(
        link: RedisLink, prefix: str, node: str, server: bytes, seen: str, now: str
    ) -> Joined:
        return await join(link, prefix, node, server, EARLIEST, now)

    _log_module.join = join_blindly
    return log


def _skip_missed(log: RedisLog, rate: int) -> RedisLog:
    """Leave out the events that came while there was no connection."""
    sabotaged: Any = log
    greet = sabotaged._join

    async def join_at_head(link: RedisLink) -> None:
        await greet(link)
        if link is sabotaged._tail_link:
            [_, head] = await link.call(b"HMGET", f"{log.prefix}:meta", b"server", b"head")
            sabotaged._reach(from_redis(head))

    sabotaged._tail_link._greet = join_at_head
    return log


def _claim_losses(log: RedisLog, rate: int) -> RedisLog:
    """Report a gap at each restart of the server."""

    async def join_lossy(
        link: RedisLink, prefix: str, node: str, server: bytes, seen: str, now: str
    ) -> Joined:
        joined = await join(link, prefix, node, server, EARLIEST, now)
        known = joined.boundaries._boundaries
        return attrs.evolve(
            joined, boundaries=Boundaries(attrs.evolve(each, lost=each.start) for each in known)
        )

    _log_module.join = join_lossy
    return log


FAULTY_REDIS: Final[dict[str, Callable[[Any, int], Any]]] = {
    "redis-no-results": _forget_results,
    "redis-no-witness": _hide_seen,
    "redis-skip-tail": _skip_missed,
    "redis-always-lost": _claim_losses,
}
"""The faults by name."""
