"""Orders that a killed process has stored, and whose task it has not created."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import attrs
import pytest
import trio

from streamd import Streamd
from streamd.errors import NotFound, OutcomeUnknown, StreamdError, Unavailable
from streamd.events import EARLIEST, Selectors
from streamd.services.purchase_orders.job import KIND
from streamd.services.purchase_orders.merchant_events import order_id_of, topics_of
from streamd.services.purchase_orders.order import OrderEnd, OrderReceipt, OrderStatus
from streamd.services.purchase_orders.receiving import find_task, start_order
from streamd.services.purchase_orders.recovery import keep_recovering, recover_orders
from streamd.services.purchase_orders.store import OrderStore
from streamd.services.purchase_orders.store.sqlite import SQLiteOrderStore
from streamd.tasks import Kind
from streamd.tasks.store.port import Bounds
from tests.support.clocks import NOON
from tests.support.order_stores import CURSOR, order_key, received, redis_orders
from tests.support.redis_links import open_link
from tests.support.redis_servers import new_prefix


@attrs.frozen
class Restarted:
    """A server before its recovery; the process before has stored an order, and no task."""

    streamd: Streamd
    store: OrderStore
    numbers: Iterator[int] = attrs.field(factory=count)

    async def send_again(self, name: str = "k") -> OrderReceipt:
        again = received(f"again-{next(self.numbers)}")
        return await start_order(self.streamd, self.store, again, order_key(name))

    async def status(self, name: str = "w") -> OrderStatus:
        stored = await self.store.find(order_id_of(name), "shop")
        assert stored is not None
        return stored.status

    async def merchant_events(self) -> list[str | None]:
        selectors = Selectors(topics=tuple(topics_of("shop")))
        log = self.streamd.runtime.broker.log
        page = await log.read(selectors, EARLIEST, max_events=100, max_bytes=1_000_000)
        return [event.type for event in page.events]


class FailingCreation:
    """A streamd that creates no task."""

    head = EARLIEST

    def __init__(self, error: StreamdError) -> None:
        self.tasks = self
        self._error = error

    async def create(self, kind: str, **fields: Any) -> None:
        await trio.lowlevel.checkpoint()
        raise self._error


@pytest.fixture(params=["sqlite", "redis"])
async def restarted(request: pytest.FixtureRequest) -> AsyncIterator[Restarted]:
    async with restarted_server(request.param) as server:
        yield server


@asynccontextmanager
async def restarted_server(kind: str) -> AsyncIterator[Restarted]:
    streamd = Streamd()
    streamd.tasks.register(Kind(name=KIND))
    async with AsyncExitStack() as stack:
        if kind == "redis":
            link = await stack.enter_async_context(open_link())
            store: OrderStore = redis_orders(link, new_prefix(), start_seconds=0, max_orders=100)
        else:
            store = SQLiteOrderStore(streamd.database, max_orders=100)
        await stack.enter_async_context(streamd.running())
        await store.receive(received("w"), CURSOR, order_key())
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
        await restarted.store.receive(received(name), CURSOR, order_key(name))
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


async def test_an_order_that_two_nodes_receive_has_one_task() -> None:
    streamd = Streamd()
    streamd.tasks.register(Kind(name=KIND))
    receipts: list[OrderReceipt] = []
    async with open_link() as link, streamd.running():
        prefix = new_prefix()
        stores = [redis_orders(link, prefix, max_orders=100) for _ in range(2)]

        async def send(number: int) -> None:
            store = stores[number % 2]
            receipts.append(await start_order(streamd, store, received(f"w{number}"), order_key()))

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(send, number)
        [receipt] = set(receipts)
        assert len(receipts) == 10
        assert [task.id for task in await streamd.tasks.store.find(limit=10)] == [receipt.workflow_id]
        for store in stores:
            assert await store.find(receipt.po_id, "shop") is not None


async def test_an_order_stays_if_its_task_may_have_been_created(restarted: Restarted) -> None:
    streamd = FailingCreation(OutcomeUnknown("the reply was lost"))
    with pytest.raises(OutcomeUnknown):
        await start_order(streamd, restarted.store, received("v"), None)  # type: ignore[arg-type]
    assert await restarted.store.is_open("po-v")
    streamd = FailingCreation(Unavailable("full"))
    with pytest.raises(Unavailable):
        await start_order(streamd, restarted.store, received("u"), None)  # type: ignore[arg-type]
    assert not await restarted.store.is_open("po-u")


async def test_one_node_recovers_the_orders_of_all() -> None:
    streamd = Streamd()
    streamd.tasks.register(Kind(name=KIND))
    async with open_link() as link, streamd.running(), trio.open_nursery() as nursery:
        prefix = new_prefix()
        store = redis_orders(link, prefix, start_seconds=0)
        await store.receive(received("w"), CURSOR)
        for _ in range(2):
            nursery.start_soon(keep_recovering, streamd, redis_orders(link, prefix))
        while await store.is_open("po-w"):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert streamd.runtime.broker.log.head != EARLIEST
