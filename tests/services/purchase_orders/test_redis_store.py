"""Orders of several nodes on one Redis: one wins, all see the same, a lost reply changes nothing twice."""

from collections.abc import AsyncIterator

import attrs
import pytest
import trio

from streamd.errors import Unavailable, Unreadable
from streamd.redis import RedisLink, RedisStore
from streamd.services.purchase_orders.order import OrderEnd, OrderReceipt, OrderStatus
from streamd.services.purchase_orders.store.redis import RedisOrderStore
from tests.support.clocks import NOON
from tests.support.order_stores import CURSOR, order, order_key, received, redis_orders
from tests.support.redis_links import LossyLink, open_link
from tests.support.redis_servers import new_prefix, shared_server


@attrs.frozen
class Nodes:
    """Two nodes; the first may lose replies."""

    prefix: str
    link: LossyLink
    first: RedisOrderStore
    second: RedisOrderStore


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    prefix, lossy = new_prefix(), LossyLink()
    async with open_link(lossy), open_link() as link:
        yield Nodes(prefix, lossy, redis_orders(lossy, prefix), redis_orders(link, prefix))


async def test_an_order_that_two_nodes_receive_is_stored_once(nodes: Nodes) -> None:
    receipts: list[OrderReceipt | None] = []

    async def receive(store: RedisOrderStore, name: str) -> None:
        receipts.append(await store.receive(received(name), CURSOR, order_key()))

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(receive, (nodes.first, nodes.second)[number % 2], f"w{number}")
    assert receipts.count(None) == 1
    [receipt] = {receipt for receipt in receipts if receipt is not None}
    for store in (nodes.first, nodes.second):
        stored = [await store.find(f"po-w{number}", "shop") for number in range(8)]
        [found] = [each for each in stored if each is not None]
        assert (found.po_id, found.workflow_id) == (receipt.po_id, receipt.workflow_id)


async def test_the_limit_counts_the_orders_of_all_nodes(nodes: Nodes) -> None:
    refused = 0

    async def receive(store: RedisOrderStore, name: str) -> None:
        nonlocal refused
        try:
            await store.receive(received(name), CURSOR)
        except Unavailable:
            refused += 1

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(receive, (nodes.first, nodes.second)[number % 2], f"w{number}")
    assert refused == 3


async def test_other_nodes_leave_an_order_alone_until_it_begins(nodes: Nodes) -> None:
    await nodes.first.receive(received("w"), CURSOR)
    assert await nodes.second.open_orders(0, 10) == []
    await nodes.first.begin("po-w")
    assert [row[2] for row in await nodes.second.open_orders(0, 10)] == ["po-w"]


async def test_an_order_whose_receipt_another_node_returned_is_not_forgotten(nodes: Nodes) -> None:
    await nodes.first.receive(received("w"), CURSOR, order_key())
    assert await nodes.second.receive(received("v"), CURSOR, order_key()) is not None
    await nodes.first.forget("po-w")
    assert await nodes.second.is_open("po-w")
    assert [row[2] for row in await nodes.second.open_orders(0, 10)] == ["po-w"]


async def test_a_change_whose_reply_is_lost_is_made_once(nodes: Nodes) -> None:
    async def lose_next() -> RedisOrderStore:
        nodes.link.losses = 1
        return nodes.first

    assert await nodes.first.receive(received("a"), CURSOR) is None  # the server knows the script
    assert await (await lose_next()).receive(received("w"), CURSOR, order_key()) is None
    for number in (1, 2, 3):
        assert await (await lose_next()).count_order("shop", "po-w") == number
    assert await (await lose_next()).draft_products("shop", "po-w", order("A", "B").lines) == 2
    await (await lose_next()).save_lines("po-w", order("A").lines)
    await (await lose_next()).end("w", OrderEnd(OrderStatus.FAILED, NOON))
    assert nodes.link.lost == 7
    found = await nodes.second.find("po-w", "shop")
    assert found is not None
    assert found.status is OrderStatus.FAILED


async def test_without_a_server_the_store_is_unavailable() -> None:
    store = redis_orders(RedisLink(shared_server().address, "test"), new_prefix())
    for call in (store.receive(received("w"), CURSOR), store.find("po-w", "shop"), store.end("w", END)):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.retry_after_seconds == 1


END = OrderEnd(OrderStatus.FAILED, NOON)


@pytest.mark.parametrize("field", ["status", "header", "lines", "warnings", "workflow_id"])
async def test_a_damaged_order_is_unreadable_and_others_are_not(nodes: Nodes, field: str) -> None:
    for name in ("w", "v"):
        await nodes.first.receive(received(name), CURSOR)
        await nodes.first.mark_saved(f"po-{name}")
    store = RedisStore(nodes.link, nodes.prefix)
    await nodes.link.call(b"HSET", store.key("orders:order:po-w"), field, b"\xff{")
    with pytest.raises(Unreadable):
        await nodes.second.find("po-w", "shop")
    assert await nodes.second.find("po-v", "shop") is not None
