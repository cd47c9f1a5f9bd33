"""The job of one order: its stages, each a step of its task.

Failures: an order that cannot be parsed or saved fails. A stage whose result the order does not need
(enrichment, drafts, images) fails alone. If the shop rejects an order, the order stays saved, the remaining
stages run, and the order ends as ``sync_failed``. Its task then *fails*, so that a client that looks only at
the task cannot take the order for delivered.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final

import attrs
import msgspec
import structlog
import trio

from ...computing.computer import Computer
from ...errors import InvalidTransition, LeaseLost, StreamdError, Unreadable, root_cause
from ...steps import one_step
from ...tasks import Progress, StepFailed, StepPlan, StepProgress, WorkFailed, step
from ...text import TextGenerator
from ...turns import Turns
from .amounts import decimal_text, shown
from .confidence import confidence_of, ungrounded_lines
from .documents import decode_text, read_order
from .enrich import enrich_lines
from .images import ImageVerifier
from .merchant_events import order_id_of
from .normalize import normalize_order
from .order import (
    STAGE_MESSAGES,
    STAGES,
    Format,
    Image,
    Notice,
    Order,
    OrderLimits,
    OrderLine,
    OrderStatus,
    ReceivedOrder,
)
from .parsing import read_mail
from .settings import PurchaseOrderSettings
from .shop import Shop, SyncFailed, make_payload
from .store import OrderStore

KIND: Final = "purchase-order"
_WEIGHTS: Final = {"ai_parsing": 4.0, "database_save": 2.0, "ai_enrichment": 3.0, "shopify_sync": 3.0}
_ENRICH_LINES_MAX: Final = 25  # lines in one prompt: an answer of this size stays reliable
_IMAGES_AT_ONCE: Final = 4  # concurrent image checks of one order

_log = structlog.get_logger(__name__)

STEPS: Final = tuple(StepPlan(stage, _WEIGHTS.get(stage, 1.0)) for stage in STAGES)


@attrs.frozen
class OrderTools:
    """The parts that the jobs of all orders share."""

    settings: PurchaseOrderSettings
    store: OrderStore
    generator: TextGenerator
    open_shop: Callable[[], AbstractAsyncContextManager[Shop]]
    open_images: Callable[[], AbstractAsyncContextManager[ImageVerifier]]
    currencies: Mapping[str, str]  # by merchant, for merchants with a currency of their own
    arrivals: Computer  # checks documents at their receipt
    computer: Computer  # reads the documents of jobs
    turns: Turns = attrs.field(factory=Turns)

    def currency_of(self, merchant_id: str) -> str:
        """Return the currency of a merchant's orders that name none."""
        return self.currencies.get(merchant_id, self.settings.default_currency)

    @property
    def limits(self) -> OrderLimits:
        """The limits on one order."""
        return OrderLimits(self.settings.max_lines, self.settings.max_field_chars)


async def process_order(tools: OrderTools, progress: Progress) -> dict[str, Any]:
    """Run the job of a task of this kind.

    Raises:
        WorkFailed: see :meth:`OrderJob.run`; or the task has no order, or a damaged one.
    """
    try:
        received = await tools.store.document(order_id_of(progress.id))
    except Unreadable as error:
        raise WorkFailed(error.detail, code=error.code) from error
    if received is None:  # the task was not created by this service's route
        raise WorkFailed("this task has no order to process", code="no-order")
    return await OrderJob(tools, received).run()


class OrderJob:
    """The job of one order.

    Args:
        tools: the shared parts.
        received: the received document.
    """

    def __init__(self, tools: OrderTools, received: ReceivedOrder) -> None:
        self._tools = tools
        self._store = tools.store
        self._received = received
        self._po_id = received.po_id
        self._order = Order(lines=())
        self._confidence = 0.0
        self._warnings: tuple[Notice, ...] = ()
        self._images: tuple[Image, ...] = ()
        self._payload = b""
        self._shop_id: str | None = None
        self._sync_failed: str | None = None

    async def run(self) -> dict[str, Any]:
        """Run all stages and return the task's result.

        Raises:
            WorkFailed: the order cannot be parsed or saved, or the shop rejected it.

        Cancelling keeps the saved parts. :func:`end_of` derives the end of the order.
        """
        stages = {
            "merchant_config": self._merchant_config,
            "ai_parsing": self._ai_parsing,
            "data_normalization": self._data_normalization,
            "database_save": self._database_save,
            "ai_enrichment": self._ai_enrichment,
            "product_draft_creation": self._product_draft_creation,
            "shopify_payload": self._shopify_payload,
            "shopify_sync": self._shopify_sync,
            "image_attachment": self._image_attachment,
            "background_image_processing": self._background_image_processing,
            "status_update": self._status_update,
        }
        await self._store.begin(self._po_id)
        for name in STAGES:
            async with self._run_stage(name) as stage:
                await stages[name](stage)
        if self._sync_failed is not None:
            raise WorkFailed(f"the order is saved, but {self._sync_failed}", code=SyncFailed.code)
        return {
            "poId": self._po_id,
            "lineItems": len(self._order.lines),
            "confidence": self._confidence,
            "warnings": len(self._warnings),
            "shopifyOrderId": self._shop_id,
        }

    @asynccontextmanager
    async def _run_stage(self, name: str) -> AsyncIterator[StepProgress]:
        """Run a stage as a step; an error with a detail for clients fails the task with that detail."""
        async with step(name, message=STAGE_MESSAGES[name]) as stage:
            try:
                yield stage
            except StepFailed as failed:
                await self._store.note_stage(self._po_id, name, "failed", failed.detail)
                raise
            except (InvalidTransition, LeaseLost):
                raise
            except StreamdError as error:
                raise WorkFailed(error.detail, code=error.code) from error

    async def _skip(self, stage: StepProgress, reason: str) -> None:
        await self._store.note_stage(self._po_id, stage.name, "skipped", reason)
        await stage.skip(reason)

    # --- the stages -------------------------------------------------------------------------------

    async def _merchant_config(self, stage: StepProgress) -> None:
        merchant_id = self._received.merchant_id
        number = await self._store.count_order(merchant_id, self._po_id)
        currency = self._tools.currency_of(merchant_id)
        await stage.update(100, f"Order {number} of this merchant, in {currency} unless it names a currency")

    async def _ai_parsing(self, stage: StepProgress) -> None:
        document, limits = self._received.document, self._tools.limits
        await stage.update(5, f"Received {_count(len(document), 'byte')} of {self._received.format.value}")
        computer = self._tools.computer
        text = decode_text(document)
        await stage.update(10, f"Decoded {_count(len(text), 'character')}")
        ungrounded: frozenset[int] = frozenset()
        if self._received.format is Format.TEXT:
            begun = partial(stage.update, 30, "Extracting line items")
            order = await read_mail(self._tools.generator, text, limits, begun, computer)
            ungrounded = await computer.run(len(text), ungrounded_lines, order, text)
        else:
            order = await computer.run(len(text), read_order, text, self._received.format, limits)
            await stage.update(30, f"Found {_count(len(order.lines), 'row')}")
        await stage.update(90, f"Parsed {_count(len(order.lines), 'line item')}")
        self._order = order
        self._confidence = confidence_of(order, ungrounded)
        self._warnings = tuple(_parsing_warnings(order, ungrounded))
        await stage.update(100, f"Confidence {self._confidence:g} of 100")
        stage.complete(lineItems=len(order.lines), confidence=self._confidence)

    async def _data_normalization(self, stage: StepProgress) -> None:
        currency = self._tools.currency_of(self._received.merchant_id)
        # 10 ms for a thousand lines, whose way to a worker process and back would take as long.
        normalized = await self._tools.turns.run(one_step(normalize_order, self._order, currency))
        self._order = normalized.order
        self._warnings += normalized.warnings
        unpriced, total = sum(line.unit_price is None for line in self._order.lines), self._order.total
        await stage.update(
            100,
            f"Normalized {_count(len(self._order.lines), 'line item')}"
            + (f", {decimal_text(total)} {self._order.currency} in total" if total is not None else "")
            + (f", {unpriced} without a price" if unpriced else "")
            + (f", {_count(len(self._warnings), 'warning')}" if self._warnings else ""),
        )
        stage.complete(lineItems=len(self._order.lines))

    async def _database_save(self, stage: StepProgress) -> None:
        store, order = self._store, self._order
        await stage.update(10, "Saving order header")
        await store.save_header(self._po_id, order, self._confidence, self._warnings)
        await stage.update(30, "Validating AI results")
        await store.save_lines(self._po_id, order.lines)
        if not await store.holds(self._po_id, order):
            raise WorkFailed("the stored order differs from the parsed order", code="save-failed")
        # Also for one: existing frontends match this sentence.
        await stage.update(60, f"Saved {len(order.lines)} line items")
        await store.mark_saved(self._po_id)
        await stage.update(90, "Marked order as saved")
        await stage.update(100, "Saved to database")
        stage.complete(lineItems=len(order.lines), purchaseOrderId=self._po_id)

    async def _ai_enrichment(self, stage: StepProgress) -> None:
        lines = self._order.lines
        enriched: list[OrderLine] = []
        for start in range(0, len(lines), _ENRICH_LINES_MAX):
            part = lines[start : start + _ENRICH_LINES_MAX]
            try:
                enriched += await enrich_lines(self._tools.generator, part)
            except StreamdError as error:
                _log.warning("enrichment_failed", order=self._po_id, cause=repr(root_cause(error)))
                raise StepFailed(f"no descriptions were found: {error.detail}") from error
            done = len(enriched)
            if done < len(lines):
                await stage.update(100 * done / len(lines), f"Enriched {done} of {len(lines)} line items")
        await self._store.save_lines(self._po_id, enriched)
        self._order = attrs.evolve(self._order, lines=tuple(enriched))
        described = sum(bool(line.category) for line in enriched)
        await stage.update(100, f"Enriched {described} of {len(lines)} line items")
        stage.complete(lineItems=described)

    async def _product_draft_creation(self, stage: StepProgress) -> None:
        if not any(line.sku for line in self._order.lines):
            await self._skip(stage, "no line has a SKU")
            return
        merchant_id = self._received.merchant_id
        made = await self._store.draft_products(merchant_id, self._po_id, self._order.lines)
        if not made:
            await self._skip(stage, "all SKUs are known products")
            return
        await stage.update(100, f"Created {_count(made, 'product draft')}")
        stage.complete(lineItems=made)

    async def _shopify_payload(self, stage: StepProgress) -> None:
        payload = make_payload(self._po_id, self._received.merchant_id, self._order)
        self._payload = msgspec.json.encode(payload)
        await self._store.save_payload(self._po_id, self._payload)
        await stage.update(100, f"Prepared {_count(len(self._order.lines), 'line item')}")
        stage.complete(lineItems=len(self._order.lines))

    async def _shopify_sync(self, stage: StepProgress) -> None:
        if not self._tools.settings.sync_url:
            await self._skip(stage, "no URL is configured to send orders to")
            return
        await stage.update(10, "Sending order to Shopify")
        try:
            async with self._tools.open_shop() as shop:
                answer = await shop.send(self._payload, self._po_id, partial(stage.update, 10))
        except SyncFailed as failed:
            cause = repr(root_cause(failed))  # not for clients: it may name the shop's host
            _log.warning("shop_sync_failed", order=self._po_id, reason=failed.detail, cause=cause)
            self._sync_failed = failed.detail
            raise StepFailed(failed.detail) from failed
        await stage.update(50, f"Shopify answered with status {answer.status}")
        self._shop_id = answer.order_id
        await stage.update(90, f"Created Shopify order {self._shop_id}")
        await self._store.save_shop_id(self._po_id, self._shop_id)
        await stage.update(100, "Synced to Shopify")
        stage.complete(purchaseOrderId=self._po_id, shopifyOrderId=self._shop_id)

    async def _image_attachment(self, stage: StepProgress) -> None:
        self._images = tuple(
            Image(line=line.number, url=line.image_url) for line in self._order.lines if line.image_url
        )
        if not self._images:
            await self._skip(stage, "no line has an image")
            return
        await self._store.save_images(self._po_id, self._images)
        await stage.update(100, f"Attached {_count(len(self._images), 'image')}")
        stage.complete(lineItems=len(self._images))

    async def _background_image_processing(self, stage: StepProgress) -> None:
        if not self._images:
            await self._skip(stage, "no line has an image")
            return
        seen: list[Image] = []
        limiter = trio.CapacityLimiter(_IMAGES_AT_ONCE)

        async def verify(image: Image) -> None:
            async with limiter:
                verified = await images.verify(image)
                await self._store.save_images(self._po_id, [verified])
                seen.append(verified)

        async with self._tools.open_images() as images, trio.open_nursery() as nursery:
            for image in self._images:
                nursery.start_soon(verify, image)
        good = sum(image.status == "verified" for image in seen)
        await stage.update(100, f"Verified {good} of {_count(len(seen), 'image')}")
        stage.complete(lineItems=good)

    async def _status_update(self, stage: StepProgress) -> None:
        status = OrderStatus.COMPLETED if self._sync_failed is None else OrderStatus.SYNC_FAILED
        await stage.update(100, f"Order status is {status.value}")
        stage.complete(lineItems=len(self._order.lines), purchaseOrderId=self._po_id)
        if self._shop_id is not None:
            stage.complete(shopifyOrderId=self._shop_id)


def _parsing_warnings(order: Order, ungrounded: frozenset[int]) -> Iterable[Notice]:
    if order.unread:
        yield Notice(field="body", message=f"{_count(order.unread, 'line')} of the text could not be read")
    for line in order.lines:
        if line.number in ungrounded:
            named = shown(line.sku or line.description)
            yield Notice(field=line.location, message=f"{named} has a figure that the text does not contain")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
