"""A lease is held by one node at a time, and its loss ends the work."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from streamd.redis import NodeLease, RedisLink
from tests.support.redis_links import open_link
from tests.support.redis_servers import new_prefix


@pytest.fixture
async def link() -> AsyncIterator[RedisLink]:
    async with open_link() as link:
        yield link


async def test_one_node_has_a_lease_until_it_gives_it_back(link: RedisLink) -> None:
    key = new_prefix()
    one, other = NodeLease(link, key), NodeLease(link, key)
    assert [await one.take(), await other.take(), await one.take()] == [True, False, True]
    await other.release()
    assert not await other.take()
    await one.release()
    assert await other.take()
    assert not await one.take()


class Worker:
    """A work that records when it runs."""

    def __init__(self, lease: NodeLease) -> None:
        self.lease = lease
        self.begins = 0
        self.began = trio.Event()
        self.ended = trio.Event()

    async def work(self) -> None:
        self.begins += 1
        self.began.set()
        try:
            await trio.sleep_forever()
        finally:
            self.ended.set()

    async def hold(self) -> None:
        await self.lease.hold(self.work)


async def test_the_work_moves_to_another_node_when_its_holder_ends(
    link: RedisLink, mock_clock: trio.testing.MockClock
) -> None:
    key = new_prefix()
    one, other = Worker(NodeLease(link, key)), Worker(NodeLease(link, key))
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as first:
                first.start_soon(one.hold)
                await one.began.wait()
                nursery.start_soon(other.hold)
                await trio.testing.wait_all_tasks_blocked(0.05)
                assert not other.begins
                scope.cancel()
        assert one.ended.is_set()
        while not other.begins:
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()


async def test_a_lost_lease_ends_the_work(link: RedisLink, mock_clock: trio.testing.MockClock) -> None:
    key = new_prefix()
    worker = Worker(NodeLease(link, key))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.hold)
        await worker.began.wait()
        await link.call(b"SET", key, b"another")
        while not worker.ended.is_set():
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert await link.call(b"GET", key) == b"another"
        nursery.cancel_scope.cancel()


async def test_the_work_ends_with_the_last_renewal_if_the_server_cannot_be_reached(
    link: RedisLink, mock_clock: trio.testing.MockClock
) -> None:
    worker = Worker(NodeLease(link, new_prefix(), seconds=9))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.hold)
        await worker.began.wait()
        link._connection = None
        mock_clock.jump(8)
        await trio.testing.wait_all_tasks_blocked()
        assert not worker.ended.is_set()
        mock_clock.jump(2)
        await worker.ended.wait()
        nursery.cancel_scope.cancel()
