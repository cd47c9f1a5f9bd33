"""The implementations of the store of orders, each opened by a context manager; and orders to put in."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path

from streamd.clock import SteadyClock
from streamd.database import MEMORY, Database
from streamd.idempotency import IdempotencyKey
from streamd.redis import RedisLink, RedisStore
from streamd.services.purchase_orders.merchant_events import order_id_of
from streamd.services.purchase_orders.order import Format, Order, OrderLine, ReceivedOrder
from streamd.services.purchase_orders.store import OrderStore
from streamd.services.purchase_orders.store.redis import RedisOrderStore
from streamd.services.purchase_orders.store.sqlite import SQLiteOrderStore
from streamd.unreadable import UnreadableRecords
from tests.support.redis_links import open_link
from tests.support.redis_servers import new_prefix
from tests.support.task_stores import open_database

CSV = b"sku,qty\nA,1\n"
CURSOR = "0000000000001-000000"
MAX_ORDERS = 5

OpenOrders = Callable[[Path], AbstractAsyncContextManager[OrderStore]]


@asynccontextmanager
async def _open_sqlite(path: str) -> AsyncIterator[OrderStore]:
    database = Database(path)
    store = SQLiteOrderStore(database, max_orders=MAX_ORDERS)
    async with open_database(database):
        yield store


def _sqlite_memory(folder: Path) -> AbstractAsyncContextManager[OrderStore]:
    return _open_sqlite(MEMORY)


def _sqlite_file(folder: Path) -> AbstractAsyncContextManager[OrderStore]:
    return _open_sqlite(str(folder / "orders.db"))


@asynccontextmanager
async def _redis(folder: Path) -> AsyncIterator[OrderStore]:
    async with open_link() as link:
        yield redis_orders(link, new_prefix(), start_seconds=0)


def redis_orders(
    link: RedisLink, prefix: str, *, start_seconds: float = 60.0, max_orders: int = MAX_ORDERS
) -> RedisOrderStore:
    """Make a store, as one node has it.

    Args:
        link: of the node.
        prefix: of the keys.
        start_seconds: time for which other nodes leave an order without a task alone (s).
        max_orders: maximum number of stored orders.
    """
    return RedisOrderStore(
        RedisStore(link, prefix),
        SteadyClock(),
        UnreadableRecords(),
        max_orders=max_orders,
        start_seconds=start_seconds,
    )


ORDER_STORES: dict[str, OpenOrders] = {
    "sqlite:memory": _sqlite_memory,
    "sqlite:file": _sqlite_file,
    "redis": _redis,
}


def received(name: str, document: bytes = CSV) -> ReceivedOrder:
    """Make an order of the merchant ``shop`` whose workflow has a name."""
    return ReceivedOrder(order_id_of(name), "shop", name, Format.CSV, document)


def order_key(name: str = "k", document: bytes = CSV) -> IdempotencyKey:
    """Make an idempotency key of a document from the merchant ``shop``."""
    return IdempotencyKey.create(name, (Format.CSV, document.decode()), scope="shop")


def order(*skus: str) -> Order:
    """Make the content of an order with a line for each SKU, from the last to the first."""
    lines = [
        OrderLine(
            number=number,
            location=f"line {number}",
            quantity=number,
            sku=sku,
            unit_price=Decimal("4.50"),
            currency="EUR",
            tags=("a", "b"),
        )
        for number, sku in enumerate(skus, 1)
    ]
    return Order(
        lines=tuple(reversed(lines)), number="7", supplier="Ünits", currency="EUR", total=Decimal("9.00")
    )
