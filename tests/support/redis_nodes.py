"""Nodes of a log in Redis, on a server of a test's own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from streamd.log.redis import RedisLog
from streamd.log.settings import LogSettings
from streamd.redis.address import RedisAddress
from tests.support.redis_servers import RedisServer
from tests.support.waiting import until

SAFE = ("--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes")


@contextmanager
def own_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run a server while the block lasts; by default each write is on disk before its reply."""
    server = RedisServer(folder, 0, *(options or SAFE))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@asynccontextmanager
async def nodes(address: RedisAddress, count: int = 1) -> AsyncIterator[list[RedisLog]]:
    """Run the logs of some nodes while the block lasts."""
    logs = [RedisLog(address, LogSettings()) for _ in range(count)]
    async with trio.open_nursery() as nursery:
        for log in logs:
            await nursery.start(log.serve)
            await log.open()
        yield logs
        nursery.cancel_scope.cancel()


async def until_connected(*logs: RedisLog) -> None:
    """Wait until all nodes can append, read and follow."""
    await until(lambda: all(log.is_connected for log in logs))


async def until_seen(log: RedisLog, position: str) -> None:
    """Wait until the tail of a node has come to a position."""
    await until(lambda: log.head >= position)
