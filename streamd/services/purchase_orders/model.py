"""An order as the stages hand it on: what was read, and what became of it."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import attrs

STAGES: Final = (
    "merchant_config",
    "ai_parsing",
    "data_normalization",
    "database_save",
    "ai_enrichment",
    "product_draft_creation",
    "shopify_payload",
    "shopify_sync",
    "image_attachment",
    "background_image_processing",
    "status_update",
)
"""In the order in which they run: whose it is, what it says, kept; then what the shop needs; then the
pictures, which the shop does not wait for; then the end."""


class Format(StrEnum):
    """How an order is written."""

    CSV = "text/csv"
    JSON = "application/json"
    TEXT = "text/plain"


class OrderStatus(StrEnum):
    """How far an order is. The last four are ends."""

    RECEIVED = "received"  # its document is kept
    PROCESSING = "processing"
    SAVED = "saved"  # its lines are kept
    COMPLETED = "completed"
    SYNC_FAILED = "sync_failed"  # kept, but the shop did not take it
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in _ENDED


_ENDED: Final = frozenset(
    {OrderStatus.COMPLETED, OrderStatus.SYNC_FAILED, OrderStatus.FAILED, OrderStatus.CANCELLED}
)


@attrs.frozen
class Limits:
    """What one order may be."""

    max_lines: int  # count
    max_field_chars: int  # of one cell (characters)


@attrs.frozen(kw_only=True)
class Line:
    """One line item. Before normalization the currency and the total are as they were written."""

    number: int  # its place in the order, from 1
    place: str  # where the document says so, such as ``line 3``
    quantity: int  # pieces
    sku: str = ""
    description: str = ""
    unit_price: Decimal | None = None
    total: Decimal | None = None
    currency: str = ""
    image_url: str = ""
    category: str = ""  # the last three come from the enrichment
    tags: tuple[str, ...] = ()
    short_description: str = ""


@attrs.frozen(kw_only=True)
class Order:
    """What a document says."""

    lines: tuple[Line, ...]
    number: str = ""  # the customer's own
    supplier: str = ""
    currency: str = ""
    total: Decimal | None = None
    note: str = ""
    unread: int = 0  # lines of a text that look like items and could not be read (count)


@attrs.frozen(kw_only=True)
class Notice:
    """Something about an order that a person should look at."""

    field: str  # such as ``line 3, total``
    message: str


@attrs.frozen(kw_only=True)
class Received:
    """An order as it came in."""

    po_id: str
    merchant_id: str
    workflow_id: str
    format: Format
    document: bytes


@attrs.frozen(kw_only=True)
class Image:
    """The picture of a line, and what was found at its address."""

    line: int
    url: str
    status: str = "attached"  # attached | verified | failed
    reason: str = ""
    media_type: str = ""
    size: int = 0  # bytes
    sha256: str = ""
