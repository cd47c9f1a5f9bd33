"""A link comes back by itself, and each command has a reply or fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from coredis.exceptions import RedisError, ResponseError

from streamd.redis import Disconnected, RedisLink
from streamd.redis.address import RedisAddress
from tests.support.fake_redis import CUT, OK, FakeRedis, fake_redis
from tests.support.redis_links import open_link
from tests.support.redis_servers import shared_server
from tests.support.waiting import until

REPLY_SECONDS = 0.3


@asynccontextmanager
async def running(link: RedisLink) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        yield
        nursery.cancel_scope.cancel()


async def connected(link: RedisLink) -> None:
    with trio.fail_after(20):
        await link.connected.wait()


def link_to(server: FakeRedis, **options: object) -> RedisLink:
    return RedisLink(server.address, "test", reply_seconds=REPLY_SECONDS, **options)  # type: ignore[arg-type]


async def test_a_command_without_a_connection_is_not_sent() -> None:
    link = RedisLink(shared_server().address, "test")
    with pytest.raises(Disconnected) as caught:
        await link.call(b"PING")
    assert not caught.value.sent


async def test_a_link_whose_connection_was_killed_comes_back() -> None:
    async with open_link() as link:
        before = link.connected
        shared_server().command("CLIENT", "KILL", "ID", str(await link.call(b"CLIENT", b"ID")))
        await until(lambda: link.connected is not before)
        await connected(link)
        assert await link.call(b"PING") == b"PONG"


async def test_an_error_of_a_command_leaves_the_connection() -> None:
    async with open_link() as link:
        before = link.connected
        with pytest.raises(ResponseError):
            await link.call(b"LPUSH")
        assert await link.call(b"PING") == b"PONG"
        assert link.connected is before


async def test_commands_are_run_in_the_order_of_their_start() -> None:
    async with open_link() as link:
        waits = [link.start(b"ECHO", str(number)) for number in range(100)]
        assert [await wait() for wait in waits] == [str(number).encode() for number in range(100)]


async def test_a_reply_that_does_not_come_ends_the_connection() -> None:
    async with fake_redis(lambda arguments: None if arguments[0] == b"GET" else OK) as server:
        link = link_to(server)
        async with running(link):
            await connected(link)
            with pytest.raises(Disconnected) as caught:
                await link.call(b"GET", b"key")
            assert caught.value.sent
            await until(lambda: server.connections == 2)
            await connected(link)
            assert await link.call(b"SET", b"key", b"") == b"OK"


async def test_a_server_that_never_greets_is_given_up_and_tried_again() -> None:
    async with fake_redis() as server:
        server.greets = False
        link = link_to(server)
        async with running(link):
            await until(lambda: server.connections == 2)
            server.greets = True
            await connected(link)


@pytest.mark.parametrize("part", [CUT, b"$100\r\nbegin"])
async def test_a_connection_that_ends_within_a_reply_fails_the_command(part: bytes) -> None:
    async with fake_redis() as server:
        link = link_to(server)
        async with running(link):
            await connected(link)
            server.replies = lambda arguments: part
            with pytest.raises(Disconnected) as caught:
                await link.call(b"GET", b"key")
            assert caught.value.sent
            server.replies = lambda arguments: OK
            await connected(link)


@pytest.mark.parametrize("error", [Disconnected(sent=True), RedisError("no")])
async def test_a_greeting_that_fails_is_tried_again(error: Exception) -> None:
    errors = [error]

    async def greet(link: RedisLink) -> None:
        assert await link.call(b"SET", b"key", b"") == b"OK"
        if errors:
            raise errors.pop()

    async with fake_redis() as server:
        link = link_to(server, greet=greet)
        async with running(link):
            await connected(link)
            assert server.connections == 2


async def test_nobody_else_uses_a_connection_before_its_greeting_has_ended() -> None:
    greeting, greeted = trio.Event(), trio.Event()

    async def greet(link: RedisLink) -> None:
        greeting.set()
        await greeted.wait()

    async with fake_redis() as server:
        link = link_to(server, greet=greet)
        async with running(link):
            await greeting.wait()
            with pytest.raises(Disconnected) as caught:
                await link.call(b"GET", b"key")
            assert not caught.value.sent
            greeted.set()
            await connected(link)
            assert await link.call(b"SET", b"key", b"") == b"OK"


async def test_a_cancelled_call_leaves_the_connection_usable() -> None:
    async with open_link() as link:
        before = link.connected
        with trio.move_on_after(0.05) as scope:
            await link.call(b"BLPOP", b"nothing", 1, blocks_seconds=1)
        assert scope.cancelled_caught
        assert await link.call(b"PING") == b"PONG"
        assert link.connected is before


async def test_a_link_to_nothing_ends_when_it_is_cancelled() -> None:
    link = RedisLink(RedisAddress(path="/nowhere/redis.sock"), "test")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
