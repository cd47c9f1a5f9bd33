"""The nemesis's faults. Each begins and ends within one round, and leaves a server that works."""

import os
import random
import resource
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from tests.chaos.world import World

_MAX_ACKS: Final = 60  # acknowledgements before a fault: about a quarter of a second
_MAX_START_SECONDS: Final = 0.25  # within which a server is killed while it starts
_MAX_STOP_SECONDS: Final = 0.3
_FULL_SECONDS: Final = 0.4  # a disk is full at most so long: publishers may have nothing to write
_MAX_CLOCK_MS: Final = 3_600_000
_VOLATILE_CLOCK_STEP_MS: Final = 5_000
_MAX_LAST_BYTES: Final = 40_000  # that fit on a disk which is almost full
_MAX_CUT_BYTES: Final = 30_000

Unavailable = Callable[[World], str | None]


def _always(world: World) -> str | None:
    return None


def _needs_preload(world: World) -> str | None:
    return None if world.server.preload is not None else "there is no gcc to compile the library"


def _needs_prlimit(world: World) -> str | None:
    if not hasattr(resource, "prlimit"):
        return "this system has no prlimit"
    try:
        resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE)
    except PermissionError as error:
        return f"prlimit is not permitted: {error}"
    return None


@attrs.frozen
class Fault:
    """One kind of fault.

    Args:
        name: for the report, and for ``--only``.
        inject: lets it happen, in the middle of the clients' work.
        weight: its share among the faults.
        unavailable: returns the reason for which it is impossible here, if it is.
        kills: number of processes that it kills at least.
    """

    name: str
    inject: Callable[[World, random.Random], Awaitable[None]]
    weight: int
    unavailable: Unavailable = _always
    kills: int = 0

    def with_weight(self, weight: int) -> "Fault":
        """Return the same fault with another share."""
        return attrs.evolve(self, weight=weight)


async def some_work(world: World, rng: random.Random) -> None:
    """Let the clients work for a while."""
    await world.wait_for(acknowledged=rng.randint(1, _MAX_ACKS))


async def _kill(world: World, rng: random.Random) -> None:
    await some_work(world, rng)
    await world.server.end()
    if rng.random() < 0.15:
        await world.server.begin()
        await trio.sleep(rng.uniform(0, _MAX_START_SECONDS))
        await world.server.end()
    await world.server.start()


async def _terminate(world: World, rng: random.Random) -> None:
    await some_work(world, rng)
    await world.server.end(signal.SIGTERM)
    await world.server.start()


async def _stop(world: World, rng: random.Random) -> None:
    """Stop the process for a while; at times it is killed before it goes on."""
    await some_work(world, rng)
    os.kill(world.server.pid, signal.SIGSTOP)
    await trio.sleep(rng.uniform(0, _MAX_STOP_SECONDS))
    if rng.random() < 0.3:
        await world.server.end()
        await world.server.start()
    else:
        os.kill(world.server.pid, signal.SIGCONT)


async def _cut(world: World, rng: random.Random) -> None:
    """Cut connections several times: at once, within an answer, or after nothing passed for a while."""
    for _ in range(rng.randint(1, 5)):
        await world.wait_for(acknowledged=rng.randint(1, 15))
        share = rng.choice((0.3, 0.7, 1.0))
        match rng.randrange(3):
            case 0:
                for proxy in world.proxies:
                    proxy.cut(rng, share)
            case 1:
                for proxy in world.proxies:
                    proxy.cut_later(rng, share, _MAX_CUT_BYTES)
            case _:
                for proxy in world.proxies:
                    proxy.hold()
                await trio.sleep(rng.uniform(0, _MAX_STOP_SECONDS))
                for proxy in world.proxies:
                    proxy.cut(rng, share)
                    proxy.release()


async def _fill_disk(world: World, rng: random.Random) -> None:
    """Let the disk be full until some requests were refused; at times the process dies then."""
    preload = world.server.preload
    assert preload is not None
    await some_work(world, rng)
    preload.fill_disk(rng.randint(0, _MAX_LAST_BYTES))
    await while_refused(world, rng)
    if rng.random() < 0.5:
        await world.server.end()
        preload.give_room()
        await world.server.start()
    preload.give_room()


async def _limit_files(world: World, rng: random.Random) -> None:
    """Limit the size of files, so that none can grow (EFBIG), until some requests were refused."""
    await some_work(world, rng)
    largest = rng.randint(0, _MAX_LAST_BYTES)
    _, hard = resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (largest, hard))
    await while_refused(world, rng)
    if rng.random() < 0.5:
        await world.server.end()
        await world.server.start()
    else:
        resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (hard, hard))


async def while_refused(world: World, rng: random.Random) -> None:
    """Wait until some requests were refused, or there is nothing to write."""
    with trio.move_on_after(_FULL_SECONDS):
        await world.wait_for(refused=rng.randint(1, 10))


async def _set_clock(world: World, rng: random.Random) -> None:
    """Set the wall clock, by up to an hour; forward only for a log that begins again with each process.

    The ids of such a log would overlap with those of the one before.
    """
    preload = world.server.preload
    assert preload is not None
    for _ in range(rng.randint(1, 3)):
        await world.wait_for(acknowledged=rng.randint(1, 20))
        if world.history.durable:
            preload.set_clock(rng.randint(-_MAX_CLOCK_MS, _MAX_CLOCK_MS))
        else:
            preload.set_clock(preload.offset_ms + rng.randint(0, _VOLATILE_CLOCK_STEP_MS))
    if rng.random() < 0.5:
        await world.server.end()
        await world.server.start()


FAULTS: Final = (
    Fault("kill", _kill, 60, kills=1),
    Fault("terminate", _terminate, 4),
    Fault("stop", _stop, 8),
    Fault("cut", _cut, 14),
    Fault("full-disk", _fill_disk, 7, _needs_preload),
    Fault("file-size", _limit_files, 3, _needs_prlimit),
    Fault("clock", _set_clock, 8, _needs_preload),
)
"""All faults."""
