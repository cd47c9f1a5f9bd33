"""Orders in Redis, for several nodes. Each method is one script."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import attrs
import msgspec
import trio

from ....clock import SteadyClock
from ....errors import Unreadable
from ....events import format_time
from ....idempotency import IdempotencyKey
from ....redis import NodeLease, RedisStore
from ....unreadable import DAMAGE, UnreadableRecords, as_text
from ..order import (
    Format,
    Image,
    Notice,
    Order,
    OrderEnd,
    OrderLine,
    OrderReceipt,
    OrderStatus,
    ReceivedOrder,
)
from ..stored import StoredOrder
from . import scripts
from .port import full

START_SECONDS: Final = 60.0
"""Time for which only the node that received an order creates its task (s): far longer than that takes, with
every lost connection that it survives."""

_SHOWN: Final = (
    "workflow_id", "status", "format", "stage", "error", "confidence", "warnings", "shopify_order_id",
    "created_at", "saved_at", "ended_at", "header", "lines",
)  # fmt: skip


class RedisOrderStore:
    """Orders in Redis; see :class:`.port.OrderStore`.

    Args:
        store: the way to the keys.
        clock: its wall clock gives the times that are shown.
        unreadable: the records that were found damaged.
        max_orders: maximum number of stored orders.
        start_seconds: time for which other nodes leave an order without a task alone (s).
    """

    is_shared: bool = True

    def __init__(
        self,
        store: RedisStore,
        clock: SteadyClock,
        unreadable: UnreadableRecords,
        *,
        max_orders: int,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._records = unreadable
        self.max_orders = max_orders
        self._start_ms = round(start_seconds * 1000)
        self._lease = NodeLease(store.link, store.key("orders:recovery"))
        self.starting: Final[dict[str, trio.Event]] = {}

    async def hold(self, work: Callable[[], Awaitable[None]]) -> None:
        await self._lease.hold(work)

    # --- receiving ------------------------------------------------------------------------------

    async def receive(
        self, received: ReceivedOrder, cursor: str, key: IdempotencyKey | None = None
    ) -> OrderReceipt | None:
        field, fingerprint = "", b""
        if key is not None:
            field, fingerprint = f"{len(key.scope)}:{key.scope}{key.text}", key.fingerprint
        reply = await self._store.change(
            scripts.RECEIVE, received.po_id, received.merchant_id, received.workflow_id,
            received.format.value, received.document, self._now(), self.max_orders, self._start_ms,
            cursor, field, fingerprint,
        )  # fmt: skip
        match reply:
            case None:
                return None
            case [b"known", *names]:
                return OrderReceipt(*map(as_text, names))
            case [b"conflict"]:
                assert key is not None
                raise key.conflict()
        raise full(self.max_orders)

    async def forget(self, po_id: str) -> None:
        await self._store.change(scripts.FORGET, po_id)

    async def begin(self, po_id: str) -> None:
        await self._update(po_id, True, status="processing", starting_until="0")

    async def is_open(self, po_id: str) -> bool:
        created_at, ended_at = await self._read(po_id, "created_at", "ended_at")
        return created_at is not None and ended_at is None

    async def document(self, po_id: str) -> ReceivedOrder | None:
        merchant_id, workflow_id, format, document = await self._read(
            po_id, "merchant_id", "workflow_id", "format", "document"
        )
        if document is None:
            return None
        try:
            return ReceivedOrder(
                po_id, merchant_id.decode(), workflow_id.decode(), Format(format.decode()), document
            )
        except (*DAMAGE, AttributeError) as error:
            raise self._unreadable(po_id, error) from error

    # --- merchants and their products -------------------------------------------------------------

    async def count_order(self, merchant_id: str, po_id: str) -> int:
        return int(await self._store.change(scripts.COUNT, merchant_id, po_id))

    async def draft_products(self, merchant_id: str, po_id: str, lines: Sequence[OrderLine]) -> int:
        drafts: list[str | bytes] = []
        for line in lines:
            if line.sku:
                drafts += [line.sku, _encode(_draft(line, po_id, self._now()))]
        return int(await self._store.change(scripts.DRAFT, merchant_id, *drafts))

    # --- saving -----------------------------------------------------------------------------------

    async def save_header(
        self, po_id: str, order: Order, confidence: float, warnings: Sequence[Notice]
    ) -> None:
        header = attrs.evolve(order, lines=(), unread=0)
        await self._update(
            po_id,
            header=_encode(header),
            confidence=_encode(confidence),
            warnings=_encode(warnings),
        )

    async def save_lines(self, po_id: str, lines: Sequence[OrderLine]) -> None:
        await self._update(po_id, lines=_encode(sorted(lines, key=lambda line: line.number)))

    async def holds(self, po_id: str, order: Order) -> bool:
        created_at, header, lines = await self._read(po_id, "created_at", "header", "lines")
        try:
            stored = None if created_at is None else _decode_order(header, lines)
        except DAMAGE as error:
            raise self._unreadable(po_id, error) from error
        expected = tuple(sorted(order.lines, key=lambda line: line.number))
        return stored == attrs.evolve(order, unread=0, lines=expected)

    async def mark_saved(self, po_id: str) -> None:
        await self._store.change(scripts.SAVED, po_id, self._now())

    async def save_payload(self, po_id: str, payload: bytes) -> None:
        await self._update(po_id, payload=payload)

    async def save_shop_id(self, po_id: str, shopify_order_id: str) -> None:
        await self._update(po_id, shopify_order_id=shopify_order_id)

    async def save_images(self, po_id: str, images: Sequence[Image]) -> None:
        parts: list[int | bytes] = []
        for image in images:
            parts += [image.line, _encode(image)]
        await self._store.change(scripts.PARTS, po_id, "images", *parts)

    async def note_stage(self, po_id: str, stage: str, outcome: str, reason: str) -> None:
        await self._store.change(scripts.PARTS, po_id, "stages", stage, _encode([outcome, reason]))

    async def end(self, workflow_id: str, end: OrderEnd) -> None:
        at = format_time(end.at)
        await self._store.change(scripts.END, workflow_id, end.status.value, end.stage, end.error, at)

    # --- reading ----------------------------------------------------------------------------------

    async def open_orders(self, after: int, limit: int) -> list[tuple[int, str, str, str, bool]]:
        reply = await self._store.read(scripts.OPEN, after, limit)
        return [
            (int(row), as_text(merchant_id), as_text(po_id), as_text(workflow_id), bool(has_key))
            for row, merchant_id, po_id, workflow_id, has_key in reply
        ]

    async def find(self, po_id: str, merchant_id: str) -> StoredOrder | None:
        reply = await self._store.read(scripts.FIND, po_id, merchant_id, *_SHOWN)
        if reply is None:
            return None
        values, images, stages = reply
        try:
            return _decode_stored(po_id, merchant_id, dict(zip(_SHOWN, values, strict=True)), images, stages)
        except (*DAMAGE, AttributeError) as error:
            raise self._unreadable(po_id, error) from error

    def _unreadable(self, po_id: str, error: Exception) -> Unreadable:
        return self._records.report("purchase order", po_id, error)

    def _now(self) -> str:
        return format_time(self._clock.wall())

    async def _update(self, po_id: str, only_open: bool = False, **fields: str | bytes) -> None:
        pairs = [each for pair in fields.items() for each in pair]
        await self._store.change(scripts.UPDATE, po_id, int(only_open), *pairs)

    async def _read(self, po_id: str, *fields: str) -> Any:
        return await self._store.read(scripts.FIELDS, po_id, *fields)


def _encode(value: Any) -> bytes:
    """Encode a value of this package as JSON, with Decimals as strings."""
    return msgspec.json.encode(value)


def _draft(line: OrderLine, po_id: str, now: str) -> dict[str, Any]:
    return {
        "status": "draft",
        "title": line.description or line.sku,
        "description": line.short_description,
        "category": line.category,
        "tags": line.tags,
        "unit_price": line.unit_price,
        "currency": line.currency,
        "po_id": po_id,
        "created_at": now,
    }


def _decode_order(header: bytes | None, lines: bytes | None) -> Order:
    order = Order(lines=()) if header is None else msgspec.json.decode(header, type=Order)
    found = () if lines is None else msgspec.json.decode(lines, type=tuple[OrderLine, ...])
    return attrs.evolve(
        order, lines=tuple(attrs.evolve(line, currency=order.currency) for line in found)
    )  # a stored line has the currency of its order


def _decode_stored(
    po_id: str, merchant_id: str, values: dict[str, Any], images: list[bytes], stages: list[bytes]
) -> StoredOrder:
    found = {name: value for name, value in values.items() if value is not None}
    texts = {name: found[name].decode() for name in _TEXTS if name in found}
    outcomes = sorted(
        (stage.decode(), *msgspec.json.decode(outcome, type=tuple[str, str]))
        for stage, outcome in zip(stages[::2], stages[1::2], strict=True)
    )
    shown = (msgspec.json.decode(image, type=Image) for image in images)
    return StoredOrder(
        po_id=po_id,
        merchant_id=merchant_id,
        status=OrderStatus(found["status"].decode()),
        format=Format(found["format"].decode()),
        order=_decode_order(found.get("header"), found.get("lines")) if "saved_at" in found else None,
        confidence=msgspec.json.decode(found.get("confidence", b"null"), type=float | None),
        warnings=msgspec.json.decode(found.get("warnings", b"[]"), type=tuple[Notice, ...]),
        images=tuple(sorted(shown, key=lambda image: image.line)),
        skipped=tuple((stage, reason) for stage, outcome, reason in outcomes if outcome == "skipped"),
        failed=tuple((stage, reason) for stage, outcome, reason in outcomes if outcome == "failed"),
        **texts,
    )


_TEXTS: Final = ("workflow_id", "stage", "error", "shopify_order_id", "created_at", "ended_at")
