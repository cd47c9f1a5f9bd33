"""Isolation of merchants: each receives its own events only, without loss or repeats."""

from collections import defaultdict
from typing import Any

import pytest
import trio

from streamd.testing import StreamReader, open_stream
from tests.support.messages import data_of
from tests.support.order_events import CSV, outline, usual
from tests.support.orders_rig import Rig, orders, read_order

MERCHANTS = [f"shop-{number}.example" for number in range(5)]
STREAMS = 100
ORDERS_EACH = 2


async def test_a_hundred_streams_get_only_their_merchants_events_each_once() -> None:
    sent: dict[str, list[str]] = defaultdict(list)
    got: list[tuple[str, list[tuple[str, str, dict[str, Any]]]]] = []
    all_sent = trio.Event()

    async def follow(rig: Rig, merchant: str, open: trio.MemorySendChannel[None]) -> None:
        async with rig.follow(merchant) as reader:
            await reader.next_control("connected")
            await open.send(None)
            seen: list[tuple[str, str, dict[str, Any]]] = []
            ended = 0
            while ended < ORDERS_EACH:
                event = await reader.next_event()
                assert event is not None
                data = data_of(event)
                seen.append((event.last_event_id, event.type, data))
                ended += (event.type, data["stage"]) == ("completion", "status_update")
            got.append((merchant, seen))

    async def send(rig: Rig, merchant: str) -> None:
        for _ in range(ORDERS_EACH):
            sent[merchant].append((await rig.accept(CSV, merchant=merchant))["poId"])

    async with orders() as rig:
        opened, wait_for = trio.open_memory_channel[None](STREAMS)
        async with trio.open_nursery() as nursery:
            for number in range(STREAMS):
                nursery.start_soon(follow, rig, MERCHANTS[number % len(MERCHANTS)], opened)
            for _ in range(STREAMS):
                await wait_for.receive()
            async with trio.open_nursery() as senders:
                for merchant in MERCHANTS:
                    senders.start_soon(send, rig, merchant)
            all_sent.set()

    assert len(got) == STREAMS
    first: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for merchant, seen in got:
        assert first.setdefault(merchant, seen) == seen, "everybody sees one order of events"
    for merchant, seen in first.items():
        assert [id for id, _, _ in seen] == sorted({id for id, _, _ in seen})
        assert {data["poId"] for _, _, data in seen} == set(sent[merchant])
        for po_id in sent[merchant]:
            events = [(type, data) for _, type, data in seen if data["poId"] == po_id]
            shown = outline(events)
            # Either of the two orders may draft the product.
            expected = [usual(po_id, lines=2, shop_id=None, drafts=drafts, images=False) for drafts in (0, 1)]
            assert shown in expected


async def test_the_order_of_another_merchant_is_404() -> None:
    async with orders() as rig:
        accepted = await rig.accept(CSV, merchant="a")
        await rig.ended(accepted)
        own = await rig.client.get(f"/api/purchase-orders/{accepted['poId']}?merchantId=a")
        other = await rig.client.get(f"/api/purchase-orders/{accepted['poId']}?merchantId=b")
        none = await rig.client.get("/api/purchase-orders/po-none?merchantId=b")
    assert own.status_code == 200
    assert other.status_code == none.status_code == 404
    assert other.json() == none.json() | {"detail": other.json()["detail"]}
    assert accepted["poId"] in other.json()["detail"]


@pytest.mark.parametrize("merchant", ["*", "a:b", "**", "shop/1", "", "a%0Ab"])
async def test_a_merchant_cannot_be_a_pattern(merchant: str) -> None:
    async with orders() as rig:
        for path in ("/api/realtime/events", "/api/purchase-orders/po-1"):
            answer = await rig.client.get(f"{path}?merchantId={merchant}")
            assert answer.status_code == 400
            assert answer.json()["field"] == "merchantId"


async def test_topics_in_the_query_are_ignored() -> None:
    async with orders() as rig:
        async with open_stream(
            rig.url,
            path="/api/realtime/events",
            topics=["merchant:b:stage"],
            patterns=["**"],
            merchantId="a",
        ) as reader:
            await rig.ended(await rig.accept(CSV, merchant="b"))
            accepted = await rig.accept(CSV, merchant="a")
            event = await reader.next_event()
            assert event is not None
            assert data_of(event)["poId"] == accepted["poId"]


async def test_a_stream_resumes_without_loss_or_repeat() -> None:
    async with orders() as rig:
        accepted = await rig.accept(CSV)
        async with rig.follow(after="earliest") as reader:
            whole = [
                (event.last_event_id, event.data) for event in await read_order(reader, accepted["poId"])
            ]
        pieces: list[tuple[str, str]] = []
        after = "earliest"
        while len(pieces) < len(whole):
            async with rig.follow(after=after) as reader:
                pieces += await take(reader, 7, len(whole) - len(pieces))
                after = pieces[-1][0]
    assert pieces == whole


async def take(reader: StreamReader, most: int, left: int) -> list[tuple[str, str]]:
    return [(event.last_event_id, event.data) for event in await reader.take(min(most, left))]


async def test_the_default_merchant_owns_orders_without_one() -> None:
    async with orders(default_merchant="mine") as rig:
        accepted = await rig.accept(CSV, merchant="")
        assert "merchantId" not in accepted["statusUrl"] + accepted["eventsUrl"]
        order = await rig.ended(accepted)
        assert order["merchantId"] == "mine"
        assert (await rig.client.get(accepted["statusUrl"] + "?merchantId=other")).status_code == 404
