"""Limits and statistics over several nodes."""

import math
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from streamd.connections import Group, Registry
from streamd.connections.nodes.channel import SILENT_SECONDS, NodeChannel
from streamd.connections.nodes.counts import NodeCounts
from streamd.connections.nodes.messages import NodeBye, NodeReport
from streamd.connections.settings import ConnectionSettings
from streamd.connections.totals import GroupTotals
from streamd.errors import TooManyConnections, TooManyForCaller
from streamd.metrics import Metrics
from tests.support.connection_nodes import NodeRig, open_nodes
from tests.support.redis_servers import RedisServer, new_prefix, shared_server
from tests.support.waiting import until

LARGE = 1200  # connections
SETTINGS = ConnectionSettings(max_per_address=3)


@pytest.fixture
async def nodes() -> AsyncIterator[list[NodeRig]]:
    async with open_nodes(new_prefix(), settings=SETTINGS) as nodes:
        yield nodes


def groups_of(nodes: list[NodeRig], max_connections: int = 0) -> list[Group]:
    """Make the group that each node's service has."""
    groups = [Group("reports", max_connections=max_connections) for _ in nodes]
    for node, group in zip(nodes, groups, strict=True):
        node.registry.add_group(group)
    return groups


async def test_the_limit_of_a_service_is_that_of_all_nodes(nodes: list[NodeRig]) -> None:
    [first, second], [ours, theirs] = nodes, groups_of(nodes, max_connections=3)
    with first.admit(group=ours), first.admit(group=ours), first.admit():
        await until(lambda: theirs.active == 2)
        with second.admit(group=theirs):
            with (
                pytest.raises(TooManyConnections, match="all 3 connections of reports"),
                second.admit(group=theirs),
            ):
                pass
            await until(lambda: ours.active == 3)
            with pytest.raises(TooManyConnections), first.admit(group=ours):
                pass
        await until(lambda: ours.active == 2)
        with first.admit(group=ours), second.admit():
            pass
    await until(lambda: theirs.active == 0)


async def test_the_limit_of_an_address_is_that_of_all_nodes(nodes: list[NodeRig]) -> None:
    first, second = nodes

    async def reported(by: NodeRig, to: NodeRig, count: int) -> None:
        await until(lambda: to.node.count_at("192.0.2.1") == count)

    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(first.admit(address="192.0.2.1"))
        await reported(first, second, 2)
        with second.admit(address="192.0.2.1"), second.admit(address="192.0.2.2"):
            with pytest.raises(TooManyForCaller, match="maximum of 3"), second.admit(address="192.0.2.1"):
                pass
            await reported(second, first, 1)
            with pytest.raises(TooManyForCaller), first.admit(address="192.0.2.1"):
                pass
        await reported(second, first, 0)
        with first.admit(address="192.0.2.1"):
            pass
    await reported(first, second, 0)


async def test_statistics_of_a_service_are_those_of_all_nodes(nodes: list[NodeRig]) -> None:
    [first, second], [ours, theirs] = nodes, groups_of(nodes, max_connections=7)
    with first.admit(group=ours) as broken, second.admit(group=theirs):
        broken.errors = 1
        with first.admit(group=ours):
            pass
        await until(lambda: theirs.statistics()["total"] == 3 and ours.active == 2)
        for group in (ours, theirs):
            statistics = group.statistics()
            assert (statistics["active"], statistics["max_connections"]) == (2, 7)
            assert statistics["by_health"] == {"healthy": 1, "unhealthy": 1, "stale": 0}
            assert statistics["errors"] == 1


async def test_a_large_group_is_counted_at_once_and_in_turns(nodes: list[NodeRig]) -> None:
    [first, _], [ours, theirs] = nodes, groups_of(nodes)
    with ExitStack() as stack:
        for _ in range(LARGE):
            stack.enter_context(first.admit(group=ours)).sent.bytes = 7
        await until(lambda: theirs.active == LARGE)
        before = ours.totals()
        assert (before.bytes_sent, before.by_transport) == (7 * LARGE, {"sse": LARGE})
        in_turns = await ours.totals_in_turns()
        assert msgspec.structs.replace(in_turns, seconds=before.seconds) == before
        with first.admit(group=ours):
            after = ours.totals_after(before)
            assert (after.active, after.total, after.bytes_sent) == (LARGE + 1, LARGE + 1, 7 * LARGE)
            await until(lambda: theirs.active == LARGE + 1)
    await until(lambda: theirs.active == 0)


async def test_a_node_that_starts_later_counts_those_before_it() -> None:
    prefix = new_prefix()
    async with open_nodes(prefix, 1, SETTINGS) as [first]:
        with first.admit(address="192.0.2.1"):
            await until(lambda: first.registry.by_caller["192.0.2.1"] == 1)
            async with open_nodes(prefix, 1, SETTINGS) as [second]:
                await until(lambda: second.node.count_at("192.0.2.1") == 1)


async def test_a_node_that_ends_counts_no_more(nodes: list[NodeRig]) -> None:
    [first, second], [ours, theirs] = nodes, groups_of(nodes)
    with first.admit(group=ours, address="192.0.2.1"):
        await until(lambda: theirs.active == 1 and second.node.count_at("192.0.2.1") == 1)
        await first.stop()
        await until(lambda: theirs.active == 0 and second.node.count_at("192.0.2.1") == 0)


async def test_groups_without_a_name_are_of_one_node(nodes: list[NodeRig]) -> None:
    first, second = nodes
    unnamed, named = Group(), groups_of(nodes)
    with first.admit(group=unnamed), first.admit(group=named[0]):
        await until(lambda: named[1].active == 1)
        assert second.node.totals("") == []


async def test_while_redis_is_away_the_own_count_decides(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with open_nodes("{away}", settings=SETTINGS, address=server.address) as nodes:
            [first, second], [ours, theirs] = nodes, groups_of(nodes, max_connections=1)
            with first.admit(group=ours):
                await until(lambda: theirs.active == 1)
                server.kill()
                await until(lambda: theirs.active == 0)
                with second.admit(group=theirs):
                    with pytest.raises(TooManyConnections), second.admit(group=theirs):
                        pass
                    server.start()
                    await until(lambda: theirs.active == ours.active == 2)
    finally:
        server.kill()


# --- a node that says nothing ---------------------------------------------------------------------


@pytest.fixture
def counts() -> NodeCounts:
    """Return the counts of a node that has no connection to Redis."""
    registry = Registry(SETTINGS, Metrics(max_type_labels=5))
    return NodeCounts(registry, NodeChannel(shared_server().address, "{unused}"))


def report(node: str, *, is_full: bool, **addresses: int) -> NodeReport:
    totals = GroupTotals(total=1, active=1)
    return NodeReport(node=node, groups={"reports": totals}, addresses=addresses, is_full=is_full)


async def test_a_silent_node_counts_for_15_s(
    counts: NodeCounts, autojump_clock: trio.testing.MockClock
) -> None:
    counts.take(report("killed", is_full=True, a=2), is_own=False)
    counts.take(report("other", is_full=True, a=1), is_own=False)
    await trio.sleep(SILENT_SECONDS - 1)
    assert (len(counts.totals("reports")), counts.count_at("a")) == (2, 3)
    counts.take(report("other", is_full=False), is_own=False)
    await trio.sleep(1)
    assert (len(counts.totals("reports")), counts.count_at("a")) == (1, 1)
    await trio.sleep(SILENT_SECONDS)
    assert (len(counts.totals("reports")), counts.count_at("a")) == (0, 0)


async def test_reports_have_the_changes_and_full_ones_everything(counts: NodeCounts) -> None:
    counts.take(report("other", is_full=True, a=2, b=1), is_own=False)
    counts.take(report("other", is_full=False, a=0, c=4), is_own=False)
    assert [counts.count_at(address) for address in "abc"] == [0, 1, 4]
    counts.take(report("other", is_full=True, c=1), is_own=False)
    assert [counts.count_at(address) for address in "abc"] == [0, 0, 1]
    counts.take(report("own", is_full=True, c=5), is_own=True)
    counts.take(NodeBye(node="other"), is_own=False)
    assert counts.count_at("c") == 0


def test_totals_add_up() -> None:
    one = GroupTotals(
        total=2, active=1, max_connections=5, by_transport={"sse": 1}, by_health={"healthy": 1}, seconds=3.0
    )
    two = GroupTotals(
        total=4, active=2, max_connections=9, by_transport={"sse": 1, "poll": 1}, seconds=math.pi, errors=1
    )
    statistics = one.add([two, GroupTotals()]).statistics()
    assert statistics["average_connection_seconds"] == round((3 + math.pi) / 6, 3)
    assert (statistics["total"], statistics["active"], statistics["max_connections"]) == (6, 3, 5)
    assert statistics["by_transport"] == {"sse": 2, "poll": 1}
    assert statistics["by_health"] == {"healthy": 1, "unhealthy": 0, "stale": 0}
    assert GroupTotals().statistics()["average_connection_seconds"] == 0.0
