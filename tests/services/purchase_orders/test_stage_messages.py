"""The messages of the stages, word by word as existing frontends show them."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from streamd.config import RetrySettings
from streamd.database import StoreSettings
from streamd.services.purchase_orders.order import STAGES
from streamd.settings import Settings
from streamd.text.settings import TextSettings
from tests.support.fake_server import fake_server, respond
from tests.support.order_events import CSV, Events
from tests.support.orders_rig import PNG, orders

STARTS = {
    "merchant_config": "Loading merchant configuration",
    "ai_parsing": "AI parsing started",
    "data_normalization": "Normalizing data",
    "database_save": "Saving to database",
    "ai_enrichment": "AI enrichment started",
    "product_draft_creation": "Creating product drafts",
    "shopify_payload": "Preparing Shopify payload",
    "shopify_sync": "Syncing to Shopify",
    "image_attachment": "Attaching images",
    "background_image_processing": "Processing images",
    "status_update": "Updating order status",
}
TEXT = "Please send\n12 x Blue Mug (BM-1) @ 4.50 EUR\n"


@pytest.fixture(params=["memory", "sqlite"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = "memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'orders.db'}"
    return Settings(store=StoreSettings(url=url))


def messages(events: Events, stage: str) -> dict[float, str]:
    """Return the messages of a stage's progress events by their percentage."""
    return {
        data["progress"]: data["message"]
        for type, data in events
        if type == "progress" and data["stage"] == stage
    }


def completion(events: Events, stage: str) -> dict[str, Any]:
    [data] = [data for type, data in events if type == "completion" and data["stage"] == stage]
    return data


async def test_every_stage_has_the_messages_of_the_contract(settings: Settings) -> None:
    shop_answer = respond(201, b'{"order": {"id": 4711}}')
    async with (
        fake_server(shop_answer) as shop,
        fake_server(respond(200, PNG)) as pictures,
        orders(settings, sync_url=shop.url, image_allow_private=True) as rig,
    ):
        header, first, second = CSV.splitlines()
        document = f"{header},Image\n{first},{pictures.url}/mug.png\n{second},\n"
        accepted = await rig.accept(document)
        events = await rig.events_of(accepted)
    starts = {data["stage"]: data["message"] for type, data in events if type == "stage"}
    assert list(starts) == list(STAGES)
    assert starts == STARTS

    assert messages(events, "ai_parsing") == {
        5: f"Received {len(document)} bytes of text/csv",
        10: f"Decoded {len(document)} characters",
        30: "Found 2 rows",
        90: "Parsed 2 line items",
        100: "Confidence 90 of 100",
    }
    assert messages(events, "database_save") == {
        10: "Saving order header",
        30: "Validating AI results",
        60: "Saved 2 line items",
        90: "Marked order as saved",
        100: "Saved to database",
    }
    assert messages(events, "shopify_sync") == {
        10: "Sending order to Shopify",
        50: "Shopify answered with status 201",
        90: "Created Shopify order 4711",
        100: "Synced to Shopify",
    }
    po_id = accepted["poId"]
    ids = {"poId": po_id, "workflowId": accepted["workflowId"]}
    assert completion(events, "database_save") == ids | {
        "stage": "database_save",
        "lineItems": 2,
        "purchaseOrderId": po_id,
    }
    assert completion(events, "shopify_sync") == ids | {
        "stage": "shopify_sync",
        "purchaseOrderId": po_id,
        "shopifyOrderId": "4711",
    }


@pytest.mark.parametrize("body", ["sku,qty\nA,1\n", "sku,qty\nA,1\nB,1\nC,1\n"])
async def test_the_saved_line_items_are_counted(settings: Settings, body: str) -> None:
    count = body.count("\n") - 1
    async with orders(settings) as rig:
        events = await rig.events_of(await rig.accept(body))
    assert messages(events, "database_save")[60] == f"Saved {count} line items"
    assert completion(events, "database_save")["lineItems"] == count
    assert "None" not in messages(events, "data_normalization")[100]  # there is no total


async def test_a_text_says_the_same_without_the_name_of_the_model(settings: Settings) -> None:
    text = TextSettings(model="/srv/models/big", retry=RetrySettings(attempts=1))
    async with fake_server(respond(500)) as model:
        text = attrs.evolve(text, url=f"{model.url}/v1")
        async with orders(attrs.evolve(settings, text=text)) as rig:
            failed = await rig.events_of(await rig.accept(TEXT, "text/plain"))
    async with orders(attrs.evolve(settings, text=TextSettings())) as rig:
        read = await rig.events_of(await rig.accept(TEXT, "text/plain"))
    for events in (failed, read):
        said = messages(events, "ai_parsing")
        assert said[5] == f"Received {len(TEXT)} bytes of text/plain"
        assert said[10] == f"Decoded {len(TEXT)} characters"
        assert "/srv" not in str(events)
    assert messages(read, "ai_parsing")[30] == "Extracting line items"
    assert messages(read, "ai_parsing")[90] == "Parsed 1 line item"


async def test_a_skipped_sync_starts_as_any_other_and_says_why(settings: Settings) -> None:
    async with orders(settings) as rig:
        accepted = await rig.accept(CSV)
        events = await rig.events_of(accepted)
    assert ("stage", "Syncing to Shopify") in [(type, data.get("message")) for type, data in events]
    assert messages(events, "shopify_sync") == {100: "Skipped: no URL is configured to send orders to"}
    assert set(completion(events, "shopify_sync")) == {"stage", "poId", "workflowId"}
