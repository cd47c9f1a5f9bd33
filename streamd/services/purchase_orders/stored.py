"""Reading of orders from the database: SQLite builds the JSON of an order, and msgspec decodes it.

A subquery is wrapped in ``json()``, because SQLite would quote its JSON as text otherwise.
"""

from typing import Final

import apsw
import attrs
import msgspec

from .order import Format, Image, Notice, Order, OrderStatus

_ORDER: Final = """
    json_object(
        'number', number, 'supplier', supplier, 'currency', currency, 'total', total, 'note', note,
        'lines', json((
            SELECT json_group_array(json_object(
                'number', line, 'location', place, 'quantity', quantity, 'sku', sku,
                'description', description, 'unit_price', unit_price, 'total', total,
                'currency', po_orders.currency, 'image_url', image_url, 'category', category,
                'tags', json(tags), 'short_description', short_description
            )) FROM (SELECT * FROM po_lines WHERE po_id = po_orders.po_id ORDER BY line)
        ))
    )
"""
_STAGES: Final = (
    "json((SELECT json_group_array(json_array(stage, reason)) FROM po_stages"
    " WHERE po_id = po_orders.po_id AND outcome = '{}'))"
)
_STORED_ORDER: Final = f"""
    json_object(
        'po_id', po_id, 'merchant_id', merchant_id, 'workflow_id', workflow_id, 'status', status,
        'format', format, 'stage', stage, 'error', error, 'confidence', confidence,
        'warnings', json(warnings), 'shopify_order_id', shopify_order_id,
        'created_at', created_at, 'ended_at', ended_at,
        'order', json(CASE WHEN saved_at IS NOT NULL THEN {_ORDER} END),
        'images', json((
            SELECT json_group_array(json_object(
                'line', line, 'url', url, 'status', status, 'reason', reason,
                'media_type', media_type, 'size', size, 'sha256', sha256
            )) FROM po_images WHERE po_id = po_orders.po_id
        )),
        'skipped', {_STAGES.format("skipped")},
        'failed', {_STAGES.format("failed")}
    )
"""


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
    failed: tuple[tuple[str, str], ...] = ()  # stage and reason; the order did not fail with them
    shopify_order_id: str | None = None
    created_at: str = ""
    ended_at: str | None = None


def find_order(db: apsw.Connection, po_id: str, merchant_id: str) -> StoredOrder | None:
    """Read an order of a merchant; None if the merchant has no order of this id.

    Raises:
        ValueError: the order is damaged.
    """
    query = f"SELECT {_STORED_ORDER} FROM po_orders WHERE po_id = ? AND merchant_id = ?"
    row = _read_json(db, query, po_id, merchant_id)
    return None if row is None else msgspec.json.decode(row, type=StoredOrder)


def read_order(db: apsw.Connection, po_id: str) -> Order | None:
    """Read the content of an order, complete or not; None without a row.

    Raises:
        ValueError: the order is damaged.
    """
    row = _read_json(db, f"SELECT {_ORDER} FROM po_orders WHERE po_id = ?", po_id)
    return None if row is None else msgspec.json.decode(row, type=Order)


def _read_json(db: apsw.Connection, query: str, *values: str) -> str | None:
    try:
        row = db.execute(query, values).fetchone()
    except apsw.SQLError as error:  # a column that holds JSON holds something else
        raise ValueError(str(error)) from error
    return None if row is None else row[0]
