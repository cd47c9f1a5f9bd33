"""The tables of purchase orders. Amounts are exact decimal text, times RFC 3339 text in UTC."""

from typing import Final

COMPONENT: Final = "purchase_orders"

MIGRATIONS: Final = (
    """
    CREATE TABLE po_merchants (
        merchant_id TEXT PRIMARY KEY,
        orders INTEGER NOT NULL,            -- number of orders whose processing has begun
        first_order_at TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE po_orders (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        po_id TEXT NOT NULL UNIQUE,
        merchant_id TEXT NOT NULL,
        workflow_id TEXT NOT NULL,
        status TEXT NOT NULL,
        stage TEXT NOT NULL DEFAULT '',     -- the stage that failed
        error TEXT NOT NULL DEFAULT '',
        format TEXT NOT NULL,
        document BLOB,                      -- as received; NULL once its content is stored
        number TEXT NOT NULL DEFAULT '',
        supplier TEXT NOT NULL DEFAULT '',
        currency TEXT NOT NULL DEFAULT '',
        total TEXT,
        note TEXT NOT NULL DEFAULT '',
        confidence REAL,
        warnings TEXT NOT NULL DEFAULT '[]',
        payload BLOB,                       -- the shop's request, JSON
        shopify_order_id TEXT,
        created_at TEXT NOT NULL,
        saved_at TEXT,                      -- time at which its lines were complete
        ended_at TEXT
    );
    CREATE INDEX po_orders_open ON po_orders (seq) WHERE ended_at IS NULL;
    CREATE TABLE po_lines (
        po_id TEXT NOT NULL REFERENCES po_orders (po_id) ON DELETE CASCADE,
        line INTEGER NOT NULL,
        place TEXT NOT NULL,
        sku TEXT NOT NULL,
        description TEXT NOT NULL,
        quantity INTEGER NOT NULL,
        unit_price TEXT,
        total TEXT,
        image_url TEXT NOT NULL,
        category TEXT NOT NULL DEFAULT '',
        tags TEXT NOT NULL DEFAULT '[]',
        short_description TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (po_id, line)
    ) WITHOUT ROWID;
    CREATE TABLE po_products (
        merchant_id TEXT NOT NULL,
        sku TEXT NOT NULL,
        status TEXT NOT NULL,               -- draft until a person has checked it
        title TEXT NOT NULL,
        description TEXT NOT NULL,
        category TEXT NOT NULL,
        tags TEXT NOT NULL,
        unit_price TEXT,
        currency TEXT NOT NULL,
        po_id TEXT NOT NULL,                -- the first order with this SKU
        created_at TEXT NOT NULL,
        PRIMARY KEY (merchant_id, sku)
    ) WITHOUT ROWID;
    CREATE TABLE po_images (
        po_id TEXT NOT NULL REFERENCES po_orders (po_id) ON DELETE CASCADE,
        line INTEGER NOT NULL,
        url TEXT NOT NULL,
        status TEXT NOT NULL,
        reason TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (po_id, line)
    ) WITHOUT ROWID;
    CREATE TABLE po_stages (
        po_id TEXT NOT NULL REFERENCES po_orders (po_id) ON DELETE CASCADE,
        stage TEXT NOT NULL,
        outcome TEXT NOT NULL,              -- skipped | failed
        reason TEXT NOT NULL,
        PRIMARY KEY (po_id, stage)
    ) WITHOUT ROWID;
    """,
    # The idempotency keys of orders, with the receipts that their requests get again.
    """
    CREATE TABLE po_keys (
        po_id TEXT PRIMARY KEY REFERENCES po_orders (po_id) ON DELETE CASCADE,
        merchant_id TEXT NOT NULL,
        key TEXT NOT NULL,
        fingerprint BLOB NOT NULL,          -- of media type and document
        cursor TEXT NOT NULL,               -- the newest event before the order
        UNIQUE (merchant_id, key)
    ) WITHOUT ROWID;
    """,
)
"""Applied in order. Append only: released migrations never change."""
