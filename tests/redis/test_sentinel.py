"""A link by way of sentinels: to the primary that they name, also while the one before still answers."""

from contextlib import AsyncExitStack

import pytest
import trio

from streamd.redis import RedisLink
from streamd.redis.address import RedisAddress
from tests.support.fake_redis import FakeRedis, Replies, bulk, fake_redis
from tests.support.redis_servers import HOST, free_port
from tests.support.waiting import until

PRIMARY = b"*1\r\n" + bulk("master")
REPLICA = b"*1\r\n" + bulk("slave")
UNKNOWN = b"_\r\n"


def server_of(name: str, role: bytes = PRIMARY) -> Replies:
    return lambda arguments: role if arguments[0] == b"ROLE" else bulk(name)


def naming(server: FakeRedis) -> Replies:
    reply = b"*2\r\n" + bulk(HOST) + bulk(str(server.port))
    return lambda arguments: reply


async def link_to(stack: AsyncExitStack, *sentinels: int) -> RedisLink:
    hosts = [(HOST, port) for port in sentinels]
    link = RedisLink(RedisAddress(hosts=hosts, service="main"), "test")
    nursery = await stack.enter_async_context(trio.open_nursery())
    stack.callback(nursery.cancel_scope.cancel)
    nursery.start_soon(link.run)
    return link


async def name_of_server(link: RedisLink) -> bytes:
    with trio.fail_after(20):
        await link.connected.wait()
        name: bytes = await link.call(b"GET", b"name")
    return name


async def test_a_sentinel_that_cannot_be_reached_or_does_not_know_is_passed_over() -> None:
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(fake_redis(server_of("one")))
        ignorant = await stack.enter_async_context(fake_redis(lambda arguments: UNKNOWN))
        sentinel = await stack.enter_async_context(fake_redis(naming(primary)))
        link = await link_to(stack, free_port(), ignorant.port, sentinel.port)
        assert await name_of_server(link) == b"one"


async def test_a_server_that_is_no_primary_yet_is_asked_again() -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(fake_redis(server_of("one", REPLICA)))
        sentinel = await stack.enter_async_context(fake_redis(naming(server)))
        link = await link_to(stack, sentinel.port)
        await until(lambda: server.connections == 2)
        assert not link.connected.is_set()
        server.replies = server_of("one")
        assert await name_of_server(link) == b"one"


async def test_a_link_leaves_a_primary_that_was_replaced_and_still_answers() -> None:
    async with AsyncExitStack() as stack:
        former = await stack.enter_async_context(fake_redis(server_of("one")))
        promoted = await stack.enter_async_context(fake_redis(server_of("two")))
        sentinel = await stack.enter_async_context(fake_redis(naming(former)))
        link = await link_to(stack, sentinel.port)
        assert await name_of_server(link) == b"one"
        connected = link.connected
        sentinel.replies = naming(promoted)
        await until(lambda: link.connected is not connected)
        assert await name_of_server(link) == b"two"


async def test_a_link_stays_while_no_sentinel_names_another_primary() -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(fake_redis(server_of("one")))
        sentinel = await stack.enter_async_context(fake_redis(naming(server)))
        link = await link_to(stack, sentinel.port)
        assert await name_of_server(link) == b"one"
        connected, asked = link.connected, sentinel.connections
        sentinel.replies = lambda arguments: UNKNOWN
        await until(lambda: sentinel.connections >= asked + 3)
        assert link.connected is connected
        assert await link.call(b"PING") == b"one"


async def test_a_question_that_is_cut_off_leaves_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(fake_redis(server_of("one")))
        sentinel = await stack.enter_async_context(fake_redis(naming(server)))
        link = await link_to(stack, sentinel.port)
        assert await name_of_server(link) == b"one"
        asked = sentinel.connections
        sentinel.greets = False
        await until(lambda: sentinel.connections > asked)
        connected = link.connected
        link.close()
        await until(lambda: link.connected is not connected)
        sentinel.greets = True
        assert await name_of_server(link) == b"one"
    assert [record for record in caplog.records if record.exc_info] == []
