"""Orders that a killed process has stored, and whose task it has not created."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count

import attrs
import pytest
import trio

from streamd import Streamd
from streamd.errors import NotFound
from streamd.events import EARLIEST, Selectors
from streamd.idempotency import IdempotencyKey
from streamd.services.purchase_orders.job import KIND
from streamd.services.purchase_orders.merchant_events import order_id_of, topics_of
from streamd.services.purchase_orders.order import Format, OrderEnd, OrderReceipt, OrderStatus, ReceivedOrder
from streamd.services.purchase_orders.receiving import find_task, start_order
from streamd.services.purchase_orders.recovery import recover_orders
from streamd.services.purchase_orders.store import OrderStore
from streamd.tasks import Kind
from streamd.tasks.store.port import Bounds
from tests.support.clocks import NOON

CURSOR = "0000000000001-000000"
CSV = b"sku,qty\nA,1\n"


def received(name: str) -> ReceivedOrder:
    return ReceivedOrder(order_id_of(name), "shop", name, Format.CSV, CSV)


def key(name: str = "k") -> IdempotencyKey:
    return IdempotencyKey.create(name, (Format.CSV, CSV.decode()), scope="shop")


@attrs.frozen
class Restarted:
    """A server before its recovery; the process before has stored an order, and no task."""

    streamd: Streamd
    store: OrderStore
    numbers: Iterator[int] = attrs.field(factory=count)

    async def send_again(self, name: str = "k") -> OrderReceipt:
        return await start_order(self.streamd, self.store, received(f"again-{next(self.numbers)}"), key(name))

    async def status(self, name: str = "w") -> OrderStatus:
        stored = await self.store.find(order_id_of(name), "shop")
        assert stored is not None
        return stored.status

    async def merchant_events(self) -> list[str | None]:
        selectors = Selectors(topics=tuple(topics_of("shop")))
        log = self.streamd.runtime.broker.log
        page = await log.read(selectors, EARLIEST, max_events=100, max_bytes=1_000_000)
        return [event.type for event in page.events]


@pytest.fixture
async def restarted() -> AsyncIterator[Restarted]:
    async with restarted_server() as server:
        yield server


@asynccontextmanager
async def restarted_server() -> AsyncIterator[Restarted]:
    streamd = Streamd()
    store = OrderStore(streamd.database, max_orders=100)
    streamd.tasks.register(Kind(name=KIND))
    async with streamd.running():
        await store.receive(received("w"), CURSOR, key())
        yield Restarted(streamd, store)


async def test_an_order_sent_again_before_the_recovery_has_its_task(restarted: Restarted) -> None:
    assert await restarted.send_again() == OrderReceipt(order_id_of("w"), "w", CURSOR)
    task = await restarted.streamd.tasks.get("w")
    assert (task.kind, task.owner) == (KIND, "shop")
    await recover_orders(restarted.streamd, restarted.store)
    assert await restarted.send_again() == OrderReceipt(order_id_of("w"), "w", CURSOR)
    assert await restarted.status() is OrderStatus.RECEIVED


async def test_an_order_sent_again_during_the_recovery_is_processed_once(restarted: Restarted) -> None:
    names = [f"w{number}" for number in range(20)]
    for name in names:
        await restarted.store.receive(received(name), CURSOR, key(name))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recover_orders, restarted.streamd, restarted.store)
        for name in [*names, *reversed(names)]:
            nursery.start_soon(restarted.send_again, name)
    for name in names:
        assert (await restarted.streamd.tasks.get(name)).version == 1
        assert await restarted.status(name) is OrderStatus.RECEIVED
    assert await restarted.merchant_events() == []


async def test_an_ended_order_sent_again_gets_no_other_task(restarted: Restarted) -> None:
    await restarted.store.end("w", OrderEnd(OrderStatus.FAILED, NOON))
    assert (await restarted.send_again()).workflow_id == "w"
    with pytest.raises(NotFound):
        await restarted.streamd.tasks.get("w")


async def test_an_order_whose_task_was_deleted_is_ended_by_the_recovery(restarted: Restarted) -> None:
    await restarted.send_again()
    tasks = restarted.streamd.tasks
    await tasks.cancel("w")
    later, none = tasks.now() + timedelta(hours=1), Bounds(keep_seconds=0, max_kept=0)
    while not await tasks.store.expire(later, {}, none, tombstone_seconds=1e6, max_tombstones=9):
        await trio.lowlevel.checkpoint()  # its last event is being published
    assert (await restarted.send_again()).workflow_id == "w"
    assert await find_task(restarted.streamd, "w") is None
    await recover_orders(restarted.streamd, restarted.store)
    assert await restarted.status() is OrderStatus.FAILED
    assert await restarted.merchant_events() == ["error"]
