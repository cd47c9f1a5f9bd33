"""Failovers: what the new primary has is no gap, and what it lacks is one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from streamd.redis.address import parse_redis_url
from tests.support.logs import MANY, append, data, topics
from tests.support.redis_nodes import nodes, until_connected, until_seen
from tests.support.redis_sentinels import Sentinels, sentinels

LINKS = 4  # of a node


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Sentinels]:
    with sentinels(tmp_path, "--appendonly", "yes") as rig:
        yield rig


async def test_a_failover_to_a_replica_that_has_all_is_no_gap(rig: Sentinels) -> None:
    async with nodes(parse_redis_url(rig.url, "log.url", {}), 2) as [one, other]:
        [first] = await append(one, "a")
        await until_seen(other, first)
        rig.wait_for_replica()
        await trio.to_thread.run_sync(rig.fail_over)
        await trio.to_thread.run_sync(rig.wait_for_clients, 2 * LINKS)
        await until_connected(one, other)
        [second] = await append(other, "a")
        await until_seen(one, second)
        for log in (one, other):
            page = await log.read(topics("a"), first, **MANY)
            assert (data(page), page.gap) == (["a"], None)


async def test_a_failover_to_a_replica_that_lags_is_a_gap(rig: Sentinels) -> None:
    async with nodes(parse_redis_url(rig.url, "log.url", {}), 2) as [one, other]:
        [kept] = await append(one, "a")
        await until_seen(other, kept)
        rig.wait_for_replica()
        rig.stop_replica()
        [lost] = await append(one, "a")
        rig.primary.kill()
        rig.continue_replica()
        await trio.to_thread.run_sync(rig.wait_for_promotion)
        await until_connected(one, other)
        [new] = await append(other, "a")
        await until_seen(one, new)
        for log in (one, other):
            page = await log.read(topics("a"), kept, **MANY)
            assert data(page) == ["a"]
            assert page.gap is not None
            assert lost < page.gap < new
