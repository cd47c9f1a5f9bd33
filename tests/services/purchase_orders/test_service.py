"""Orders from end to end, over real sockets: every event in order, and the stored order."""

from typing import Any

import attrs
import pytest
import trio

from streamd.config import LimitedStreamSettings, RetrySettings
from streamd.services.purchase_orders import MERCHANT_EVENTS, MerchantEvents
from streamd.services.purchase_orders.order import STAGES
from streamd.settings import Settings
from streamd.testing import StreamRefused
from streamd.text.settings import TextSettings
from tests.support.fake_server import Answer, Exchange, fake_server, hang_up, respond
from tests.support.order_events import CSV, Events, outline, usual
from tests.support.orders_rig import (
    CUT_OFF,
    PNG,
    orders,
)

TAKEN = respond(201, b'{"id": 4711}')


def of_sync(events: Events, type: str) -> list[dict[str, Any]]:
    return [data for kind, data in events if (kind, data["stage"]) == (type, "shopify_sync")]


async def test_an_order_passes_all_stages() -> None:
    async with (
        fake_server(TAKEN) as shop,
        fake_server(respond(200, PNG)) as pictures,
        orders(sync_url=f"{shop.url}/orders", sync_token="t0p", image_allow_private=True) as rig,
    ):
        url = f"{pictures.url}/mug.png"
        header, first, second = CSV.splitlines()
        accepted = await rig.accept(f"{header},Image\n{first},{url}\n{second},\n")
        assert set(accepted) == {"poId", "workflowId", "statusUrl", "eventsUrl"}
        events = await rig.events_of(accepted)
        order = await rig.ended(accepted)
        task = (await rig.client.get(f"/tasks/{accepted['workflowId']}")).json()

    po_id = accepted["poId"]
    assert outline(events) == usual(po_id, lines=2, shop_id="4711", drafts=1, images=True)
    assert {(data["poId"], data["workflowId"]) for _, data in events} == {(po_id, accepted["workflowId"])}

    assert (order["status"], order["shopifyOrderId"], order["confidence"]) == ("completed", "4711", 90)
    assert (order["currency"], order["total"]) == ("USD", "74.00")
    assert order["warnings"] == order["skipped"] == order["failed"] == []
    mug, chair = order["lines"]
    assert (mug["sku"], mug["quantity"], mug["unitPrice"], mug["total"]) == ("BM-1", 12, "4.50", "54.00")
    assert (mug["category"], mug["tags"]) == ("Kitchen & Dining", ["blue", "mug"])
    assert (mug["image"]["status"], mug["image"]["mediaType"]) == ("verified", "image/png")
    assert (chair["sku"], chair["image"]) == ("", None)
    assert order["workflow"]["status"] == task["status"] == "completed"
    assert [step["name"] for step in task["step_list"]] == list(STAGES)
    assert (task["step"], task["step_name"], task["steps"]) == (len(STAGES), STAGES[-1], len(STAGES))
    shown = ("step", "steps", "stage", "message")
    assert [order["workflow"][name] for name in shown] == [
        len(STAGES),
        len(STAGES),
        STAGES[-1],
        "The order is complete",
    ]
    assert (task["kind"], task["owner"]) == ("purchase-order", "shop")

    [sent] = shop.requests
    assert sent.headers["authorization"] == "Bearer t0p"
    assert sent.headers["idempotency-key"] == po_id
    assert b'"sku":"BM-1","title":"Blue Mug","quantity":12,"price":"4.50"' in sent.body


async def test_stages_without_shop_and_images_are_skipped_with_a_reason() -> None:
    async with orders() as rig:
        accepted = await rig.accept(CSV)
        events = await rig.events_of(accepted)
        order = await rig.ended(accepted)
        again = await rig.accept(CSV)
        events_again = await rig.events_of(again)
    assert outline(events) == usual(accepted["poId"], lines=2, shop_id=None, drafts=1, images=False)
    skipped = {entry["stage"]: entry["reason"] for entry in order["skipped"]}
    assert list(skipped) == ["shopify_sync", "image_attachment", "background_image_processing"]
    assert "no URL is configured" in skipped["shopify_sync"]
    said = [data["message"] for data in of_sync(events, "progress")]
    assert said == [f"Skipped: {skipped['shopify_sync']}"]
    # Its SKU is a known product now.
    assert outline(events_again) == usual(again["poId"], lines=2, shop_id=None, drafts=0, images=False)


MAIL = "Hi, please send\n12 x Blue Mug (BM-1) @ 4.50 EUR\n2 x Chair @ 10.00 EUR\nPO number: 77\nBye"
JSON = {
    "orderNumber": "77",
    "currency": "EUR",
    "lines": [
        {"sku": "BM-1", "description": "Blue Mug", "quantity": 12, "unitPrice": 4.50},
        {"description": "Chair", "quantity": 2, "unitPrice": "10,00"},
    ],
}


@pytest.mark.parametrize(
    ("body", "content_type"), [(MAIL, "text/plain; charset=utf-8"), (JSON, "application/json")]
)
async def test_a_mail_and_json_give_the_same_order(body: Any, content_type: str) -> None:
    async with orders() as rig:
        accepted = await rig.accept(body, content_type)
        events = await rig.events_of(accepted)
        order = await rig.ended(accepted)
    assert outline(events) == usual(accepted["poId"], lines=2, shop_id=None, drafts=1, images=False)
    assert (order["orderNumber"], order["currency"], order["total"]) == ("77", "EUR", "74.00")
    assert [line["description"] for line in order["lines"]] == ["Blue Mug", "Chair"]


async def test_wrong_totals_are_warnings_of_the_order() -> None:
    async with orders(merchant_currencies=["shop=GBP"]) as rig:
        accepted = await rig.accept("sku,qty,price,total\nA,2,5,11\n")
        order = await rig.ended(accepted)
    assert (order["status"], order["total"], order["currency"]) == ("completed", "10.00", "GBP")
    assert [(warning["field"], order["confidence"]) for warning in order["warnings"]] == [
        ("line 2, total", 60)
    ]


async def test_a_text_without_items_is_an_error_event() -> None:
    async with orders() as rig:
        accepted = await rig.accept("Hello, how are you?", "text/plain")
        events = await rig.events_of(accepted)
        order = await rig.ended(accepted)
    assert outline(events)[-1] == ("error", "ai_parsing")
    assert "no line item was found" in events[-1][1]["error"]
    assert (order["status"], order["failedStage"]) == ("failed", "ai_parsing")
    assert order["error"] == events[-1][1]["error"] == order["workflow"]["error"]
    assert order["workflow"]["status"] == "failed"


# --- shops that are less than well ----------------------------------------------------------------


async def take_late(exchange: Exchange) -> None:
    await trio.sleep(0.2)
    await TAKEN(exchange)


@pytest.mark.parametrize(
    ("answers", "tries"),
    [
        ([take_late], 1),
        ([respond(500), TAKEN], 2),
        ([CUT_OFF, TAKEN], 2),
        ([hang_up, respond(429, headers={"Retry-After": "0"}), TAKEN], 3),
    ],
)
async def test_a_sync_succeeds_after_retries(answers: list[Answer], tries: int) -> None:
    async with fake_server(*answers) as shop, orders(sync_url=shop.url) as rig:
        accepted = await rig.accept(CSV)
        events = await rig.events_of(accepted)
        order = await rig.ended(accepted)
    figures = [data["progress"] for data in of_sync(events, "progress")]
    assert figures == [10] * tries + [50, 90, 100]
    assert (order["status"], order["shopifyOrderId"]) == ("completed", "4711")
    assert len(shop.requests) == tries
    assert {request.headers["idempotency-key"] for request in shop.requests} == {accepted["poId"]}


@pytest.mark.parametrize(("answer", "tries"), [(respond(500), 3), (respond(422), 1)])
async def test_an_order_rejected_by_the_shop_stays_saved(answer: Answer, tries: int) -> None:
    retry = RetrySettings(attempts=3, backoff_seconds=0.01)
    async with fake_server(answer) as shop, orders(sync_url=shop.url, retry=retry) as rig:
        accepted = await rig.accept(CSV)
        events = await rig.events_of(accepted)
        order = await rig.ended(accepted)
    assert len(shop.requests) == tries
    errors = [data for type, data in events if type == "error"]
    assert [data["stage"] for data in errors] == ["shopify_sync"]
    assert outline(events)[-1] == (
        "completion",
        "status_update",
        {"lineItems": 2, "purchaseOrderId": accepted["poId"]},
    )
    assert (order["status"], order["failedStage"]) == ("sync_failed", "shopify_sync")
    assert len(order["lines"]) == 2
    assert order["failed"] == [{"stage": "shopify_sync", "reason": errors[0]["error"]}]
    assert order["workflow"]["status"] == "failed"
    assert "the order is saved, but" in order["workflow"]["error"]


async def test_products_are_drafted_for_new_skus_only() -> None:
    def made(events: Events) -> Any:
        [entry] = [data for type, data in events if type == "completion" and "draft" in data["stage"]]
        return entry.get("lineItems")

    async with orders() as rig:
        rows = ["sku,qty\nA,1\n", "sku,qty\nA,1\nB,1\nb,2\n", "sku,qty\nA,1\n"]
        counts = [made(await rig.events_of(await rig.accept(row))) for row in rows]
        other = made(await rig.events_of(await rig.accept("sku,qty\nA,1\nC,1\n", merchant="other")))
    assert (counts, other) == ([1, 1, None], 2)


async def test_a_failed_enrichment_does_not_fail_the_order() -> None:
    async with fake_server(respond(400)) as model:
        text = TextSettings(url=model.url, model="m", retry=RetrySettings(attempts=1))
        async with orders(attrs.evolve(Settings(), text=text)) as rig:
            accepted = await rig.accept(CSV)
            events = await rig.events_of(accepted)
            order = await rig.ended(accepted)
            mail = await rig.accept(MAIL, "text/plain")
            errors = [data for type, data in await rig.events_of(mail) if type == "error"]
    assert [data["stage"] for type, data in events if type == "error"] == ["ai_enrichment"]
    assert (order["status"], order["workflow"]["status"]) == ("completed", "completed")
    assert [entry["stage"] for entry in order["failed"]] == ["ai_enrichment"]
    assert [data["stage"] for data in errors] == ["ai_parsing"], "a text cannot be read without it"


async def test_an_unusable_image_does_not_fail_the_order() -> None:
    async with orders() as rig:
        accepted = await rig.accept("sku,qty,image\nA,1,http://127.0.0.1:9/x.png\nB,1,javascript:alert(1)\n")
        order = await rig.ended(accepted)
    assert order["status"] == "completed"
    assert [line["image"]["status"] for line in order["lines"]] == ["failed", "failed"]
    assert "private" in order["lines"][0]["image"]["reason"]


# --- others -----------------------------------------------------------------------------------------


async def test_programs_publish_to_merchants() -> None:
    async with orders() as rig, rig.follow() as reader:
        events = rig.extensions[MERCHANT_EVENTS]
        assert isinstance(events, MerchantEvents)
        await events.publish_error("shop", stage="own", po_id="p", workflow_id="w", error="no")
        await events.publish_stage("shop", stage="own", po_id="p", workflow_id="w")
        assert [event.type for event in await reader.take(2)] == ["error", "stage"]


async def test_streams_over_the_limit_get_503() -> None:
    async with orders(stream=LimitedStreamSettings(max_connections=1)) as rig, rig.follow():
        with pytest.raises(StreamRefused) as refused:
            async with rig.follow("other"):
                pass
    assert refused.value.status == 503
    assert int(refused.value.headers["retry-after"]) > 0


async def test_a_quiet_stream_receives_heartbeats() -> None:
    async with orders(stream=LimitedStreamSettings(heartbeat_seconds=0.1)) as rig, rig.follow() as reader:
        assert (await reader.next_control("connected"))["heartbeat_seconds"] == 0.1
        await reader.next_control("heartbeat")
    assert reader.headers["content-type"].startswith("text/event-stream")
    assert reader.headers["x-accel-buffering"] == "no"
