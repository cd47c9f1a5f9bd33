"""Sending an order to the shop, over real sockets: retries and final rejections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import attrs
import httpx
import pytest
import structlog.testing
import trio

from streamd.config import RetrySettings
from streamd.services.purchase_orders.order import Order, OrderLine
from streamd.services.purchase_orders.settings import PurchaseOrderSettings
from streamd.services.purchase_orders.shop import Shop, SyncFailed, make_payload, read_order_id
from tests.support.fake_server import Answer, Exchange, FakeServer, fake_server, hang, hang_up, raw, respond
from tests.support.json_texts import nested
from tests.support.orders_rig import CUT_OFF

QUICK_RETRY = RetrySettings(attempts=4, backoff_seconds=0.001, max_wait_seconds=30)
TAKEN = respond(201, b'{"id": 4711}')


@asynccontextmanager
async def shop(*answers: Answer, **options: Any) -> AsyncIterator[tuple[Shop, FakeServer, list[str]]]:
    settings = {"retry": QUICK_RETRY, "sync_token": "secret", **options}
    async with fake_server(*answers) as server, httpx.AsyncClient(timeout=None) as client:
        yield Shop(client, PurchaseOrderSettings(sync_url=f"{server.url}/in", **settings)), server, []


async def send(made: tuple[Shop, FakeServer, list[str]]) -> str:
    async def waiting(why: str) -> None:
        made[2].append(why)

    return (await made[0].send(b'{"order": 1}', "po-1", waiting)).order_id


async def test_an_order_is_posted_once_with_its_token_and_key() -> None:
    async with shop(TAKEN) as made:
        assert await send(made) == "4711"
        [request] = made[1].requests
    assert (request.method, request.target, request.body) == ("POST", "/in", b'{"order": 1}')
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["idempotency-key"] == "po-1"
    assert request.headers["content-type"] == "application/json"
    assert made[2] == []


@pytest.mark.parametrize(
    "passing",
    [
        respond(500),
        respond(503),
        respond(408),
        respond(425),
        respond(429),
        CUT_OFF,
        hang_up,
        respond(200, b"{}"),
        respond(200, b"{"),
        raw(b"x\r\n"),
    ],
)
async def test_transient_failures_are_retried_with_the_same_key(passing: Answer) -> None:
    async with shop(passing, passing, TAKEN) as made:
        assert await send(made) == "4711"
        requests = made[1].requests
    assert len(requests) == 3
    assert {request.headers["idempotency-key"] for request in requests} == {"po-1"}
    assert [why.partition(":")[0] for why in made[2]] == ["Attempt 1 of 4 failed", "Attempt 2 of 4 failed"]


async def test_the_log_says_why_an_attempt_is_retried() -> None:
    with structlog.testing.capture_logs() as logs:
        async with shop(hang_up, respond(503), TAKEN) as made:
            await send(made)
    assert [(entry["event"], entry["order"], entry["attempts"]) for entry in logs] == [
        ("shop_sync_retried", "po-1", 1),
        ("shop_sync_retried", "po-1", 2),
    ]
    assert "RemoteProtocolError" in logs[0]["cause"]
    assert (logs[1]["reason"], logs[1]["cause"]) == ("the shop answered 503", None)
    assert "secret" not in str(logs)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 409, 422])
async def test_a_rejection_is_not_retried(status: int) -> None:
    async with shop(respond(status, headers={"Location": "/in"}), TAKEN) as made:
        with pytest.raises(SyncFailed, match=f"refused the order with status {status}"):
            await send(made)
        assert len(made[1].requests) == 1


async def test_attempts_are_bounded() -> None:
    async with shop(respond(500)) as made:
        with pytest.raises(SyncFailed, match="in 4 attempts: the shop answered 500"):
            await send(made)
        assert len(made[1].requests) == 4


async def test_a_silent_shop_times_out() -> None:
    async with shop(hang, sync_timeout_seconds=0.05, retry=attrs.evolve(QUICK_RETRY, attempts=2)) as made:
        with pytest.raises(SyncFailed, match=r"in 2 attempts: no answer within 0\.05 s"):
            await send(made)
        assert len(made[1].requests) == 2


async def test_an_unreachable_shop_is_retried() -> None:
    async with fake_server(TAKEN) as server:
        url = server.url
    async with httpx.AsyncClient() as client:
        settings = PurchaseOrderSettings(sync_url=url, retry=attrs.evolve(QUICK_RETRY, attempts=2))
        with pytest.raises(SyncFailed, match="no connection could be made"):
            await send((Shop(client, settings), server, []))


async def test_retry_after_is_honoured() -> None:
    moments: list[float] = []

    async def busy(exchange: Exchange) -> None:
        moments.append(trio.current_time())
        answer = respond(429, headers={"Retry-After": "1"}) if len(moments) == 1 else TAKEN
        await answer(exchange)

    async with shop(busy) as made:
        assert await send(made) == "4711"
    assert moments[1] - moments[0] >= 1


async def test_a_too_long_retry_after_ends_the_retries() -> None:
    async with shop(respond(503, headers={"Retry-After": "31"}), TAKEN) as made:
        with pytest.raises(SyncFailed, match="asked to wait 31 s"):
            await send(made)
        assert len(made[1].requests) == 1


async def test_an_oversized_answer_is_refused() -> None:
    async with shop(respond(200, b"x" * 2000), sync_max_answer_bytes=1000) as made:
        with pytest.raises(SyncFailed, match="larger than 1000 bytes"):
            await send(made)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"id": 1}', "1"),
        (b'{"id": "gid://shopify/Order/1"}', "gid://shopify/Order/1"),
        (b'{"order": {"id": 5}}', "5"),
        (b'{"id": null, "order": {"id": 5}}', None),
        (b'{"id": true}', None),
        (b'{"id": ""}', None),
        (b'{"id": "a\\u0000"}', None),
        (b'{"id": 1.5}', None),
        (b"[1]", None),
    ],
)
def test_the_order_id_of_an_answer(body: bytes, found: str | None) -> None:
    assert read_order_id(body) == found


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the answer is empty"),
        (b"{", "the answer is not valid JSON: it ends too early"),
        (b'{"id": "\xff"}', r"id is not valid UTF-8 \(byte 8\)"),
        (b'{"id": 1, "id": 2}', 'the answer has two members named "id"'),
        (b'{"id": 1, "tags": ' + nested(64) + b"}", "tags is nested deeper than 64 levels"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_named(body: bytes, says: str) -> None:
    async with shop(respond(200, body)) as made:
        with pytest.raises(SyncFailed, match=f"the shop's answer cannot be read: {says}"):
            await send(made)


def test_the_payload_has_money_as_text() -> None:
    line = OrderLine(
        number=1, location="line 2", quantity=2, sku="A", unit_price=Decimal("4.50"), total=Decimal(9)
    )
    order = Order(lines=(line,), currency="EUR", total=Decimal("9.00"))
    payload = make_payload("po-1", "shop", order)["order"]
    assert payload["total_price"] == "9.00"
    assert payload["line_items"] == [
        {"sku": "A", "title": "A", "quantity": 2, "price": "4.50", "product_type": "", "tags": []}
    ]
    assert (payload["source_identifier"], payload["name"]) == ("po-1", "po-1")
