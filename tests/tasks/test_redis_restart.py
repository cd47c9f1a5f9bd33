"""Tasks over a crash of the Redis server: nothing is lost or made twice, and the node goes on by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from streamd.errors import OutcomeUnknown, Unavailable
from streamd.tasks import Kind, Progress, Status, Task
from tests.support.redis_servers import RedisServer, new_prefix
from tests.support.stream_follower import SourceFollower, begin, check_stream, update
from tests.support.task_rig import Rig, check_history, make_rig, running
from tests.support.task_stores import open_redis

TIMEOUT = 30  # of the whole task (s)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a server that keeps everything that it has acknowledged."""
    server = RedisServer(tmp_path, 0, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    yield server
    server.kill()


async def _is_stored(rig: Rig, task: Task, n: int) -> bool:
    """Report the ``n``-th update unless it is stored; return False if the server cannot be used."""
    try:
        if (await rig.store.get(task.id)).version == n + 2:
            await update(rig, task, n)
    except (Unavailable, OutcomeUnknown):
        return False
    return True


# A connection of coredis that was refused leaves its queues unclosed.
@pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")
async def test_a_task_goes_on_after_a_crash_of_the_server(server: RedisServer) -> None:
    async with (
        open_redis(new_prefix(), server.address) as store,
        running(make_rig(store=store)) as rig,
        trio.open_nursery() as nursery,
    ):
        task = await begin(rig)
        follower = SourceFollower(rig, "t")
        await nursery.start(follower.run)

        async def restart() -> None:
            await trio.to_thread.run_sync(server.kill)
            await trio.to_thread.run_sync(server.start)

        with trio.fail_after(TIMEOUT):
            async with trio.open_nursery() as restarts:
                for n in range(40):
                    if n in (10, 25):  # the next reports come before, during and after it
                        restarts.start_soon(restart)
                    while not await _is_stored(rig, task, n):  # noqa: ASYNC110 - no event announces it
                        await trio.sleep(0.02)
            await rig.tasks.complete("t", 1, lease=task.lease)
            ended = await rig.ended("t")
            while not follower.ended:
                await trio.lowlevel.checkpoint()
        assert (ended.status, ended.version) == (Status.COMPLETED, 43)
        check_history(await rig.published("t"), "t")
        check_stream(follower, 43, gaps=True)


@pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")
async def test_local_work_waits_for_a_server_that_restarts(server: RedisServer) -> None:
    reports = 40

    async def work(progress: Progress) -> int:
        for n in range(reports):
            if n in (10, 25):
                await trio.to_thread.run_sync(server.kill)
                nursery.start_soon(trio.to_thread.run_sync, server.start)
            await progress.update(message=str(n))
        return reports

    kind = Kind(name="local", work=work)
    async with (
        open_redis(new_prefix(), server.address) as store,
        trio.open_nursery() as nursery,
        running(make_rig(store=store, kinds=[kind])) as rig,
    ):
        await rig.tasks.create("local", id="t")
        with trio.fail_after(TIMEOUT):
            while not (ended := await _get(rig, "t")) or not ended.status.ended:  # noqa: ASYNC110
                await trio.sleep(0.05)
    assert (ended.status, ended.version) == (Status.COMPLETED, reports + 3)


async def _get(rig: Rig, id: str) -> Task | None:
    try:
        return await rig.store.get(id)
    except Unavailable:
        return None
