"""The nemesis's faults of Redis. Each leaves servers that work."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from tests.chaos.faults import FAULTS, Fault, some_work, while_refused
from tests.chaos.redis_side import RedisSide, pick
from tests.chaos.world import World

_MAX_AWAY_SECONDS: Final = 0.6
_MAX_STOP_SECONDS: Final = 1.0
_MAX_SLOW_SECONDS: Final = 0.3
_MAX_LOST_ACKS: Final = 25


def _redis(world: World) -> RedisSide:
    assert world.redis is not None
    return world.redis


def _needs_one_server(world: World) -> str | None:
    return "the log fails over" if _redis(world).sentinels is not None else None


def _needs_no_loss(world: World) -> str | None:
    """Refuse to kill a server that loses events together with the only node that knows them."""
    return _needs_one_server(world) if _redis(world).keeps_all else "nobody would know of a loss"


def _needs_loss(world: World) -> str | None:
    return "the log keeps everything" if _redis(world).keeps_all else _needs_one_server(world)


def _needs_sentinels(world: World) -> str | None:
    return None if _redis(world).sentinels is not None else "the log has no sentinels"


async def _kill(world: World, rng: random.Random) -> None:
    await some_work(world, rng)
    async with _killed(world):
        await trio.sleep(pick(rng, _MAX_AWAY_SECONDS))
        await _redis(world).start()


async def _terminate(world: World, rng: random.Random) -> None:
    await some_work(world, rng)
    await _redis(world).terminate()
    await trio.sleep(pick(rng, _MAX_AWAY_SECONDS))
    await _redis(world).start()


async def _kill_with_node(world: World, rng: random.Random) -> None:
    """Kill the server and a node; the node starts first, at times."""
    await some_work(world, rng)
    async with _killed(world), trio.open_nursery() as nursery:
        await world.server.end()
        nursery.start_soon(world.server.start)
        await trio.sleep(pick(rng, _MAX_AWAY_SECONDS))
        await _redis(world).start()


async def _stop(world: World, rng: random.Random) -> None:
    """Stop the server for a while; at times a node is killed meanwhile."""
    await some_work(world, rng)
    kills = rng.random() < 0.3
    # A primary that is stopped for longer would be replaced, and go on beside the new one.
    longest = _MAX_STOP_SECONDS if _redis(world).sentinels is None else _MAX_SLOW_SECONDS
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_redis(world).stop, pick(rng, longest))
        if kills:
            await world.server.end()
            nursery.start_soon(world.server.start)


async def _cut(world: World, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 5)):
        await world.wait_for(acknowledged=rng.randint(1, 10))
        await _redis(world).command("CLIENT", "KILL", "TYPE", "normal")


async def _slow(world: World, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 3)):
        await world.wait_for(acknowledged=rng.randint(1, 10))
        await _redis(world).command("DEBUG", "SLEEP", f"{pick(rng, _MAX_SLOW_SECONDS):.3f}")


async def _fill_memory(world: World, rng: random.Random) -> None:
    """Let the memory be full until some requests were refused; at times connections are cut then."""
    await some_work(world, rng)
    redis = _redis(world)
    await redis.command("CONFIG", "SET", "maxmemory", "1")
    await while_refused(world, rng)
    match rng.randrange(4):
        case 0:
            await redis.command("CLIENT", "KILL", "TYPE", "normal")
            await while_refused(world, rng)
        case 1:
            await world.server.end()
            await world.server.start()
        case _:
            pass
    await redis.command("CONFIG", "SET", "maxmemory", "0")


async def _flush_scripts(world: World, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 5)):
        await world.wait_for(acknowledged=rng.randint(1, 10))
        await _redis(world).command("SCRIPT", "FLUSH")


async def _lose(world: World, rng: random.Random) -> None:
    """Kill the server so that its last writes are lost, acknowledged ones among them."""
    await some_work(world, rng)
    redis = _redis(world)
    size = redis.server.written_bytes()
    await world.wait_for(acknowledged=rng.randint(1, _MAX_LOST_ACKS))
    async with _killed(world):
        redis.server.lose_after(size)
        await trio.sleep(pick(rng, _MAX_AWAY_SECONDS))
        await redis.start()


async def _fail_over(world: World, rng: random.Random) -> None:
    """Kill the primary; at times its replica lags, so that acknowledged events are lost."""
    redis = _redis(world)
    rig = redis.sentinels
    assert rig is not None
    await some_work(world, rng)
    if rng.random() < 0.6:
        await trio.to_thread.run_sync(rig.stop_replica)
        await world.wait_for(acknowledged=rng.randint(1, _MAX_LOST_ACKS))
    async with _killed(world):
        await trio.to_thread.run_sync(rig.continue_replica)
        await trio.to_thread.run_sync(rig.wait_for_promotion)
    await trio.to_thread.run_sync(rig.restart_replica)


@asynccontextmanager
async def _killed(world: World) -> AsyncIterator[None]:
    """Kill the primary; at the end of the block, which starts one, wait until the log is in use again."""
    redis = _redis(world)
    redis.kill()
    if not redis.keeps_all:  # appendfsync everysec delays writes while the disk is busy
        redis.begin_loss()
    yield
    if not redis.keeps_all:
        published = world.published  # tasks are acknowledged without the log
        await world.until(lambda: world.published > published)
        redis.end_loss()


_WEIGHTS: Final = {"kill": 14, "terminate": 3, "stop": 6, "cut": 8}

REDIS_FAULTS: Final = (
    *(fault.with_weight(_WEIGHTS[fault.name]) for fault in FAULTS if fault.name in _WEIGHTS),
    Fault("redis-kill", _kill, 14, _needs_one_server),
    Fault("redis-terminate", _terminate, 4, _needs_one_server),
    Fault("redis-and-node", _kill_with_node, 6, _needs_no_loss, kills=1),
    Fault("redis-stop", _stop, 8),
    Fault("redis-cut", _cut, 10),
    Fault("redis-slow", _slow, 6),
    Fault("redis-memory", _fill_memory, 8),
    Fault("redis-scripts", _flush_scripts, 5),
    Fault("redis-lose", _lose, 25, _needs_loss),
    Fault("redis-failover", _fail_over, 60, _needs_sentinels),
)
"""The faults of a log in Redis, with those of its nodes."""
