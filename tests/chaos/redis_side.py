"""The Redis servers under the log: kill, stop and restart them, lose their last writes, fail over.

=====================  ==========================================================================
``redis:``             one server that syncs each write (``appendfsync always``): it loses nothing
``redis:everysec``     one server that may lose its last second, as in a power failure
``redis:sentinel``     a primary and a replica; a failover may lose what was not replicated
=====================  ==========================================================================
"""

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

from tests.chaos.history import Life
from tests.chaos.preload import wall_clock_ms
from tests.support.redis_sentinels import Sentinels
from tests.support.redis_servers import RedisServer

REDIS_LOGS: Final = ("redis:", "redis:everysec", "redis:sentinel")
_OPTIONS: Final = (
    "--appendonly",
    "yes",
    "--enable-debug-command",
    "yes",
    "--auto-aof-rewrite-percentage",
    "0",
)


class RedisSide:
    """The servers of a run. Make one with :func:`redis_side`.

    Attributes:
        server: the present primary.
        sentinels: of the primary and its replica; None without.
        losses: the times at which a server may have lost events; see :class:`tests.chaos.history.Life`.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        sync = "everysec" if kind == "redis:everysec" else "always"
        options = (*_OPTIONS, "--appendfsync", sync)
        self.keeps_all: Final = kind == "redis:"
        self.sentinels: Final = Sentinels(folder, *options) if kind == "redis:sentinel" else None
        self.losses: list[Life] = []
        self._single = RedisServer(folder, 0, *options)

    @property
    def server(self) -> RedisServer:
        return self.sentinels.primary if self.sentinels is not None else self._single

    @property
    def url(self) -> str:
        return self.sentinels.url if self.sentinels is not None else self._single.url

    def start_all(self) -> None:
        """Start all servers."""
        if self.sentinels is not None:
            self.sentinels.start()
        else:
            self._single.start()

    def stop_all(self) -> None:
        """End all servers."""
        if self.sentinels is not None:
            self.sentinels.stop()
        self._single.kill()

    async def command(self, *arguments: str) -> None:
        """Run a command on the primary."""
        await trio.to_thread.run_sync(self.server.command, *arguments)

    async def start(self) -> None:
        """Start the primary again."""
        await trio.to_thread.run_sync(self.server.start)

    def kill(self) -> None:
        """Kill the primary."""
        self.server.kill()

    async def terminate(self) -> None:
        """End the primary as an operator does."""
        await trio.to_thread.run_sync(self.server.terminate)

    async def stop(self, seconds: float) -> None:
        """Stop the primary for a while."""
        self.server.signal(signal.SIGSTOP)
        try:
            await trio.sleep(seconds)
        finally:
            self.server.signal(signal.SIGCONT)

    # --- losses -------------------------------------------------------------------------------

    def begin_loss(self) -> None:
        """Record that what was written until now may be lost."""
        self.losses.append(Life(wall_clock_ms(None), 1 << 60))

    def end_loss(self) -> None:
        """Record that the log is in use again."""
        self.losses[-1] = Life(self.losses[-1].earliest_ms, wall_clock_ms(None))


def pick(rng: random.Random, seconds: float) -> float:
    """Return a random time, often a short one (s)."""
    return seconds * rng.random() ** 2


@contextmanager
def redis_side(kind: str, folder: Path) -> Iterator[RedisSide | None]:
    """Run the servers of a log while the block lasts; yield None for a log that is not in Redis."""
    if kind not in REDIS_LOGS:
        yield None
        return
    side = RedisSide(kind, folder)
    try:
        side.start_all()
        yield side
    finally:
        side.stop_all()
