"""``Idempotency-Key`` of purchase orders: an order that is sent again is processed once."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx
import pytest

from streamd.database import Database, StoreSettings
from streamd.idempotency import IdempotencyKey
from streamd.services.purchase_orders.merchant_events import order_id_of
from streamd.services.purchase_orders.order import Format, ReceivedOrder
from streamd.services.purchase_orders.store.sqlite import SQLiteOrderStore
from streamd.services.purchase_orders.tables import COMPONENT, MIGRATIONS
from streamd.settings import Settings
from streamd.tasks import TaskSettings
from streamd.tasks.store.port import Bounds
from tests.support.api import check_problem
from tests.support.at_once import post_at_once
from tests.support.fake_server import fake_server, hang, respond
from tests.support.orders_rig import ORDERS, Rig, orders
from tests.support.task_stores import open_database

HEADER = "Idempotency-Key"
CSV = "sku,description,quantity,unit price\nMUG-1,Blue mug,12,4.50\n"
DOCUMENTS = {
    "text/csv": CSV,
    "application/json": '{"lines": [{"sku": "MUG-1", "quantity": 12, "unitPrice": "4.50"}]}',
    "text/plain": "Please send\n12 x Blue Mug (MUG-1) @ 4.50 EUR\n",
}


@pytest.fixture(params=["memory:", "sqlite"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = request.param if request.param == "memory:" else f"sqlite:{tmp_path / 'db'}"
    return Settings(store=StoreSettings(url=url))


@pytest.fixture
async def rig(settings: Settings) -> AsyncIterator[Rig]:
    async with orders(settings) as rig:
        yield rig


async def send(
    rig: Rig, document: str | bytes = CSV, type: str = "text/csv", *, key: str = "k", merchant: str = "shop"
) -> httpx.Response:
    headers = {"Content-Type": type, HEADER: key}
    return await rig.client.post(
        ORDERS, params={"merchantId": merchant} if merchant else {}, content=document, headers=headers
    )


async def count_orders(rig: Rig) -> int:
    return await rig.runtime.database.read(lambda db: int(db.execute("SELECT count(*) FROM po_orders").get))


def check_same(first: httpx.Response, again: httpx.Response) -> None:
    """Check that both are the answer to one order."""
    assert (first.status_code, again.status_code) == (202, 202), again.text
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]


@pytest.mark.parametrize("type", DOCUMENTS)
async def test_an_order_sent_again_is_the_same_order(settings: Settings, type: str) -> None:
    async with fake_server(respond(201, b'{"id": 4711}')) as shop, orders(settings, sync_url=shop.url) as rig:
        first = await send(rig, DOCUMENTS[type], type)
        check_same(first, await send(rig, DOCUMENTS[type], type))
        order = await rig.ended(first.json())
        assert order["status"] == "completed"
        again = await send(rig, DOCUMENTS[type], type)  # its document is deleted by now
        check_same(first, again)
        first_event, _ = (await rig.events_of(again.json()))[0]
        assert first_event == "stage"
        assert (await count_orders(rig), len(shop.requests)) == (1, 1)


async def test_another_document_under_the_key_is_a_conflict(rig: Rig) -> None:
    await send(rig)
    others = [
        ("text/csv", CSV + "\n"),
        ("text/plain", CSV),
        ("application/json", DOCUMENTS["application/json"]),
    ]
    for type, document in others:
        check_problem(await send(rig, document, type), 409, "idempotency-conflict", HEADER)
    assert await count_orders(rig) == 1


async def test_the_charset_is_not_part_of_the_document(rig: Rig) -> None:
    document = CSV.replace("Blue", "Blå")
    first = await send(rig, document.encode(), "text/csv; charset=utf-8")
    check_same(first, await send(rig, document.encode("latin-1"), "text/csv; charset=iso-8859-1"))


async def test_merchants_have_keys_of_their_own(rig: Rig) -> None:
    ids = [(await send(rig, merchant=merchant)).json()["poId"] for merchant in ("a", "b", "a", "b")]
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2
    check_problem(await send(rig, CSV + "\n", merchant="b"), 409, "idempotency-conflict", HEADER)


async def test_orders_without_a_key_or_under_another_one_are_new(rig: Rig) -> None:
    answers = [await send(rig), await send(rig, key="l"), await rig.send(CSV), await rig.send(CSV)]
    assert len({answer.json()["poId"] for answer in answers}) == 4


async def test_rejected_orders_use_up_no_key(rig: Rig) -> None:
    assert (await send(rig, "sku,quantity\nA,many\n")).status_code == 400
    assert (await send(rig, CSV, "application/xml")).status_code == 415
    assert (await send(rig, CSV, merchant="")).status_code == 400
    check_problem(await send(rig, key="a b"), 400, "invalid-field", HEADER)
    assert await count_orders(rig) == 0
    assert (await send(rig)).status_code == 202


async def test_orders_at_the_same_moment_are_one(rig: Rig) -> None:
    for key in map(str, range(5)):
        headers = {"Content-Type": "text/csv", HEADER: key}
        answers = await post_at_once(rig.url, f"{ORDERS}?merchantId=shop", CSV.encode(), headers, times=3)
        assert [status for status, _ in answers] == [202] * 3
        assert answers[0] == answers[1] == answers[2]
    assert await count_orders(rig) == 5


async def test_orders_at_the_same_moment_that_get_no_task_use_up_no_key(settings: Settings) -> None:
    settings = attrs.evolve(settings, tasks=TaskSettings(max_per_kind=1))
    headers = {"Content-Type": "text/csv", HEADER: "k"}
    async with fake_server(hang) as shop, orders(settings, sync_url=shop.url) as rig:
        unfinished = await rig.accept(CSV)
        answers = await post_at_once(rig.url, f"{ORDERS}?merchantId=shop", CSV.encode(), headers, times=3)
        assert [status for status, _ in answers] == [503] * 3
        assert await count_orders(rig) == 1
        await rig.client.post(f"/tasks/{unfinished['workflowId']}/cancel")
        assert (await send(rig, CSV + "\n")).status_code == 202


async def test_the_key_is_kept_as_long_as_the_order_not_only_its_task(rig: Rig) -> None:
    first = await send(rig)
    await rig.ended(first.json())
    store, none = rig.runtime.tasks.store, Bounds(keep_seconds=0, max_kept=0)
    later = datetime.now(UTC) + timedelta(hours=1)
    while not await store.expire(later, {}, none, tombstone_seconds=0, max_tombstones=0):
        pass  # the end of the order is being recorded
    check_same(first, await send(rig))
    assert await count_orders(rig) == 1


# --- restarts -------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path) -> Settings:
    return Settings(store=StoreSettings(url=f"sqlite:{tmp_path / 'db'}"))


async def test_the_key_survives_a_restart(stored: Settings) -> None:
    async with orders(stored) as rig:
        first = await send(rig)
        await rig.ended(first.json())
    async with orders(stored) as rig:
        again = await send(rig)
        check_same(first, again)
        check_problem(await send(rig, CSV + "\n"), 409, "idempotency-conflict", HEADER)
        assert await count_orders(rig) == 1


async def test_a_full_store_takes_no_key_and_returns_the_orders_of_known_ones(stored: Settings) -> None:
    async with orders(stored, max_orders=1) as rig:
        first = await send(rig)
        check_problem(await send(rig, key="l"), 503, "unavailable")
        check_same(first, await send(rig))
    async with orders(stored, max_orders=2) as rig:
        assert (await send(rig, CSV + "\n", key="l")).status_code == 202


async def test_an_order_whose_process_died_before_its_task_is_processed(
    stored: Settings, tmp_path: Path
) -> None:
    """Without a key it fails instead, because its sender makes another order."""
    database = Database(str(tmp_path / "db"))
    store = SQLiteOrderStore(database, max_orders=10)
    received = ReceivedOrder(order_id_of("w"), "shop", "w", Format.CSV, CSV.encode())
    key = IdempotencyKey.create("k", (Format.CSV, CSV), scope="shop")
    async with open_database(database):
        assert await store.receive(received, "0000000000001-000000", key) is None
    async with orders(stored) as rig:
        again = (await send(rig)).json()
        assert (again["poId"], again["workflowId"]) == (received.po_id, "w")
        cursor = parse_qs(urlsplit(again["eventsUrl"]).query)["last_event_id"]
        assert cursor == ["0000000000001-000000"]
        while (order := await rig.order(again))["endedAt"] is None:
            pass
        assert (order["status"], await count_orders(rig)) == ("completed", 1)


async def test_a_file_of_the_schema_before_takes_keys(stored: Settings, tmp_path: Path) -> None:
    database = Database(str(tmp_path / "db"))
    database.require(COMPONENT, MIGRATIONS[:1])
    async with open_database(database):
        pass
    async with orders(stored) as rig:
        check_same(await send(rig), await send(rig))
    with closing(sqlite3.connect(tmp_path / "db")) as db:
        assert db.execute("SELECT merchant_id, key FROM po_keys").fetchall() == [("shop", "k")]


def test_the_database_has_at_most_one_order_for_a_key(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db")) as db:
        for script in MIGRATIONS:
            db.executescript(script)
        row: tuple[Any, ...] = ("shop", "k", b"", "")
        db.execute("INSERT INTO po_keys VALUES ('a', ?, ?, ?, ?)", row)
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("INSERT INTO po_keys VALUES ('b', ?, ?, ?, ?)", row)
