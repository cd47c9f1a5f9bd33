"""Tasks over a loss of Redis' last writes: an end that is lost was none, on the nodes that saw it too."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from streamd.log.redis import RedisLog
from streamd.tasks import Status
from tests.support.redis_nodes import own_server, until_connected
from tests.support.redis_servers import RedisServer, new_prefix
from tests.support.stream_follower import SourceFollower, begin, check_stream, update
from tests.support.task_replica import ENDS
from tests.support.task_rig import Rig, make_rig, running
from tests.support.task_stores import open_redis
from tests.support.waiting import until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with own_server(tmp_path) as server:
        yield server


async def lose_end(rig: Rig, server: RedisServer) -> None:
    """Complete the task ``t``, and let the server lose that."""
    assert isinstance(rig.log, RedisLog)
    size = server.written_bytes()
    await rig.tasks.complete("t", "lost")
    await rig.ended("t")
    server.kill()
    await until(lambda: not rig.log.is_connected)  # type: ignore[attr-defined]
    server.lose_after(size)
    server.start()
    await until_connected(rig.log)


def results(follower: SourceFollower) -> list[object]:
    """Return the results in the ends that a client has received."""
    return [message.data["result"] for message in follower.messages if message.type in ENDS]


async def test_a_client_that_comes_after_the_loss_follows_to_the_end(server: RedisServer) -> None:
    async with (
        open_redis(new_prefix(), server.address) as store,
        running(make_rig(store=store)) as rig,
        trio.open_nursery() as nursery,
    ):
        task = await begin(rig)
        await lose_end(rig, server)
        follower = SourceFollower(rig, "t")
        await nursery.start(follower.run)
        await update(rig, task, 0)
        await rig.tasks.complete("t", "kept")
        await until(lambda: follower.ended)
        assert sorted(set(follower.versions)) == [2, 3, 4]
        assert results(follower) == ["kept"]


async def test_a_client_that_has_not_read_the_lost_end_follows_to_the_next(server: RedisServer) -> None:
    async with (
        open_redis(new_prefix(), server.address) as store,
        running(make_rig(store=store)) as rig,
        trio.open_nursery() as nursery,
    ):
        task = await begin(rig)
        follower = SourceFollower(rig, "t", capacity=1)
        await nursery.start(follower.run)
        await until(lambda: follower.versions == [2])
        follower.may_read = trio.Event()
        for n in range(5):  # more than the client's queue takes
            await update(rig, task, n)
        await lose_end(rig, server)
        follower.may_read.set()
        await update(rig, task, 5)
        await rig.tasks.complete("t", "kept")
        await until(lambda: follower.ended)
        assert results(follower) == ["kept"]
        check_stream(follower, 9, gaps=True)
        assert (await rig.tasks.get("t")).status == Status.COMPLETED
