"""The order and its parts, as the stages pass them on."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

import attrs

STAGE_MESSAGES: Final = {
    "merchant_config": "Loading merchant configuration",
    "ai_parsing": "AI parsing started",
    "data_normalization": "Normalizing data",
    "database_save": "Saving to database",
    "ai_enrichment": "AI enrichment started",
    "product_draft_creation": "Creating product drafts",
    "shopify_payload": "Preparing Shopify payload",
    "shopify_sync": "Syncing to Shopify",
    "image_attachment": "Attaching images",
    "background_image_processing": "Processing images",
    "status_update": "Updating order status",
}
"""The message of each stage's start, as existing frontends show it, in running order: merchant, parsing and
saving; then the shop; then the images, which the shop does not need; then the final status."""

STAGES: Final = tuple(STAGE_MESSAGES)
"""The names of the stages in running order."""


class Format(StrEnum):
    """The media type of an order document."""

    CSV = "text/csv"
    JSON = "application/json"
    TEXT = "text/plain"


class OrderStatus(StrEnum):
    """The status of an order. The last four are final."""

    RECEIVED = "received"  # its document is stored
    PROCESSING = "processing"
    SAVED = "saved"  # its lines are stored
    COMPLETED = "completed"
    SYNC_FAILED = "sync_failed"  # stored, but the shop did not accept it
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True for a final status."""
        return self in _ENDED


_ENDED: Final = frozenset(
    {OrderStatus.COMPLETED, OrderStatus.SYNC_FAILED, OrderStatus.FAILED, OrderStatus.CANCELLED}
)


@attrs.frozen
class OrderLimits:
    """Limits on one order."""

    max_lines: int  # maximum number of line items
    max_field_chars: int  # maximum length of one value (characters)


@attrs.frozen(kw_only=True)
class OrderLine:
    """One line item. Until normalization, currency and total are those of the document."""

    number: int  # from 1
    location: str  # its location in the document, such as ``line 3``
    quantity: int  # pieces
    sku: str = ""
    description: str = ""
    unit_price: Decimal | None = None
    total: Decimal | None = None
    currency: str = ""
    image_url: str = ""
    category: str = ""  # category, tags and short description come from the enrichment
    tags: tuple[str, ...] = ()
    short_description: str = ""


@attrs.frozen(kw_only=True)
class Order:
    """The content of an order document."""

    lines: tuple[OrderLine, ...]
    number: str = ""  # the customer's order number
    supplier: str = ""
    currency: str = ""
    total: Decimal | None = None
    note: str = ""
    unread: int = 0  # number of lines of a text that look like items but cannot be parsed


@attrs.frozen(kw_only=True)
class Notice:
    """A warning about an order, for a person to check."""

    field: str  # such as ``line 3, total``
    message: str


@attrs.frozen
class ReceivedOrder:
    """A received order document."""

    po_id: str
    merchant_id: str
    workflow_id: str
    format: Format = attrs.field(converter=Format)
    document: bytes


@attrs.frozen
class OrderReceipt:
    """The receipt of a stored order."""

    po_id: str
    workflow_id: str
    cursor: str  # the newest event before the order, after which its followers begin


@attrs.frozen
class OrderEnd:
    """The end of an order."""

    status: OrderStatus
    at: datetime
    stage: str = ""  # the stage that failed; empty without an error
    error: str = ""


@attrs.frozen(kw_only=True)
class Image:
    """The image of a line, and the result of checking its URL."""

    line: int
    url: str
    status: str = "attached"  # attached | verified | failed
    reason: str = ""
    media_type: str = ""
    size: int = 0  # bytes
    sha256: str = ""
