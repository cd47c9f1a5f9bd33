"""Orders that end before their last stage: cancelled, past their deadline, or cut off by a restart."""

import sqlite3
from pathlib import Path
from typing import Any

from streamd.database import StoreSettings
from streamd.settings import Settings
from streamd.tasks import StepStatus, Task
from streamd.testing import StreamReader, open_stream
from tests.support.fake_server import fake_server, hang
from tests.support.messages import data_of
from tests.support.order_events import CSV, Events, outline
from tests.support.orders_rig import (
    Rig,
    orders,
)


async def until_sync(rig: Rig, accepted: dict[str, str]) -> None:
    async with open_stream(rig.url, path=accepted["eventsUrl"]) as reader:
        while (event := await reader.next_event()) is not None:
            if data_of(event)["stage"] == "shopify_sync":
                return


async def test_a_cancelled_order_keeps_its_lines() -> None:
    async with fake_server(hang) as shop, orders(sync_url=shop.url) as rig:
        accepted = await rig.accept(CSV)
        await until_sync(rig, accepted)
        await rig.client.post(f"/tasks/{accepted['workflowId']}/cancel", json={"message": "not wanted"})
        async with rig.follow(after="earliest") as reader:
            errors = await next_error(reader)
        order = await rig.order(accepted)
    assert errors["error"] == "not wanted"
    assert (order["status"], order["error"], len(order["lines"])) == ("cancelled", "not wanted", 2)


async def test_a_stage_whose_task_has_ended_reports_nothing_more() -> None:
    async with orders() as rig:
        tasks = rig.runtime.tasks
        perform = tasks.perform
        ended: list[str] = []

        async def perform_and_cancel(task_id: str, operation: Any, **options: Any) -> Task:
            """Cancel the task after the start of a stage, without cancelling the job."""
            task = await perform(task_id, operation, **options)
            if task.step == "database_save" and not ended:
                ended.append(task_id)
                tasks.on_end = lambda task_id: None
                await tasks.cancel(task_id, message="not wanted")
            return task

        tasks.perform = perform_and_cancel  # type: ignore[method-assign]
        accepted = await rig.accept(CSV)
        async with rig.follow(after="earliest") as reader:
            events: list[tuple[str, dict[str, Any]]] = []
            while not events or events[-1][0] != "error":
                event = await reader.next_event()
                assert event is not None
                events.append((event.type, data_of(event)))
        order = await rig.order(accepted)
    assert [(type, data["stage"]) for type, data in events[-2:]] == [
        ("stage", "database_save"),
        ("error", "database_save"),
    ]
    assert events[-1][1]["error"] == "not wanted"
    assert (order["status"], order["error"]) == ("cancelled", "not wanted")


async def test_an_order_ends_as_its_task_also_when_cancelled_after_its_last_progress() -> None:
    async with orders() as rig:
        tasks = rig.runtime.tasks
        perform = tasks.perform

        async def perform_and_cancel(task_id: str, operation: Any, **options: Any) -> Task:
            task = await perform(task_id, operation, **options)
            step = task.find_step("status_update")
            if step is not None and step.progress == 100 and not task.status.ended:
                await tasks.cancel(task_id, message="not wanted")
            return task

        tasks.perform = perform_and_cancel  # type: ignore[method-assign]
        accepted = await rig.accept(CSV)
        async with rig.follow(after="earliest") as reader:
            error = await next_error(reader)
        order = await rig.ended(accepted)
    assert (error["stage"], error["error"]) == ("status_update", "not wanted")
    assert (order["status"], order["failedStage"], order["error"]) == (
        "cancelled",
        "status_update",
        "not wanted",
    )
    assert order["endedAt"] == order["workflow"]["endedAt"]


async def test_an_order_stays_completed_when_cancelled_after_its_last_stage() -> None:
    async with orders() as rig:
        tasks = rig.runtime.tasks
        perform = tasks.perform
        shown: list[dict[str, Any]] = []

        async def perform_and_cancel(task_id: str, operation: Any, **options: Any) -> Task:
            task = await perform(task_id, operation, **options)
            step = task.find_step("status_update")
            if step is not None and step.progress == 100 and not shown:
                status_url = f"/api/purchase-orders/po-{task_id}?merchantId=shop"
                order = await rig.order({"statusUrl": status_url})
                if step.status is StepStatus.RUNNING:
                    assert (order["status"], order["endedAt"]) == ("saved", None)
                else:
                    shown.append(order)
                    await tasks.cancel(task_id, message="not wanted")
            return task

        tasks.perform = perform_and_cancel  # type: ignore[method-assign]
        accepted = await rig.accept(CSV)
        order = await rig.ended(accepted)
        while await rig.runtime.tasks.store.outbox_depth():
            pass  # the end of the order is being recorded
        recorded = await rig.order(accepted)
        after = await rig.accept(CSV)
        async with rig.follow(after="earliest") as reader:
            events = await events_before(reader, after["poId"])
    for found in (*shown, order, recorded):
        assert (found["status"], found["failedStage"], found["error"]) == ("completed", None, None)
    assert (order["workflow"]["status"], order["workflow"]["error"]) == ("cancelled", "not wanted")
    assert outline(events)[-1][:2] == ("completion", "status_update")


async def events_before(reader: StreamReader, po_id: str) -> Events:
    """Return the events before the first one of an order."""
    events: Events = []
    while (event := await reader.next_event()) is not None:
        if (data := data_of(event))["poId"] == po_id:
            return events
        events.append((event.type, data))
    raise EOFError


async def test_an_order_past_its_deadline_fails() -> None:
    async with fake_server(hang) as shop, orders(sync_url=shop.url, timeout_seconds=0.5) as rig:
        accepted = await rig.accept(CSV)
        async with rig.follow(after="earliest") as reader:
            error = await next_error(reader)
        order = await rig.order(accepted)
    assert "longer than the 0.5 s" in error["error"]
    assert (error["stage"], order["status"], len(order["lines"])) == ("shopify_sync", "failed", 2)


async def next_error(reader: Any) -> dict[str, Any]:
    while (event := await reader.next_event()) is not None:
        if event.type == "error":
            return data_of(event)
    raise EOFError


async def test_an_order_interrupted_by_a_restart_fails(tmp_path: Path) -> None:
    settings = Settings(store=StoreSettings(url=f"sqlite:{tmp_path / 'db'}"))
    async with fake_server(hang) as shop, orders(settings, sync_url=shop.url) as rig:
        accepted = await rig.accept(CSV)
        await until_sync(rig, accepted)
    async with orders(settings) as rig:
        async with rig.follow(after="earliest") as reader:
            error = await next_error(reader)
        order = await rig.order(accepted)
        assert (await rig.ended(await rig.accept(CSV)))["status"] == "completed"
    assert error["poId"] == accepted["poId"]
    assert "restarted" in error["error"]
    assert (order["status"], [line["quantity"] for line in order["lines"]]) == ("failed", [12, 2])
    with sqlite3.connect(tmp_path / "db") as db:
        assert db.execute("SELECT sku, status FROM po_products").fetchall() == [("BM-1", "draft")]
        assert db.execute("SELECT orders FROM po_merchants").fetchall() == [(2,)]
        assert db.execute("SELECT count(*) FROM po_orders WHERE document IS NOT NULL").fetchone() == (0,)
    db.close()


async def test_an_order_stored_without_a_task_fails_and_its_merchant_learns_of_it(tmp_path: Path) -> None:
    settings = Settings(store=StoreSettings(url=f"sqlite:{tmp_path / 'db'}"))
    async with orders(settings) as rig:
        accepted = await rig.accept(CSV)
        await rig.ended(accepted)
    with sqlite3.connect(tmp_path / "db") as db:  # as a kill leaves it between the two
        db.execute("DELETE FROM tasks")
        db.execute("UPDATE po_orders SET status = 'received', ended_at = NULL")
    db.close()
    async with orders(settings) as rig:
        async with rig.follow(after="earliest") as reader:
            error = await next_error(reader)
        while (order := await rig.order(accepted))["endedAt"] is None:
            pass
    assert error == {
        "stage": "merchant_config",
        "poId": accepted["poId"],
        "workflowId": accepted["workflowId"],
        "error": "its processing was interrupted",
    }
    assert (order["status"], order["failedStage"], order["error"]) == (
        "failed",
        error["stage"],
        error["error"],
    )


async def test_a_task_without_an_order_fails_with_a_code() -> None:
    async with orders() as rig:
        accepted = await rig.accept(CSV)
        await rig.ended(accepted)
        for given in ({"poId": accepted["poId"]}, {"poId": 7}, None):
            made = await rig.runtime.tasks.create("purchase-order", input=given)
            async with open_stream(rig.url, path=f"/tasks/{made.id}/events") as reader:
                while await reader.next_event() is not None:
                    pass
            task = (await rig.client.get(f"/tasks/{made.id}")).json()
            assert task["error"]["code"] == "no-order"
        refused = await rig.client.post("/tasks", json={"kind": "purchase-order", "input": None})
        assert (refused.status_code, refused.json()["field"]) == (400, "kind")
