"""The state that all parts of a run share: the server, the history so far, and the present round."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from tests.chaos.history import History, Life
from tests.chaos.proxy import Proxy
from tests.chaos.redis_side import RedisSide
from tests.chaos.server import Server
from tests.chaos.task_history import TaskHistory


class Gate:
    """Lets clients work, or makes them pause between two pieces of work."""

    def __init__(self) -> None:
        self._open = trio.Event()
        self._busy = 0
        self._idle = trio.Event()
        self._idle.set()

    def open(self) -> None:
        self._open.set()

    async def close(self) -> None:
        """Let no further work begin, and wait for the end of the present one."""
        self._open = trio.Event()
        await self._idle.wait()

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Wait until the gate is open, and count the block as one piece of work."""
        while not self._open.is_set():
            await self._open.wait()
        self._busy += 1
        self._idle = trio.Event()
        try:
            yield
        finally:
            self._busy -= 1
            if self._busy == 0:
                self._idle.set()


@attrs.define(eq=False)
class World:
    """A run.

    Attributes:
        seed: of all random choices.
        servers: the nodes; the first has the tasks.
        proxy: the clients connect to it, and get any node that is up.
        tasks_proxy: clients of tasks connect to it, and get the first node.
        server: the node of the present fault.
        redis: the servers of the log; None for a log that is not in Redis.
        history: the present part of the history.
        tasks: that were created in this part.
        gate: publishers and workers work while it is open.
        number_of_round: the present round.
        acknowledged: number of acknowledgements so far, for the nemesis to wait for.
        published: number of them that are events of publishers.
        refused: number of refusals so far.
        notes: unexpected answers, which are violations.
    """

    seed: int
    servers: Sequence[Server]
    proxy: Proxy
    tasks_proxy: Proxy
    history: History
    redis: RedisSide | None = None
    tasks: list[TaskHistory] = attrs.field(factory=list)
    gate: Final[Gate] = attrs.field(factory=Gate)
    number_of_round: int = 0
    acknowledged: int = 0
    published: int = 0
    refused: int = 0
    notes: list[str] = attrs.field(factory=list)
    server: Server = attrs.field(init=False)
    _stamp: int = 0
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self.server = self.servers[0]

    @property
    def proxies(self) -> tuple[Proxy, Proxy]:
        return self.proxy, self.tasks_proxy

    @property
    def lives(self) -> list[Life]:
        """The times at which the log may have lost events."""
        return self.redis.losses if self.redis is not None else self.servers[0].lives

    def rng(self, name: str) -> random.Random:
        """Return a source of random choices that depends on the seed and the name only."""
        return random.Random(f"{self.seed}:{name}")

    def stamp(self) -> int:
        """Return the next stamp."""
        self._stamp += 1
        return self._stamp

    def count_acknowledged(self) -> None:
        self.acknowledged += 1
        self.notify()

    def count_refused(self) -> None:
        self.refused += 1
        self.notify()

    def notify(self) -> None:
        """Let those who wait for a condition look again."""
        self._changed.set()
        self._changed = trio.Event()

    async def wait_for(self, acknowledged: int = 0, refused: int = 0) -> None:
        """Wait until so many further acknowledgements and refusals have come."""
        acknowledged += self.acknowledged
        refused += self.refused
        await self.until(lambda: self.acknowledged >= acknowledged and self.refused >= refused)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds; those who change it call :meth:`notify`."""
        while not holds():
            await self._changed.wait()

    async def until_up(self) -> None:
        """Wait until a node accepts connections."""
        await _any_up(self.servers)

    async def until_tasks_up(self) -> None:
        """Wait until the node with the tasks accepts connections."""
        await _any_up(self.servers[:1])


async def _any_up(servers: Sequence[Server]) -> None:
    while not any(server.up.is_set() for server in servers):
        async with trio.open_nursery() as nursery:
            for server in servers:
                nursery.start_soon(_wait_up, server, nursery.cancel_scope)


async def _wait_up(server: Server, scope: trio.CancelScope) -> None:
    await server.up.wait()
    scope.cancel()
