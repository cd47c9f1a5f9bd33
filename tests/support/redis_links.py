"""Links to the tests' Redis server, and ways to lose a reply."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from streamd.redis import Disconnected, RedisLink
from streamd.redis.link import Argument
from tests.support.redis_servers import shared_server


@asynccontextmanager
async def open_link(link: RedisLink | None = None) -> AsyncIterator[RedisLink]:
    """Run a link to the shared server while the block lasts; replies may take any time."""
    link = link or RedisLink(shared_server().address, "test", reply_seconds=math.inf)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await link.connected.wait()
        yield link
        nursery.cancel_scope.cancel()


class CountingLink(RedisLink):
    """A link that counts the replies it waits for, so that a test moves its clock only without one.

    Attributes:
        waiting: number of commands without their reply.
    """

    def __init__(self) -> None:
        super().__init__(shared_server().address, "counting", reply_seconds=math.inf)
        self.waiting = 0

    def start(
        self, command: bytes, *arguments: Argument, blocks_seconds: float = 0.0
    ) -> Callable[[], Awaitable[Any]]:
        wait = super().start(command, *arguments, blocks_seconds=blocks_seconds)
        self.waiting += 1

        async def count() -> Any:
            try:
                return await wait()
            finally:
                self.waiting -= 1

        return count


class LossyLink(RedisLink):
    """A link that loses its connection after the server has run a command, before the reply is taken.

    Attributes:
        losses: number of replies of scripts that are still to be lost.
        lost: number of replies that were lost.
    """

    def __init__(self) -> None:
        super().__init__(shared_server().address, "lossy", reply_seconds=math.inf)
        self.losses = 0
        self.lost = 0

    def start(
        self, command: bytes, *arguments: Argument, blocks_seconds: float = 0.0
    ) -> Callable[[], Awaitable[Any]]:
        wait = super().start(command, *arguments, blocks_seconds=blocks_seconds)
        if not self.losses or not command.startswith(b"EVAL"):
            return wait

        async def lose() -> Any:
            await wait()  # the server knows the script, and has run it
            self.losses -= 1
            self.lost += 1
            self.close()
            raise Disconnected(sent=True)

        return lose
