"""Items of several nodes on one Redis: the same totals on each, one publisher, lost replies."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import attrs
import msgspec
import pytest
import trio
import trio.testing

from streamd.errors import Unavailable
from streamd.events import Draft
from streamd.events.settings import EventSettings
from streamd.redis import RedisLink
from streamd.services.sentiment.dashboard import Dashboard
from streamd.services.sentiment.store.redis import RedisItemStore
from tests.support.item_stores import (
    SETTINGS,
    ItemClock,
    item_key,
    redis_items,
    stored_item,
)
from tests.support.redis_links import CountingLink, LossyLink, open_link
from tests.support.redis_servers import new_prefix, shared_server


class Published:
    """A publisher that all nodes share; it records who published what."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.metrics: list[tuple[str, int]] = []
        self.changed = trio.Event()

    def put_metrics(self, node: str, total: int) -> None:
        self.metrics.append((node, total))
        self.changed.set()
        self.changed = trio.Event()

    async def put_items(self, drafts: Sequence[Draft]) -> None:
        await trio.lowlevel.checkpoint()
        self.items.extend(msgspec.json.decode(draft.data)["item_id"] for draft in drafts)

    async def total(self, total: int) -> str:
        """Wait for metrics with a total, and return the node that published them."""
        while not self.metrics or self.metrics[-1][1] != total:
            await self.changed.wait()
        return self.metrics[-1][0]


@attrs.frozen
class NodePublisher:
    """The publisher of one node."""

    name: str
    published: Published

    async def publish(self, topics: str | Sequence[str], data: Any = "", *, type: str | None = None) -> None:
        await trio.lowlevel.checkpoint()
        self.published.put_metrics(self.name, data.total)

    async def publish_drafts(self, drafts: Sequence[Draft]) -> None:
        await self.published.put_items(drafts)


@attrs.frozen
class ItemNode:
    """A node with a dashboard."""

    name: str
    dashboard: Dashboard
    link: CountingLink
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def take(self, *ids: str, key: str | None = None) -> tuple[int, list[str]]:
        items = [{"ticker": "AAPL", "text": "Good.", "item_id": id} for id in ids]
        taken = await self.dashboard.store_items(json.dumps({"items": items}).encode(), key)
        return taken.accepted, taken.item_ids

    async def run(self) -> None:
        with self.scope:
            await self.dashboard.run()


@pytest.fixture
async def published() -> Published:
    return Published()


@pytest.fixture
async def nodes(published: Published, mock_clock: trio.testing.MockClock) -> AsyncIterator[list[ItemNode]]:
    prefix, clock, nodes = new_prefix(), ItemClock(), []
    one, two = CountingLink(), CountingLink()
    async with open_link(one), open_link(two), trio.open_nursery() as nursery:
        for name, link in (("one", one), ("two", two)):
            publisher = NodePublisher(name, published)
            store = redis_items(link, prefix, clock)
            dashboard = Dashboard(store, publisher, SETTINGS, EventSettings(), clock)
            nodes.append(ItemNode(name, dashboard, link))
            nursery.start_soon(nodes[-1].run)
            await nodes[-1].dashboard.ready()
        yield nodes
        nursery.cancel_scope.cancel()


async def test_all_nodes_have_the_same_totals_ids_and_keys(nodes: list[ItemNode]) -> None:
    one, two = nodes
    assert await one.take("a", "b", key="k") == (2, ["a", "b"])
    assert await two.take("b", "c") == (1, ["b", "c"])
    assert await two.take("a", "b", key="k") == (2, ["a", "b"])
    assert await one.dashboard.metrics() == await two.dashboard.metrics()
    snapshot = await two.dashboard.snapshot()
    assert snapshot() == await one.dashboard.metrics()
    assert snapshot().by_tag == {"AAPL": 3}


async def test_an_item_that_two_nodes_receive_is_published_once(
    nodes: list[ItemNode], published: Published
) -> None:
    accepted: Counter[int] = Counter()

    async def take(node: ItemNode, id: str) -> None:
        accepted[(await node.take(id))[0]] += 1

    async with trio.open_nursery() as nursery:
        for number in range(20):
            for node in nodes:
                nursery.start_soon(take, node, str(number))
    assert accepted == {0: 20, 1: 20}
    while len(published.items) < 20:
        await trio.lowlevel.checkpoint()
    assert sorted(published.items) == sorted(map(str, range(20)))


async def test_one_node_publishes_the_metrics_of_all_and_another_continues(
    nodes: list[ItemNode], published: Published, mock_clock: trio.testing.MockClock
) -> None:
    by_name = {node.name: node for node in nodes}

    async def next_publisher(total: int) -> str:
        with trio.CancelScope() as jumping:
            async with trio.open_nursery() as nursery:

                async def jump() -> None:
                    while True:
                        await trio.testing.wait_all_tasks_blocked()
                        if any(node.link.waiting for node in nodes):
                            await trio.testing.wait_all_tasks_blocked(0.001)
                        else:
                            mock_clock.jump(0.5)

                nursery.start_soon(jump)
                name = await published.total(total)
                jumping.cancel()
        return name

    first = await next_publisher(0)
    [other] = by_name.keys() - {first}
    await by_name[other].take("a")
    assert await next_publisher(1) == first
    assert {name for name, _ in published.metrics} == {first}
    by_name[first].scope.cancel()
    await by_name[other].take("b")
    assert await next_publisher(2) == other
    assert (other, 1) not in published.metrics


@pytest.fixture
async def lossy() -> AsyncIterator[tuple[LossyLink, RedisItemStore]]:
    link = LossyLink()
    async with open_link(link):
        yield link, redis_items(link, new_prefix())


async def test_an_insert_whose_reply_is_lost_is_made_once(lossy: tuple[LossyLink, RedisItemStore]) -> None:
    link, store = lossy
    at_ms = 2_000_000_000_000  # ahead of the server's clock, so that it counts
    await store.insert([stored_item("first", at_ms=at_ms)], SETTINGS)
    link.losses = 2
    inserted = await store.insert([stored_item("a", at_ms=at_ms)], SETTINGS, item_key())
    assert [item.id for item in inserted.new] == ["a"]
    assert link.lost == 2
    _, metrics = await store.read()
    assert metrics.total == 2
    assert await store.find_accepted(item_key()) == 1


async def test_without_a_server_the_store_is_unavailable() -> None:
    store = redis_items(RedisLink(shared_server().address, "test"), new_prefix())
    for call in (store.insert([stored_item("a")], SETTINGS), store.read(), store.find_accepted(item_key())):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.retry_after_seconds == 1
