"""Revocations of nodes on one Redis: heard of by all, kept while Redis is away, stored again after a loss."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from streamd.auth import Caller, Revocations
from streamd.auth.revocation import Revocation, RevocationKind
from streamd.auth.revocation.redis import RedisRevocationStore
from streamd.errors import Unavailable
from streamd.redis import RedisLink, RedisStore
from tests.support.auth_clock import AuthClock, make_caller
from tests.support.redis_links import LossyLink, open_link
from tests.support.redis_servers import RedisServer, shared_server
from tests.support.revocation_stores import Place, open_redis_revocations, run_revocations, until_revoked
from tests.support.waiting import until

# coredis leaves the buffers of a connection open that is refused.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")

FAR = 30  # timeout of a test that waits for another node (s)
ANN, BOB = make_caller("ann", ""), make_caller("bob", "")
TOKEN = make_caller("", "token")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@asynccontextmanager
async def node(place: Place, link: RedisLink | None = None) -> AsyncIterator[Revocations]:
    """Run the revocations of a node; by default on the shared server."""
    async with (
        open_redis_revocations(place, link) as store,
        run_revocations(store, AuthClock()) as revocations,
    ):
        yield revocations


def link_to(server: RedisServer) -> RedisLink:
    return RedisLink(server.address, "test", reply_seconds=math.inf)


async def all_revoked(caller: Caller, *nodes: Revocations) -> None:
    with trio.fail_after(FAR):
        for each in nodes:
            await until_revoked(each, caller)


async def test_each_node_hears_of_the_others_and_a_new_one_knows_all(place: Place) -> None:
    async with node(place) as one, node(place) as other:
        await one.revoke_user("ann")
        await other.revoke_token("token")
        assert one.is_revoked(ANN)
        assert other.is_revoked(TOKEN)
        await all_revoked(ANN, other)
        await all_revoked(TOKEN, one)
        async with node(place) as third:
            assert third.is_revoked(ANN)
            assert third.is_revoked(TOKEN)
            assert third.list() == one.list() == other.list()
        assert not one.is_revoked(BOB)


async def test_readings_after_the_first_have_only_what_is_new(place: Place) -> None:
    added = [Revocation(RevocationKind.TOKEN, f"t{n}", n, 2_000_000_000_000) for n in range(1200)]
    async with open_redis_revocations(place) as one, open_redis_revocations(place) as other:
        assert (await one.read()).revocations == []
        await other.add(added, 0)
        reading = await one.read()
        assert (list(reading.revocations), reading.is_complete) == (added, False)
        await other.add(added, 0)  # nothing is new
        assert (await one.read()).revocations == []
        changed = Revocation(RevocationKind.TOKEN, "t7", 9, 2_000_000_000_000)
        await other.add([changed, added[8]], 0)
        assert (await one.read()).revocations == [changed]
        assert len((await other.read()).revocations) == 1200


async def test_a_reading_on_another_connection_is_complete(place: Place) -> None:
    async with open_link() as link:
        store = RedisRevocationStore(RedisStore(link, place.prefix))
        added = [Revocation(RevocationKind.USER, "ann", 1, 2_000_000_000_000)]
        await store.add(added, 0)
        assert (await store.read()).is_complete
        assert not (await store.read()).is_complete
        before = link.connected
        link.close()
        await until(lambda: link.connected is not before)
        await link.connected.wait()
        reading = await store.read()
        assert (reading.revocations, reading.is_complete) == (added, True)


async def test_a_reading_is_complete_again_after_a_minute(
    place: Place, mock_clock: trio.testing.MockClock
) -> None:
    mock_clock.rate = 1
    async with open_redis_revocations(place) as store:
        mock_clock.rate = 0
        complete = []
        for seconds in 0, 59, 2, 59, 2:
            mock_clock.jump(seconds)
            complete.append((await store.read()).is_complete)
        assert complete == [True, False, True, False, True]


async def test_a_node_with_more_changes_than_the_server_reads_all(place: Place) -> None:
    async with open_redis_revocations(place) as store, open_link() as link:
        for n in range(5):
            await store.add([Revocation(RevocationKind.USER, f"u{n}", 1, 2_000_000_000_000)], 0)
        await store.read()
        names = ("token", "user", "end", "order", "changes")
        await link.call(b"DEL", *(f"{place.prefix}:revoked:{name}" for name in names))
        async with open_redis_revocations(place) as other:
            await other.add([Revocation(RevocationKind.USER, "new", 1, 2_000_000_000_000)], 0)
        reading = await store.read()
        assert ([each.name for each in reading.revocations], reading.is_complete) == (["new"], True)


async def test_a_damaged_value_is_left_out_and_replaced(place: Place) -> None:
    async with open_redis_revocations(place) as store, open_link() as link:
        added = [Revocation(RevocationKind.USER, name, 1, 2_000_000_000_000) for name in ("a", "b")]
        await store.add(added, 0)
        await link.call(b"HSET", f"{place.prefix}:revoked:user", b"a", b"x")
        assert (await store.read()).revocations == added[1:]
        await store.add(added, 0)
        assert (await store.read()).revocations == added[:1]


async def test_a_revocation_whose_reply_is_lost_is_made_once(place: Place) -> None:
    link = LossyLink()
    async with node(place, link) as one, node(place) as other:
        link.losses = 1
        await one.revoke_user("ann")
        assert one.is_revoked(ANN)
        await all_revoked(ANN, other)
        assert link.lost == 1


async def test_revocations_are_kept_while_redis_is_away_and_stored_again_after_a_loss(
    place: Place, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path)  # it keeps nothing over a restart
    server.start()
    links = [link_to(server) for _ in range(3)]
    try:
        async with node(place, links[0]) as one, node(place, links[1]) as other:
            await one.revoke_user("ann")
            await all_revoked(ANN, other)
            server.kill()
            await until(lambda: not links[0].connected.is_set())
            with pytest.raises(Unavailable, match="the store is not reachable"):
                await one.revoke_user("bob")
            assert one.is_revoked(ANN)
            assert other.is_revoked(ANN)
            assert not one.is_revoked(BOB)
            server.start()
            async with node(place, links[2]) as third:
                await all_revoked(ANN, third)
                await third.revoke_token("token")
                await all_revoked(TOKEN, one, other)
    finally:
        server.kill()


async def test_a_token_is_revoked_while_memory_is_full(place: Place, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with node(place, link_to(server)) as one, node(place, link_to(server)) as other:
            server.command("config", "set", "maxmemory", "1")
            await one.revoke_token("token")
            await all_revoked(TOKEN, other)
    finally:
        server.kill()


async def test_a_start_without_redis_fails(place: Place) -> None:
    store = RedisRevocationStore(RedisStore(RedisLink(shared_server().address, "test"), place.prefix))
    with pytest.RaisesGroup(pytest.RaisesExc(Unavailable), flatten_subgroups=True):
        async with run_revocations(store, AuthClock()):
            raise AssertionError("it must not start")
