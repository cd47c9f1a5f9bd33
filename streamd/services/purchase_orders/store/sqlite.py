"""Orders in the database of one node. Each method is one transaction or one read."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import apsw
import attrs
import msgspec
import trio

from ....database import Database
from ....errors import Unreadable
from ....events import format_time
from ....idempotency import IdempotencyKey
from ....unreadable import DAMAGE, as_text
from ..order import Image, Notice, Order, OrderEnd, OrderLine, OrderReceipt, ReceivedOrder
from ..stored import StoredOrder, find_order, read_order
from ..tables import COMPONENT, MIGRATIONS
from .port import full


class SQLiteOrderStore:
    """Orders in SQLite; see :class:`.port.OrderStore`.

    Args:
        database: must not be open yet; the tables are declared on it.
        max_orders: maximum number of stored orders.
    """

    is_shared: bool = False

    def __init__(self, database: Database, *, max_orders: int) -> None:
        self._database = database
        self.max_orders = max_orders
        self.starting: Final[dict[str, trio.Event]] = {}
        database.require(COMPONENT, MIGRATIONS)

    async def hold(self, work: Callable[[], Awaitable[None]]) -> None:
        await work()

    # --- receiving ------------------------------------------------------------------------------

    async def receive(
        self, received: ReceivedOrder, cursor: str, key: IdempotencyKey | None = None
    ) -> OrderReceipt | None:
        now = self._now()

        def receive(db: apsw.Connection) -> OrderReceipt | None:
            if key is not None and (known := _find_receipt(db, key)) is not None:
                return known
            if db.execute("SELECT count(*) FROM po_orders").get >= self.max_orders:
                raise full(self.max_orders)
            self._database.room.check()
            db.execute(
                "INSERT INTO po_orders"
                " (po_id, merchant_id, workflow_id, status, format, document, created_at)"
                " VALUES (:po_id, :merchant_id, :workflow_id, 'received', :format, :document, :now)",
                attrs.asdict(received) | {"format": received.format.value, "now": now},
            )
            if key is not None:
                db.execute(
                    "INSERT INTO po_keys VALUES (?, ?, ?, ?, ?)",
                    (received.po_id, key.scope, key.text, key.fingerprint, cursor),
                )
            return None

        return await self._database.write(receive)

    async def forget(self, po_id: str) -> None:
        await self._write("DELETE FROM po_orders WHERE po_id = ?", po_id)

    async def begin(self, po_id: str) -> None:
        await self._write(
            "UPDATE po_orders SET status = 'processing' WHERE po_id = ? AND ended_at IS NULL", po_id
        )

    async def is_open(self, po_id: str) -> bool:
        row = await self._read("SELECT 1 FROM po_orders WHERE po_id = ? AND ended_at IS NULL", po_id)
        return row is not None

    async def document(self, po_id: str) -> ReceivedOrder | None:
        row = await self._read(
            "SELECT po_id, CAST(merchant_id AS BLOB), workflow_id, CAST(format AS BLOB),"
            " CAST(document AS BLOB) FROM po_orders WHERE po_id = ? AND document IS NOT NULL",
            po_id,
        )
        if row is None:
            return None
        po_id, merchant_id, workflow_id, format, document = row
        try:
            return ReceivedOrder(po_id, merchant_id.decode(), workflow_id, format.decode(), document)
        except DAMAGE as error:
            raise self._unreadable(po_id, error) from error

    # --- merchants and their products -------------------------------------------------------------

    async def count_order(self, merchant_id: str, po_id: str) -> int:
        [count] = await self._write(
            "INSERT INTO po_merchants VALUES (?, 1, (SELECT created_at FROM po_orders WHERE po_id = ?))"
            " ON CONFLICT DO UPDATE SET orders = orders + 1 RETURNING orders",
            merchant_id,
            po_id,
        )
        return int(count)

    async def draft_products(self, merchant_id: str, po_id: str, lines: Sequence[OrderLine]) -> int:
        now = self._now()

        def draft(db: apsw.Connection) -> int:
            before = db.total_changes()
            db.execute(
                "INSERT INTO po_products SELECT :merchant_id, value->>'sku', 'draft',"
                " iif(value->>'description' = '', value->>'sku', value->>'description'),"
                " value->>'short_description', value->>'category', value->'tags', value->>'unit_price',"
                " value->>'currency', :po_id, :now FROM json_each(:lines) WHERE value->>'sku' <> ''"
                " ON CONFLICT DO NOTHING",
                {"merchant_id": merchant_id, "po_id": po_id, "now": now, "lines": _json(lines)},
            )
            return db.total_changes() - before

        return await self._database.write(draft)

    # --- saving -----------------------------------------------------------------------------------

    async def save_header(
        self, po_id: str, order: Order, confidence: float, warnings: Sequence[Notice]
    ) -> None:
        await self._write(
            "UPDATE po_orders SET number = ?, supplier = ?, currency = ?, total = ?, note = ?,"
            " confidence = ?, warnings = ? WHERE po_id = ?",
            order.number,
            order.supplier,
            order.currency,
            None if order.total is None else str(order.total),
            order.note,
            confidence,
            _json(warnings),
            po_id,
        )

    async def save_lines(self, po_id: str, lines: Sequence[OrderLine]) -> None:

        def save(db: apsw.Connection) -> None:
            db.execute("DELETE FROM po_lines WHERE po_id = ?", (po_id,))
            db.execute(
                "INSERT INTO po_lines SELECT ?, value->>'number', value->>'location', value->>'sku',"
                " value->>'description', value->>'quantity', value->>'unit_price', value->>'total',"
                " value->>'image_url', value->>'category', value->'tags', value->>'short_description'"
                " FROM json_each(?)",
                (po_id, _json(lines)),
            )

        await self._database.write(save)

    async def holds(self, po_id: str, order: Order) -> bool:
        try:
            stored = await self._database.read(lambda db: read_order(db, po_id))
        except DAMAGE as error:
            raise self._unreadable(po_id, error) from error
        lines = tuple(sorted(order.lines, key=lambda line: line.number))
        return stored == attrs.evolve(order, unread=0, lines=lines)

    async def mark_saved(self, po_id: str) -> None:
        await self._write(
            "UPDATE po_orders SET status = 'saved', saved_at = coalesce(saved_at, ?)"
            " WHERE po_id = ? AND ended_at IS NULL",
            self._now(),
            po_id,
        )

    async def save_payload(self, po_id: str, payload: bytes) -> None:
        await self._write("UPDATE po_orders SET payload = ? WHERE po_id = ?", payload, po_id)

    async def save_shop_id(self, po_id: str, shopify_order_id: str) -> None:
        await self._write(
            "UPDATE po_orders SET shopify_order_id = ? WHERE po_id = ?", shopify_order_id, po_id
        )

    async def save_images(self, po_id: str, images: Sequence[Image]) -> None:
        await self._write(
            "INSERT OR REPLACE INTO po_images SELECT ?, value->>'line', value->>'url', value->>'status',"
            " value->>'reason', value->>'media_type', value->>'size', value->>'sha256' FROM json_each(?)",
            po_id,
            _json(images),
        )

    async def note_stage(self, po_id: str, stage: str, outcome: str, reason: str) -> None:
        await self._write(
            "INSERT OR REPLACE INTO po_stages VALUES (?, ?, ?, ?)", po_id, stage, outcome, reason
        )

    async def end(self, workflow_id: str, end: OrderEnd) -> None:
        await self._write(
            "UPDATE po_orders SET status = ?, stage = ?, error = ?, ended_at = max(created_at, ?),"
            " document = CASE WHEN saved_at IS NULL THEN document END"
            " WHERE workflow_id = ? AND ended_at IS NULL",
            end.status.value,
            end.stage,
            end.error,
            format_time(end.at),
            workflow_id,
        )

    # --- reading ----------------------------------------------------------------------------------

    async def open_orders(self, after: int, limit: int) -> list[tuple[int, str, str, str, bool]]:

        def read(db: apsw.Connection) -> list[Any]:
            rows = db.execute(
                "SELECT seq, CAST(merchant_id AS BLOB), CAST(po_id AS BLOB), CAST(workflow_id AS BLOB),"
                " EXISTS (SELECT 1 FROM po_keys WHERE po_keys.po_id = po_orders.po_id) FROM po_orders"
                " WHERE ended_at IS NULL AND seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            )
            return [(seq, *map(as_text, names), bool(has_key)) for seq, *names, has_key in rows]

        return await self._database.read(read)

    async def find(self, po_id: str, merchant_id: str) -> StoredOrder | None:
        try:
            return await self._database.read(lambda db: find_order(db, po_id, merchant_id))
        except DAMAGE as error:
            raise self._unreadable(po_id, error) from error

    def _unreadable(self, po_id: str, error: Exception) -> Unreadable:
        return self._database.unreadable.report("purchase order", po_id, error)

    def _now(self) -> str:
        return format_time(self._database.clock.wall())

    async def _write(self, sql: str, *values: Any) -> Any:
        """Run one statement in a transaction, and return its first row, if any."""
        return await self._database.write(lambda db: db.execute(sql, values).fetchone())

    async def _read(self, sql: str, *values: Any) -> Any:
        return await self._database.read(lambda db: db.execute(sql, values).fetchone())


def _find_receipt(db: apsw.Connection, key: IdempotencyKey) -> OrderReceipt | None:
    row = db.execute(
        "SELECT fingerprint, po_id, workflow_id, cursor FROM po_keys JOIN po_orders USING (po_id)"
        " WHERE po_keys.merchant_id = ? AND key = ?",
        (key.scope, key.text),
    ).fetchone()
    if row is None:
        return None
    key.check(row[0])
    return OrderReceipt(*row[1:])


def _json(values: Sequence[Any]) -> str:
    """Encode values of this package as JSON text, with Decimals as strings."""
    return msgspec.json.encode(values).decode()
