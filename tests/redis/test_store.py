"""Changes of a store in Redis are made once; errors say whether one may have been made."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing
from coredis.exceptions import RedisError

from streamd.errors import OutcomeUnknown, Unavailable
from streamd.redis import ChangeScript, NodeLease, ReadScript, RedisLink, RedisStore
from tests.support.redis_links import LossyLink, open_link
from tests.support.redis_servers import RedisServer, new_prefix, shared_server

COUNT = ChangeScript("return redis.call('INCRBY', KEYS[1] .. ':n', ARGV[1])")
NOTHING = ChangeScript("return false")
FREE = ChangeScript("return redis.call('DEL', KEYS[1] .. ':n')", frees=True)
LOOK = ReadScript("return redis.call('GET', KEYS[1] .. ':n')")
WRONG = ChangeScript("return redis.call('LPUSH', KEYS[1] .. ':n', ARGV[1])")


@pytest.fixture
async def lossy() -> AsyncIterator[LossyLink]:
    link = LossyLink()
    async with open_link(link):
        yield link


async def test_a_change_with_a_lost_reply_is_made_once(lossy: LossyLink) -> None:
    store = RedisStore(lossy, new_prefix())
    assert await store.change(COUNT, 3) == 3
    lossy.losses = 1
    assert await store.change(COUNT, 1) == 4
    lossy.losses = 2
    assert await store.change(COUNT, 1) == 5
    assert lossy.lost == 3
    assert await store.read(LOOK) == b"5"


async def test_an_empty_reply_is_remembered_too(lossy: LossyLink) -> None:
    store = RedisStore(lossy, new_prefix())
    assert await store.change(NOTHING) is None
    lossy.losses = 1
    assert await store.change(NOTHING) is None


async def test_without_a_server_nothing_is_changed() -> None:
    store = RedisStore(RedisLink(shared_server().address, "test"), new_prefix(), "the shelf")
    for way in (store.change(COUNT, 1), store.read(LOOK)):
        with pytest.raises(Unavailable, match="the shelf is not reachable") as caught:
            await way
        assert caught.value.retry_after_seconds == 1


class Vanishing(LossyLink):
    """A link that does not come back."""

    def close(self) -> None:
        self.connected = trio.Event()
        self._connection = None


async def test_a_change_whose_reply_stays_lost_has_an_unknown_outcome(
    mock_clock: trio.testing.MockClock,
) -> None:
    link = Vanishing()
    store = RedisStore(link, new_prefix())
    async with open_link(link), trio.open_nursery() as nursery:
        await store.change(COUNT, 1)
        link.losses = 1

        async def change() -> None:
            with pytest.raises(OutcomeUnknown):
                await store.change(COUNT, 1)

        nursery.start_soon(change)
        while not link.lost:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(11)


async def test_a_refused_command_is_unavailable(lossy: LossyLink) -> None:
    store = RedisStore(lossy, new_prefix())
    await store.change(COUNT, 1)
    with pytest.raises(Unavailable, match="the store failed") as caught:
        await store.change(WRONG, "x")
    assert isinstance(caught.value.__cause__, RedisError)


async def test_with_full_memory_only_reading_and_freeing_go_on(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        link = RedisLink(server.address, "test", reply_seconds=math.inf)
        async with open_link(link):
            store, lease = RedisStore(link, new_prefix()), NodeLease(link, new_prefix())
            await store.change(COUNT, 1)
            server.command("config", "set", "maxmemory", "1")
            with pytest.raises(Unavailable, match="the store has no memory left") as caught:
                await store.change(COUNT, 1)
            assert caught.value.retry_after_seconds == 5
            assert await store.read(LOOK) == b"1"
            assert await store.change(FREE) == 1
            assert await lease.take()
            await lease.release()
    finally:
        server.kill()


async def test_a_cancelled_change_is_not_sent(lossy: LossyLink) -> None:
    store = RedisStore(lossy, new_prefix())
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.change(COUNT, 1)
    assert await store.read(LOOK) is None
