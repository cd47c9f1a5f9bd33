"""A server whose file has damaged rows: one answer each, and everything else as before."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamd.database import StoreSettings
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.api import SECONDS, check_problem
from tests.support.damage import damage
from tests.support.tasks_client import TasksApi

ORDERS = "/api/purchase-orders"
CSV = {"content": "sku,quantity\nA-1,2\n", "headers": {"Content-Type": "text/csv"}}
QUERY = {"areaId": "market_size", "companyId": "acme", "userRole": "CEO", "userCompany": "Co"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "streamd.db"


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[TasksApi]:
    async with run_server(Settings(store=StoreSettings(url=f"sqlite:{path}"))) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
            yield TasksApi(server, http)


async def check_unreadable(answer: httpx.Response, id: str) -> None:
    check_problem(answer, 500, "unreadable")
    assert id in answer.json()["detail"]


async def unreadable_records(api: TasksApi) -> dict[str, float]:
    """Return the metric: the number of damaged records by their type."""
    found = {}
    for line in (await api.http.get("/metrics")).text.splitlines():
        if line.startswith("streamd_unreadable_records_total{"):
            labels, _, value = line.partition("} ")
            found[labels.split('"')[1]] = float(value)
    return found


async def test_a_damaged_task_answers_500_and_is_left_out_of_lists(path: Path) -> None:
    async with serving(path) as api:
        bad = await api.create(id="bad", worker="w")
        good = await api.create(id="good", worker="w")
        await api.create(id="waits")
    damage(path, "UPDATE tasks SET body = substr(body, 1, 50) WHERE id = 'bad'")
    async with serving(path) as api:
        for _ in range(3):
            listed = (await api.http.get("/tasks")).json()["tasks"]
            assert [task["id"] for task in listed] == ["waits", "good"]
        await check_unreadable(await api.http.get("/tasks/bad"), "bad")
        await check_unreadable(await api.http.get("/tasks/bad/events"), "bad")
        await check_unreadable(await api.http.get("/tasks/bad/result"), "bad")
        await check_unreadable(await api.post("/tasks/bad/cancel"), "bad")
        report = {"lease": bad["lease"], "progress": 5}
        await check_unreadable(await api.http.patch("/tasks/bad", json=report), "bad")
        check_problem(await api.post("/tasks", kind="import", id="bad"), 409, "task-exists", "id")
        assert (await api.report(good, status="completed", result=1))["status"] == "completed"
        assert (await api.post("/tasks/claim", kinds=["import"], worker="w")).json()["id"] == "waits"
        assert await unreadable_records(api) == {"task": 1.0}
        assert (await api.http.get("/health/ready")).status_code == 200


async def test_a_damaged_session_is_an_error_for_its_own_urls(path: Path) -> None:
    async with serving(path) as api:
        areas = (await api.http.get("/research/areas")).json()["areas"]
        query = QUERY | {"areaId": areas[0]["areaId"]}
        ids = [
            (await api.http.post("/research/stream", json=query)).json()["researchSessionId"]
            for _ in range(2)
        ]
    damage(path, "UPDATE task_inputs SET input = x'7b7d' WHERE task = 1")  # an object without fields
    async with serving(path) as api:
        await check_unreadable(await api.http.get(f"/research/stream/{ids[0]}/status"), ids[0])
        status = await api.http.get(f"/research/stream/{ids[1]}/status")
        assert status.json()["companyId"] == "acme"


ORDER_DAMAGE = [
    "status = 'lost'",
    "format = 'image/png'",
    "warnings = '['",
    "warnings = '[1]'",
    "total = x'ff'",
    "note = CAST(x'ff' AS TEXT)",
    "confidence = 'high'",
]


@pytest.mark.parametrize("columns", ORDER_DAMAGE)
async def test_a_damaged_order_answers_500_and_the_others_do_not(path: Path, columns: str) -> None:
    async with serving(path) as api:
        urls = [await ended_order(api) for _ in range(2)]
    damage(path, f"UPDATE po_orders SET {columns} WHERE seq = 1")
    async with serving(path) as api:
        await check_unreadable(await api.http.get(urls[0]), urls[0].split("/")[-1].split("?")[0])
        assert (await api.http.get(urls[1])).json()["status"] == "completed"
        assert (await api.http.get(await ended_order(api))).json()["status"] == "completed"
        assert await unreadable_records(api) == {"purchase order": 1.0}


async def test_the_recovery_of_orders_passes_over_a_damaged_one(path: Path) -> None:
    async with serving(path) as api:
        urls = [await ended_order(api) for _ in range(2)]
    open_again = "UPDATE po_orders SET ended_at = NULL, status = 'processing'"
    damage(path, open_again)
    damage(path, "UPDATE tasks SET body = x'' WHERE seq = 1")
    damage(path, "UPDATE po_orders SET merchant_id = CAST(x'ff0a' AS TEXT) WHERE seq = 1")
    async with serving(path) as api:
        while (order := (await api.http.get(urls[1])).json())["endedAt"] is None:
            pass
        assert order["status"] == "completed"
        assert (await api.http.get(await ended_order(api))).json()["status"] == "completed"


async def ended_order(api: TasksApi) -> str:
    """Send an order, wait for the end of its task, and return its URL."""
    answer = await api.http.post(ORDERS, params={"merchantId": "shop"}, **CSV)  # type: ignore[arg-type]
    assert answer.status_code == 202, answer.text
    accepted: dict[str, str] = answer.json()
    while (await api.http.get(f"/tasks/{accepted['workflowId']}")).json()["ended_at"] is None:
        pass
    return accepted["statusUrl"]


ITEM_DAMAGE = [
    "timestamp_ms = 'noon'",
    "timestamp_ms = 1e300",
    "sentiment = 'happy'",
    "sentiment = x'ff'",
    "ticker = CAST(x'ff' AS TEXT)",
]


@pytest.mark.parametrize("columns", ITEM_DAMAGE)
async def test_a_damaged_item_is_left_out_of_the_totals(path: Path, columns: str) -> None:
    async with serving(path) as api:
        await send(api, "bad", "good")
    damage(path, f"UPDATE sentiment_items SET {columns} WHERE item_id = 'bad'")
    async with serving(path) as api:
        assert (await api.http.get("/api/v2/metrics")).json()["total"] == 1
        assert await unreadable_records(api) == {"sentiment item": 1.0}
        assert await send(api, "good") == 0
        assert await send(api, "new") == 1
        assert (await api.http.get("/api/v2/metrics")).json()["total"] == 2


async def test_an_item_is_stored_again_if_its_time_is_damaged(path: Path) -> None:
    async with serving(path) as api:
        await send(api, "bad", "good")
    damage(path, "UPDATE sentiment_items SET received_ms = 'noon' WHERE item_id = 'bad'")
    async with serving(path) as api:
        assert await send(api, "bad", "good") == 1
        assert await send(api, "bad", "good") == 0


async def send(api: TasksApi, *ids: str) -> Any:
    """Send items, and return the number of those that were new."""
    items = [{"ticker": "AAPL", "text": "Good.", "item_id": id} for id in ids]
    answer = await api.http.post("/api/v2/items", json={"items": items})
    assert answer.status_code == 202, answer.text
    return answer.json()["accepted"]
