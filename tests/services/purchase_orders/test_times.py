"""The times of an order never run backwards, whatever the wall clock is set to."""

import pytest
import trio.testing

from streamd.clock import SteadyClock
from streamd.database import Database
from streamd.services.purchase_orders.merchant_events import order_id_of
from streamd.services.purchase_orders.order import Format, OrderEnd, OrderStatus, ReceivedOrder
from streamd.services.purchase_orders.store.sqlite import SQLiteOrderStore
from tests.support.clocks import WallClock
from tests.support.task_stores import open_database


@pytest.mark.parametrize("step", [-3600, -0.4, 0, 86_400])
async def test_an_order_never_ends_before_it_was_received(
    step: float, mock_clock: trio.testing.MockClock
) -> None:
    wall = WallClock()
    database = Database(clock=SteadyClock(wall))
    store = SQLiteOrderStore(database, max_orders=10)
    async with open_database(database):
        wall.step(100)
        order = ReceivedOrder(order_id_of("w"), "shop", "w", Format.CSV, b"")
        await store.receive(order, "0000000000001-000000")
        wall.step(step)
        await store.end("w", OrderEnd(OrderStatus.FAILED, wall()))
        stored = await store.find(order.po_id, "shop")
        assert stored is not None
        assert stored.ended_at is not None
        assert stored.created_at == "2026-01-02T12:01:40.000Z"
        assert stored.ended_at >= stored.created_at
