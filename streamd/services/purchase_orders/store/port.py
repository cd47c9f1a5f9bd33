"""The port of the store of orders."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import trio

from ....errors import Unavailable
from ....idempotency import IdempotencyKey
from ..order import Image, Notice, Order, OrderEnd, OrderLine, OrderReceipt, ReceivedOrder
from ..stored import StoredOrder

_FULL_RETRY_SECONDS: Final = 60.0


class OrderStore(Protocol):
    """Orders, their lines, products and images. Each method is one transaction or one read.

    Each method raises :class:`.Unavailable` if the storage fails, and nothing is changed then. In a store
    that nodes share, a change raises :class:`.OutcomeUnknown` if the connection is lost before its reply and
    does not come back in time.

    Attributes:
        max_orders: maximum number of stored orders.
    """

    max_orders: int

    @property
    def starting(self) -> dict[str, trio.Event]:
        """The orders that this node has stored and whose task it is creating, by id.

        Each event is set when the order has its task, or was forgotten.
        """

    @property
    def is_shared(self) -> bool:
        """True if other nodes receive and process orders, too."""

    async def hold(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run a work that one node at a time does, until cancelled."""

    # --- receiving ------------------------------------------------------------------------------

    async def receive(
        self, received: ReceivedOrder, cursor: str, key: IdempotencyKey | None = None
    ) -> OrderReceipt | None:
        """Store a document before its processing, unless there is an order of its idempotency key.

        Args:
            received: the order.
            cursor: the newest event before it.
            key: stored with the order; its scope is the merchant.

        Returns:
            The receipt of the order that was stored under the key before; None if this one was stored.

        Raises:
            IdempotencyConflict: the order of the key has another document.
            Unavailable: the limit of stored orders is reached.
        """

    async def forget(self, po_id: str) -> None:
        """Delete a received order whose task could not be created.

        The order stays if another node has returned its receipt meanwhile.
        """

    async def begin(self, po_id: str) -> None:
        """Mark an order as processing."""

    async def is_open(self, po_id: str) -> bool:
        """Return True if an order is stored and has not ended."""

    async def document(self, po_id: str) -> ReceivedOrder | None:
        """Read the document of an order; None if it is not stored, or no longer.

        Raises:
            Unreadable: the order is damaged.
        """

    # --- merchants and their products -------------------------------------------------------------

    async def count_order(self, merchant_id: str, po_id: str) -> int:
        """Count an order of a merchant; return the merchant's number of orders so far."""

    async def draft_products(self, merchant_id: str, po_id: str, lines: Sequence[OrderLine]) -> int:
        """Create a product draft for each line with a new SKU; return the number of drafts."""

    # --- saving -----------------------------------------------------------------------------------

    async def save_header(
        self, po_id: str, order: Order, confidence: float, warnings: Sequence[Notice]
    ) -> None:
        """Save the fields of the order, its confidence and warnings."""

    async def save_lines(self, po_id: str, lines: Sequence[OrderLine]) -> None:
        """Save all lines of an order, replacing earlier ones."""

    async def holds(self, po_id: str, order: Order) -> bool:
        """Read the order back; return True if it equals ``order``.

        Raises:
            Unreadable: the stored order is damaged.
        """

    async def mark_saved(self, po_id: str) -> None:
        """Mark an order as saved; its lines are shown from now on."""

    async def save_payload(self, po_id: str, payload: bytes) -> None:
        """Save the shop's request."""

    async def save_shop_id(self, po_id: str, shopify_order_id: str) -> None:
        """Save the shop's id of an accepted order."""

    async def save_images(self, po_id: str, images: Sequence[Image]) -> None:
        """Save images of lines, replacing earlier ones of the same lines."""

    async def note_stage(self, po_id: str, stage: str, outcome: str, reason: str) -> None:
        """Record that a stage was ``skipped`` or ``failed``, with its reason."""

    async def end(self, workflow_id: str, end: OrderEnd) -> None:
        """Record the end of the order that a task processes, unless there is none, or it has ended already.

        The document is deleted if its content is stored.
        """

    # --- reading ----------------------------------------------------------------------------------

    async def open_orders(self, after: int, limit: int) -> list[tuple[int, str, str, str, bool]]:
        """List unfinished orders, oldest first: row, merchant, order id, workflow id, and if it has a key.

        Orders whose task another node may still be creating are left out.

        Args:
            after: the last row of the previous page; 0 for the first page.
            limit: maximum number of orders.
        """

    async def find(self, po_id: str, merchant_id: str) -> StoredOrder | None:
        """Read an order of a merchant; None if the merchant has no order of this id.

        Raises:
            Unreadable: the order is damaged.
        """


def full(max_orders: int) -> Unavailable:
    """Build the error for an order over the limit."""
    return Unavailable(
        f"the limit of {max_orders} stored orders is reached", retry_after_seconds=_FULL_RETRY_SECONDS
    )
