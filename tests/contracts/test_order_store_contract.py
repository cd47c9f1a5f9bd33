"""The contract of the store of orders, run against each implementation."""

from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest

from streamd.errors import IdempotencyConflict, Unavailable
from streamd.services.purchase_orders.order import Image, Notice, OrderEnd, OrderReceipt, OrderStatus
from streamd.services.purchase_orders.store import OrderStore
from streamd.services.purchase_orders.stored import StoredOrder
from tests.support.clocks import at
from tests.support.order_stores import (
    CSV,
    CURSOR,
    MAX_ORDERS,
    ORDER_STORES,
    order,
    order_key,
    received,
)

END = OrderEnd(OrderStatus.COMPLETED, at(1e9))


@pytest.fixture(params=ORDER_STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OrderStore]:
    async with ORDER_STORES[request.param](tmp_path) as store:
        yield store


async def find(store: OrderStore, name: str = "w") -> StoredOrder:
    found = await store.find(f"po-{name}", "shop")
    assert found is not None
    return found


async def test_an_order_is_found_by_its_merchant_only(store: OrderStore) -> None:
    await store.receive(received("w"), CURSOR)
    found = await find(store)
    assert (found.po_id, found.merchant_id, found.workflow_id) == ("po-w", "shop", "w")
    assert (found.status, found.order, found.ended_at) == (OrderStatus.RECEIVED, None, None)
    assert await store.find("po-w", "other") is None
    assert await store.find("po-v", "shop") is None
    assert await store.document("po-w") == received("w")
    assert await store.document("po-v") is None


async def test_a_key_returns_the_receipt_of_its_order(store: OrderStore) -> None:
    assert await store.receive(received("w"), CURSOR, order_key()) is None
    receipt = OrderReceipt("po-w", "w", CURSOR)
    assert await store.receive(received("v"), "later", order_key()) == receipt
    assert await store.find("po-v", "shop") is None
    with pytest.raises(IdempotencyConflict):
        await store.receive(received("v"), CURSOR, order_key(document=b"other"))
    assert await store.receive(received("v"), CURSOR, order_key("other")) is None


async def test_the_limit_holds_and_known_keys_have_their_receipts_at_it(store: OrderStore) -> None:
    await store.receive(received("w"), CURSOR, order_key())
    for number in range(MAX_ORDERS - 1):
        await store.receive(received(f"w{number}"), CURSOR)
    with pytest.raises(Unavailable, match="the limit of 5 stored orders is reached") as caught:
        await store.receive(received("v"), CURSOR)
    assert caught.value.retry_after_seconds == 60
    assert await store.receive(received("v"), CURSOR, order_key()) is not None
    await store.forget("po-w0")
    assert await store.receive(received("v"), CURSOR) is None


async def test_a_forgotten_order_and_its_key_are_gone(store: OrderStore) -> None:
    await store.receive(received("w"), CURSOR, order_key())
    await store.forget("po-w")
    await store.forget("po-w")
    assert await store.find("po-w", "shop") is None
    assert not await store.is_open("po-w")
    assert await store.open_orders(0, 10) == []
    assert await store.receive(received("v"), CURSOR, order_key()) is None


async def test_an_order_is_saved_and_read_back(store: OrderStore) -> None:
    await store.receive(received("w"), CURSOR)
    await store.begin("po-w")
    assert (await find(store)).status is OrderStatus.PROCESSING
    content = order("A", "B", "")
    assert not await store.holds("po-w", content)
    await store.save_header("po-w", attrs.evolve(content, unread=3), 87.5, [Notice(field="x", message="y")])
    await store.save_lines("po-w", order("A").lines)
    assert not await store.holds("po-w", content)
    await store.save_lines("po-w", content.lines)
    assert await store.holds("po-w", attrs.evolve(content, unread=3))
    assert (await find(store)).order is None
    await store.mark_saved("po-w")
    await store.save_shop_id("po-w", "S1")
    await store.save_payload("po-w", b"{}")
    found = await find(store)
    assert found.order == attrs.evolve(content, lines=tuple(reversed(content.lines)))
    assert (found.status, found.confidence, found.shopify_order_id) == (OrderStatus.SAVED, 87.5, "S1")
    assert found.warnings == (Notice(field="x", message="y"),)


async def test_images_and_stages_replace_earlier_ones(store: OrderStore) -> None:
    await store.receive(received("w"), CURSOR)
    images = [Image(line=10, url="u"), Image(line=9, url="v")]
    await store.save_images("po-w", images)
    seen = Image(line=10, url="u", status="verified", media_type="image/png", size=3, sha256="0")
    await store.save_images("po-w", [seen])
    await store.note_stage("po-w", "shopify_sync", "failed", "no")
    await store.note_stage("po-w", "shopify_sync", "skipped", "no URL")
    await store.note_stage("po-w", "ai_enrichment", "failed", "why")
    found = await find(store)
    assert found.images == (images[1], seen)
    assert found.skipped == (("shopify_sync", "no URL"),)
    assert found.failed == (("ai_enrichment", "why"),)


@pytest.mark.parametrize("saved", [True, False])
async def test_an_order_ends_once_and_keeps_a_document_that_is_not_saved(
    store: OrderStore, saved: bool
) -> None:
    await store.receive(received("w"), CURSOR)
    if saved:
        await store.mark_saved("po-w")
    assert await store.is_open("po-w")
    await store.end("w", OrderEnd(OrderStatus.FAILED, at(0), "ai_parsing", "broken"))
    found = await find(store)
    assert (found.status, found.stage, found.error) == (OrderStatus.FAILED, "ai_parsing", "broken")
    assert found.ended_at == max(found.created_at, "2026-01-02T12:00:00.000Z")
    await store.end("w", END)
    await store.end("v", END)
    await store.begin("po-w")
    await store.mark_saved("po-w")
    assert await find(store) == found
    assert not await store.is_open("po-w")
    assert (await store.document("po-w") is None) is saved


async def test_unfinished_orders_are_listed_in_pages(store: OrderStore) -> None:
    for name in ("a", "b", "c", "d"):
        await store.receive(received(name), CURSOR, order_key(name) if name == "c" else None)
    await store.end("b", END)
    first = await store.open_orders(0, 2)
    second = await store.open_orders(first[-1][0], 2)
    assert [row[1:] for row in first + second] == [
        ("shop", "po-a", "a", False),
        ("shop", "po-c", "c", True),
        ("shop", "po-d", "d", False),
    ]
    assert await store.open_orders(second[-1][0], 2) == []


async def test_orders_and_products_of_a_merchant_are_counted(store: OrderStore) -> None:
    for name in ("a", "b"):
        await store.receive(received(name), CURSOR)
    assert await store.count_order("shop", "po-a") == 1
    assert await store.count_order("shop", "po-b") == 2
    assert await store.count_order("other", "po-b") == 1
    assert await store.draft_products("shop", "po-a", order("A", "B", "").lines) == 2
    assert await store.draft_products("shop", "po-b", order("B", "C").lines) == 1
    assert await store.draft_products("shop", "po-b", order("B", "C").lines) == 0
    assert await store.draft_products("shop", "po-b", []) == 0
    assert await store.draft_products("other", "po-b", order("A").lines) == 1


async def test_a_change_of_an_unknown_order_stores_nothing(store: OrderStore) -> None:
    await store.begin("po-w")
    await store.mark_saved("po-w")
    await store.save_shop_id("po-w", "S1")
    assert await store.find("po-w", "shop") is None
    assert await store.receive(received("w", CSV), CURSOR) is None
    assert (await find(store)).status is OrderStatus.RECEIVED
