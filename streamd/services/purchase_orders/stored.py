"""Reading of orders from the database."""

from decimal import Decimal
from typing import Any

import apsw
import attrs
import msgspec

from .order import Format, Image, Notice, Order, OrderLine, OrderStatus


@attrs.frozen(kw_only=True)
class StoredOrder:
    """An order in the database, with the outcome of its stages."""

    po_id: str
    merchant_id: str
    workflow_id: str
    status: OrderStatus
    format: Format
    stage: str = ""  # the stage that failed
    error: str = ""
    order: Order | None = None  # None until the lines are saved
    confidence: float | None = None
    warnings: tuple[Notice, ...] = ()
    images: tuple[Image, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()  # stage and reason
    failed: tuple[
        tuple[str, str], ...
    ] = ()  # stage and reason, of stages that failed without failing the order
    shopify_order_id: str | None = None
    created_at: str = ""
    ended_at: str | None = None


def find_order(db: apsw.Connection, po_id: str, merchant_id: str) -> StoredOrder | None:
    """Read an order of a merchant; None if the merchant has no order of this id."""
    row = db.execute(
        "SELECT workflow_id, status, format, stage, error, confidence, warnings, shopify_order_id,"
        " created_at, saved_at, ended_at FROM po_orders WHERE po_id = ? AND merchant_id = ?",
        (po_id, merchant_id),
    ).fetchone()
    if row is None:
        return None
    stages: Any = db.execute(
        "SELECT stage, outcome, reason FROM po_stages WHERE po_id = ?", (po_id,)
    ).fetchall()
    images: Any = db.execute(
        "SELECT line, url, status, reason, media_type, size, sha256 FROM po_images WHERE po_id = ?",
        (po_id,),
    ).fetchall()
    return StoredOrder(
        po_id=po_id,
        merchant_id=merchant_id,
        workflow_id=row[0],
        status=OrderStatus(row[1]),
        format=Format(row[2]),
        stage=row[3],
        error=row[4],
        order=None if row[9] is None else read_order(db, po_id),
        confidence=row[5],
        warnings=tuple(Notice(**warning) for warning in msgspec.json.decode(row[6])),
        images=tuple(_image(*image) for image in images),
        skipped=tuple((stage, reason) for stage, outcome, reason in stages if outcome == "skipped"),
        failed=tuple((stage, reason) for stage, outcome, reason in stages if outcome == "failed"),
        shopify_order_id=row[7],
        created_at=row[8],
        ended_at=row[10],
    )


def read_order(db: apsw.Connection, po_id: str) -> Order | None:
    """Read the content of an order, complete or not; None without a row."""
    row = db.execute(
        "SELECT number, supplier, currency, total, note FROM po_orders WHERE po_id = ?", (po_id,)
    ).fetchone()
    if row is None:
        return None
    return Order(
        lines=_lines(db, po_id, row[2]),
        number=row[0],
        supplier=row[1],
        currency=row[2],
        total=_decimal(row[3]),
        note=row[4],
    )


def _lines(db: apsw.Connection, po_id: str, currency: str) -> tuple[OrderLine, ...]:
    rows = db.execute(
        "SELECT line, place, quantity, sku, description, unit_price, total, image_url, category, tags,"
        " short_description FROM po_lines WHERE po_id = ? ORDER BY line",
        (po_id,),
    )
    return tuple(
        OrderLine(
            number=row[0],
            location=row[1],
            quantity=row[2],
            sku=row[3],
            description=row[4],
            unit_price=_decimal(row[5]),
            total=_decimal(row[6]),
            currency=currency,
            image_url=row[7],
            category=row[8],
            tags=tuple(msgspec.json.decode(row[9])),
            short_description=row[10],
        )
        for row in rows
    )


def _image(line: int, url: str, status: str, reason: str, media_type: str, size: int, sha256: str) -> Image:
    return Image(
        line=line, url=url, status=status, reason=reason, media_type=media_type, size=size, sha256=sha256
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
