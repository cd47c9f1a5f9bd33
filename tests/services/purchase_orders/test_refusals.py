"""An invalid order is refused before it is stored, with its location, and leaves nothing behind."""

from typing import Any

import attrs
import pytest

from streamd.config import SettingsError, load
from streamd.services.purchase_orders.settings import PurchaseOrderSettings
from streamd.settings import Settings
from tests.support.fake_server import fake_server, hang
from tests.support.orders_rig import ORDERS, orders

CSV, JSON, TEXT = "text/csv", "application/json", "text/plain"
GOOD = "sku,qty\nA,1\n"


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code", "field"),
    [
        (CSV, "", 400, "invalid-body", "body"),
        (CSV, " \r\n ", 400, "invalid-body", "body"),
        (TEXT, "", 400, "invalid-body", "body"),
        (JSON, "", 400, "invalid-body", "body"),
        (CSV, b"sku,qty\n\xff,1\n", 400, "invalid-body", "body"),
        (CSV, "A,1\n", 400, "invalid-body", "line 1"),
        (CSV, "sku,qty,colour\nA,1,red\n", 400, "invalid-body", "line 1, column colour"),
        (CSV, "sku,qty\nA\n", 400, "invalid-body", "line 2"),
        (CSV, 'sku,qty\n"A,1\n', 400, "invalid-body", "line 2"),
        (CSV, "sku,qty\nA,many\n", 400, "invalid-field", "line 2, column qty"),
        (CSV, "sku,qty\nA,1\nB,-2\n", 400, "invalid-field", "line 3, column qty"),
        (CSV, "sku,qty\nA,\n", 400, "invalid-field", "line 2, column qty"),
        (CSV, "sku,qty,price,currency\nA,1,2,EUR\nB,1,2,USD\n", 400, "invalid-field", "line 3, currency"),
        (CSV, "sku,price\nA,1\n", 400, "invalid-field", "quantity"),
        (CSV, "sku,qty\n" + "A,1\n" * 6, 413, "too-large", "lines"),
        (JSON, "{", 400, "invalid-body", "body"),
        (JSON, "{}", 400, "invalid-field", "lines"),
        (JSON, '{"lines": [{"sku": "A"}]}', 400, "invalid-field", "lines[0].quantity"),
        (JSON, '{"lines": [{"quantity": 1}]}', 400, "invalid-field", "lines[0].sku"),
        (JSON, '{"lines": [{"sku": "A", "quantity": -1}]}', 400, "invalid-field", "lines[0].quantity"),
        (JSON, '{"lines": [{"sku": "A", "quantity": 1, "size": 1}]}', 400, "invalid-body", "lines[0].size"),
        (JSON, '{"lines": [], "poId": "mine"}', 400, "invalid-body", "poId"),
        (CSV, "sku,qty\nA\u202eB,1\n", 400, "invalid-field", "line 2, column sku"),
        (
            JSON,
            '{"lines": [{"sku": "A", "quantity": 1, "description": "\\u001b"}]}',
            400,
            "invalid-field",
            "lines[0].description",
        ),
        (TEXT, "Hello\r\n\f2 x Blue\x1bMug @ 4 EUR", 400, "invalid-field", "line 3"),
        (TEXT, "\n" * 25 + "1 x Mug", 413, "too-large", "body"),
        (TEXT, "x" * 2001, 413, "too-large", "body"),
        ("application/xml", "<a/>", 415, "unsupported-media-type", "Content-Type"),
        ("", "a", 415, "unsupported-media-type", "Content-Type"),
        ("text/csv; charset=utf-7", GOOD, 415, "unsupported-media-type", "Content-Type"),
    ],
)
async def test_an_invalid_order_is_refused_with_its_location(
    content_type: str, body: Any, status: int, code: str, field: str
) -> None:
    async with orders(max_lines=5, max_body_bytes=2000) as rig:
        answer = await rig.send(body, content_type)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["code"], problem["field"]) == (code, field)
        assert len(problem["detail"]) < 300
        assert (await rig.client.get("/tasks?kind=purchase-order")).json()["tasks"] == []
        assert (await rig.send(GOOD)).status_code == 202, "the next one is taken"


async def test_a_merchant_must_be_named() -> None:
    async with orders() as rig:
        for query in ("", "?merchantId=", "?merchantId=a:b", "?merchantId=a&merchantId=b"):
            answer = await rig.client.post(f"{ORDERS}{query}", content=GOOD, headers={"Content-Type": CSV})
            assert answer.status_code == 400
            assert answer.json()["field"] == "merchantId"


async def test_a_body_in_latin_1_is_read() -> None:
    async with orders() as rig:
        accepted = await rig.accept("name,qty\nCafé,1\n".encode("latin-1"), "text/csv; charset=ISO-8859-1")
        assert (await rig.ended(accepted))["lines"][0]["description"] == "Café"


async def test_orders_over_the_limit_get_503() -> None:
    async with orders(max_orders=2) as rig:
        for _ in range(2):
            await rig.accept(GOOD)
        answer = await rig.send(GOOD)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"


async def test_a_refused_task_leaves_no_order() -> None:
    settings = Settings()
    settings = attrs.evolve(settings, tasks=attrs.evolve(settings.tasks, max_per_kind=1, max_running=1))
    async with fake_server(hang) as shop, orders(settings, sync_url=shop.url, max_orders=2) as rig:
        await rig.accept(GOOD)
        for _ in range(3):  # more than the limit, so that a leaked slot would show
            answer = await rig.send(GOOD)
            assert answer.status_code == 503
            assert "purchase-order" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sync_url", "shop.example/orders"),
        ("sync_url", "ftp://shop.example"),
        ("sync_url", "http://[::1"),
        ("default_currency", "XXX"),
        ("default_merchant", "a:b"),
        ("merchant_currencies", ["shop"]),
        ("merchant_currencies", ["shop=Euro"]),
        ("merchant_currencies", ["=EUR"]),
        ("merchant_currencies", ["a/b=EUR"]),
        ("merchant_currencies", ["a=EUR", "a=USD"]),
    ],
)
def test_invalid_settings_stop_the_start(name: str, value: Any) -> None:
    with pytest.raises(SettingsError) as refused:
        load(Settings, environ={}, overrides={f"purchase_orders.{name}": value})
    assert refused.value.field == f"purchase_orders.{name}"
    with pytest.raises(ValueError, match=name):
        PurchaseOrderSettings(**{name: value})
