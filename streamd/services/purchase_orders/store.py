"""Orders in the database. Each method is one idempotent transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import apsw
import attrs
import msgspec

from ...database import Database
from ...errors import Unavailable
from .amounts import decimal_text
from .order import Format, Image, Notice, Order, OrderLine, OrderStatus, ReceivedOrder
from .stored import StoredOrder, find_order, read_order
from .tables import COMPONENT, MIGRATIONS

_FULL_RETRY_SECONDS: Final = 60.0


class OrderStore:
    """Orders, their lines, products and images.

    Args:
        database: must not be open yet; the tables are declared on it.
        max_orders: maximum number of stored orders.

    Attributes:
        starting: ids of orders that are stored while their task is being created.
    """

    def __init__(self, database: Database, *, max_orders: int) -> None:
        self._database = database
        self._max_orders = max_orders
        self.starting: Final[set[str]] = set()
        database.require(COMPONENT, MIGRATIONS)

    # --- receiving ------------------------------------------------------------------------------

    async def receive(self, received: ReceivedOrder) -> None:
        """Store a document before its processing.

        Raises:
            Unavailable: the limit of stored orders is reached.
        """

        def write(db: apsw.Connection) -> None:
            [count] = _one(db, "SELECT count(*) FROM po_orders") or (0,)
            if count >= self._max_orders:
                raise Unavailable(
                    f"the limit of {self._max_orders} stored orders is reached",
                    retry_after_seconds=_FULL_RETRY_SECONDS,
                )
            db.execute(
                "INSERT INTO po_orders (po_id, merchant_id, workflow_id, status, format, document,"
                " created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    received.po_id,
                    received.merchant_id,
                    received.workflow_id,
                    OrderStatus.RECEIVED.value,
                    received.format.value,
                    received.document,
                    _now(),
                ),
            )

        await self._database.write(write)

    async def forget(self, po_id: str) -> None:
        """Delete a received order whose task could not be created."""
        await self._database.write(lambda db: _run(db, "DELETE FROM po_orders WHERE po_id = ?", po_id))

    async def begin(self, po_id: str) -> None:
        """Mark an order as processing."""
        await self._database.write(
            lambda db: _run(
                db,
                "UPDATE po_orders SET status = ? WHERE po_id = ? AND ended_at IS NULL",
                OrderStatus.PROCESSING.value,
                po_id,
            )
        )

    async def document(self, po_id: str) -> ReceivedOrder | None:
        """Read the document of an order; None if it is not stored, or no longer."""
        row = await self._database.read(
            lambda db: _one(
                db,
                "SELECT po_id, merchant_id, workflow_id, format, document FROM po_orders"
                " WHERE po_id = ? AND document IS NOT NULL",
                po_id,
            )
        )
        if row is None:
            return None
        return ReceivedOrder(
            po_id=row[0], merchant_id=row[1], workflow_id=row[2], format=Format(row[3]), document=row[4]
        )

    # --- merchants and their products -------------------------------------------------------------

    async def count_order(self, merchant_id: str, po_id: str) -> int:
        """Count an order of a merchant; return the merchant's number of orders so far."""

        def write(db: apsw.Connection) -> int:
            db.execute(
                "INSERT INTO po_merchants VALUES (?, 1, (SELECT created_at FROM po_orders WHERE po_id = ?))"
                " ON CONFLICT DO UPDATE SET orders = orders + 1",
                (merchant_id, po_id),
            )
            row = _one(db, "SELECT orders FROM po_merchants WHERE merchant_id = ?", merchant_id)
            return int(row[0])

        return await self._database.write(write)

    async def draft_products(self, merchant_id: str, po_id: str, lines: Sequence[OrderLine]) -> int:
        """Create a product draft for each line with a new SKU; return the number of drafts."""

        def write(db: apsw.Connection) -> int:
            before = db.total_changes()
            db.executemany(
                "INSERT INTO po_products VALUES (?, ?, 'draft', ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                [
                    (
                        merchant_id,
                        line.sku,
                        line.description or line.sku,
                        line.short_description,
                        line.category,
                        _json(line.tags),
                        _text(line.unit_price),
                        line.currency,
                        po_id,
                        _now(),
                    )
                    for line in lines
                    if line.sku
                ],
            )
            return db.total_changes() - before

        return await self._database.write(write)

    # --- saving -----------------------------------------------------------------------------------

    async def save_header(
        self, po_id: str, order: Order, confidence: float, warnings: Sequence[Notice]
    ) -> None:
        """Save the fields of the order, its confidence and warnings."""
        said = _json([attrs.asdict(warning) for warning in warnings])
        values = (
            order.number,
            order.supplier,
            order.currency,
            _text(order.total),
            order.note,
            confidence,
            said,
        )
        await self._database.write(
            lambda db: _run(
                db,
                "UPDATE po_orders SET number = ?, supplier = ?, currency = ?, total = ?, note = ?,"
                " confidence = ?, warnings = ? WHERE po_id = ?",
                *values,
                po_id,
            )
        )

    async def save_lines(self, po_id: str, lines: Sequence[OrderLine]) -> None:
        """Save all lines of an order, replacing earlier ones."""

        def write(db: apsw.Connection) -> None:
            db.execute("DELETE FROM po_lines WHERE po_id = ?", (po_id,))
            db.executemany(
                "INSERT INTO po_lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        po_id,
                        line.number,
                        line.location,
                        line.sku,
                        line.description,
                        line.quantity,
                        _text(line.unit_price),
                        _text(line.total),
                        line.image_url,
                        line.category,
                        _json(line.tags),
                        line.short_description,
                    )
                    for line in lines
                ],
            )

        await self._database.write(write)

    async def holds(self, po_id: str, order: Order) -> bool:
        """Read the order back; return True if it equals ``order``."""
        stored = await self._database.read(lambda db: read_order(db, po_id))
        return stored == attrs.evolve(
            order, unread=0, lines=tuple(sorted(order.lines, key=lambda line: line.number))
        )

    async def mark_saved(self, po_id: str) -> None:
        """Mark an order as saved; its lines are shown from now on."""
        await self._database.write(
            lambda db: _run(
                db,
                "UPDATE po_orders SET status = ?, saved_at = coalesce(saved_at, ?)"
                " WHERE po_id = ? AND ended_at IS NULL",
                OrderStatus.SAVED.value,
                _now(),
                po_id,
            )
        )

    async def save_payload(self, po_id: str, payload: bytes) -> None:
        """Save the shop's request."""
        await self._database.write(
            lambda db: _run(db, "UPDATE po_orders SET payload = ? WHERE po_id = ?", payload, po_id)
        )

    async def payload(self, po_id: str) -> bytes | None:
        """Read the shop's request; None if there is none yet."""
        row = await self._database.read(
            lambda db: _one(db, "SELECT payload FROM po_orders WHERE po_id = ?", po_id)
        )
        return row[0] if row else None

    async def save_shop_id(self, po_id: str, shopify_order_id: str) -> None:
        """Save the shop's id of an accepted order."""
        await self._database.write(
            lambda db: _run(
                db, "UPDATE po_orders SET shopify_order_id = ? WHERE po_id = ?", shopify_order_id, po_id
            )
        )

    async def save_images(self, po_id: str, images: Sequence[Image]) -> None:
        """Save images of lines, replacing earlier ones of the same lines."""

        def write(db: apsw.Connection) -> None:
            db.executemany(
                "INSERT OR REPLACE INTO po_images VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(po_id, *attrs.astuple(image)) for image in images],
            )

        await self._database.write(write)

    async def note_stage(self, po_id: str, stage: str, outcome: str, reason: str) -> None:
        """Record that a stage was ``skipped`` or ``failed``, with its reason."""
        await self._database.write(
            lambda db: _run(
                db, "INSERT OR REPLACE INTO po_stages VALUES (?, ?, ?, ?)", po_id, stage, outcome, reason
            )
        )

    async def end(self, po_id: str, status: OrderStatus, *, stage: str = "", error: str = "") -> bool:
        """Record the final status of an order; return False if it had one already.

        The document is deleted if its content is stored.
        """

        def write(db: apsw.Connection) -> bool:
            db.execute(
                "UPDATE po_orders SET status = ?, stage = ?, error = ?, ended_at = ?,"
                " document = CASE WHEN saved_at IS NULL THEN document END"
                " WHERE po_id = ? AND ended_at IS NULL",
                (status.value, stage, error, _now(), po_id),
            )
            return db.changes() > 0

        return await self._database.write(write)

    # --- reading ----------------------------------------------------------------------------------

    async def open_orders(self, after: int, limit: int) -> list[tuple[int, str, str, str]]:
        """List unfinished orders, oldest first: row, order id, merchant and workflow id.

        Args:
            after: the last row of the previous page; 0 for the first page.
            limit: maximum number of orders.
        """
        rows: list[Any] = await self._database.read(
            lambda db: db.execute(
                "SELECT seq, po_id, merchant_id, workflow_id FROM po_orders"
                " WHERE ended_at IS NULL AND seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
        )
        return [(int(row[0]), str(row[1]), str(row[2]), str(row[3])) for row in rows]

    async def find_workflow(self, workflow_id: str) -> str | None:
        """Return the id of the order that a task processes; None if there is none."""
        row = await self._database.read(
            lambda db: _one(db, "SELECT po_id FROM po_orders WHERE workflow_id = ?", workflow_id)
        )
        return str(row[0]) if row else None

    async def find(self, po_id: str, merchant_id: str) -> StoredOrder | None:
        """Read an order of a merchant; None if the merchant has no order of this id."""
        return await self._database.read(lambda db: find_order(db, po_id, merchant_id))


def _one(db: apsw.Connection, sql: str, *values: Any) -> Any:
    return db.execute(sql, values).fetchone()


def _run(db: apsw.Connection, sql: str, *values: Any) -> None:
    db.execute(sql, values)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
