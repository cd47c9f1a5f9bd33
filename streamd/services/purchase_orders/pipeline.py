"""The work on one order: its stages, each of which does what its figures say before they are said.

What fails an order, and what does not: an order that cannot be read or saved fails. Without an enrichment, a
picture or a draft it lacks nothing; such a stage fails alone. An order that the shop does not take stays
saved: the stages behind run, the order ends as ``sync_failed``, and then the workflow *fails*, because who
looks only at the workflow must not take the order for delivered.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import attrs
import msgspec
import structlog
import trio

from ...errors import InvalidTransition, LeaseLost, StreamdError
from ...tasks import Progress, StepFailed, StepPlan, WorkFailed
from ...text import TextGenerator
from .documents import decode_text, read_sheet
from .enrich import enrich_lines
from .images import ImageLooker
from .listener import MerchantListener
from .merchant_events import MerchantEvents
from .model import STAGES, Format, Image, Notice, Order, OrderLimits, OrderLine, OrderStatus, ReceivedOrder
from .normalize import normalize_order, without_price
from .parsing import confidence_of, describe_ungrounded, read_mail, ungrounded_lines
from .settings import PurchaseOrderSettings
from .sheet import make_order
from .shop import Shop, SyncFailed, make_payload, read_order_id
from .stages import OrderStage, run_stage
from .store import OrderStore

_WEIGHTS: Final = {"ai_parsing": 4.0, "database_save": 2.0, "ai_enrichment": 3.0, "shopify_sync": 3.0}
PLAN: Final = tuple(StepPlan(stage, _WEIGHTS.get(stage, 1.0)) for stage in STAGES)

_log = structlog.get_logger(__name__)


@attrs.frozen
class Tools:
    """What the work on any order needs."""

    settings: PurchaseOrderSettings
    store: OrderStore
    events: MerchantEvents
    generator: TextGenerator
    shop: Shop
    images: ImageLooker

    currencies: Mapping[str, str]  # by merchant, where it is not the default

    def currency_of(self, merchant_id: str) -> str:
        """The currency of a merchant's orders that name none."""
        return self.currencies.get(merchant_id, self.settings.default_currency)

    @property
    def limits(self) -> OrderLimits:
        return OrderLimits(self.settings.max_lines, self.settings.max_field_chars)


class OrderWork:
    """The work on one order.

    Args:
        tools: shared by all.
        received: the order as it came in.
        listener: hears of its stages.
    """

    def __init__(self, tools: Tools, received: ReceivedOrder, listener: MerchantListener) -> None:
        self._tools = tools
        self._listener = listener
        self._store = tools.store
        self._received = received
        self._po_id = received.po_id
        self._stage = ""
        self._default_currency = ""
        self._order = Order(lines=())
        self._confidence = 0.0
        self._warnings: tuple[Notice, ...] = ()
        self._images: tuple[Image, ...] = ()
        self._shop_id: str | None = None
        self._sync_failed: str | None = None

    async def run(self) -> dict[str, Any]:
        """Go through all stages; the result is the task's.

        Raises:
            WorkFailed: the order could not be read or saved, or the shop did not take it.

        Cancelled, what was saved stays; the sweep then ends the order as its task has ended.
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
        try:
            for name in STAGES:
                async with self._stage_of(name) as stage:
                    await stages[name](stage)
        except (InvalidTransition, LeaseLost):
            raise
        except Exception as error:
            said = error.detail if isinstance(error, WorkFailed) else "this stage failed"
            await self._store.end(self._po_id, OrderStatus.FAILED, stage=self._stage, error=said)
            raise
        if self._sync_failed is not None:
            raise WorkFailed(f"the order is saved, but {self._sync_failed}", code=SyncFailed.code)
        return self._result()

    def _result(self) -> dict[str, Any]:
        return {
            "poId": self._po_id,
            "lineItems": len(self._order.lines),
            "confidence": self._confidence,
            "warnings": len(self._warnings),
            "shopifyOrderId": self._shop_id,
        }

    @asynccontextmanager
    async def _stage_of(self, name: str) -> AsyncIterator[OrderStage]:
        """A stage whose failure says why to the client, where the error has a sentence for it."""
        self._stage = name
        async with run_stage(name, _SAID[name], self._listener) as stage:
            try:
                yield stage
            except StepFailed as failed:
                await self._store.note_stage(self._po_id, name, "failed", failed.detail)
                raise
            except (InvalidTransition, LeaseLost):
                self._listener.is_over = True  # the sweep ends the order as the task has ended
                raise
            except StreamdError as error:
                raise WorkFailed(error.detail, code=error.code) from error

    async def _skip(self, stage: OrderStage, reason: str) -> None:
        await self._store.note_stage(self._po_id, stage.name, "skipped", reason)
        await stage.skip(reason)

    # --- the stages -------------------------------------------------------------------------------

    async def _merchant_config(self, stage: OrderStage) -> None:
        merchant_id = self._received.merchant_id
        number = await self._store.count_order(merchant_id, self._po_id)
        self._default_currency = self._tools.currency_of(merchant_id)
        await stage.update(
            100, f"Order {number} of this merchant; without a currency it is in {self._default_currency}"
        )

    async def _ai_parsing(self, stage: OrderStage) -> None:
        document, limits = self._received.document, self._tools.limits
        await stage.update(5, f"{len(document)} bytes of {self._received.format.value}")
        text = decode_text(document)
        await stage.update(10, f"{len(text)} characters")
        ungrounded: frozenset[int] = frozenset()
        if self._received.format is Format.TEXT:
            begun = partial(stage.update, 30, f"Reading it ({self._tools.generator.name})")
            order = await read_mail(self._tools.generator, text, limits, begun)
            ungrounded = await trio.to_thread.run_sync(ungrounded_lines, order, text)
        else:
            sheet = await trio.to_thread.run_sync(read_sheet, text, self._received.format, limits)
            await stage.update(30, f"{len(sheet.rows)} rows found")
            order = await trio.to_thread.run_sync(make_order, sheet, limits)
        await stage.update(90, f"{_count(len(order.lines), 'line')} read")
        self._order = order
        self._confidence = confidence_of(order, ungrounded)
        self._warnings = tuple(_parsing_warnings(order, ungrounded))
        await stage.update(100, f"Confidence {self._confidence:g} of 100")
        stage.complete(lineItems=len(order.lines), confidence=self._confidence)

    async def _data_normalization(self, stage: OrderStage) -> None:
        normalized = normalize_order(self._order, self._default_currency)
        self._order = normalized.order
        self._warnings += normalized.warnings
        unpriced = without_price(self._order.lines)
        await stage.update(
            100,
            f"{self._order.total} {self._order.currency} in all"
            + (f", {_count(unpriced, 'line')} without a price" if unpriced else "")
            + (f"; {_count(len(self._warnings), 'warning')}" if self._warnings else ""),
        )
        stage.complete(lineItems=len(self._order.lines))

    async def _database_save(self, stage: OrderStage) -> None:
        store, order = self._store, self._order
        await stage.update(10, f"{_count(len(order.lines), 'line')} to save")
        await store.save_header(self._po_id, order, self._confidence, self._warnings)
        await stage.update(30, "The order is written")
        await store.save_lines(self._po_id, order.lines)
        await stage.update(60, "Its lines are written")
        if not await store.holds(self._po_id, order):
            raise WorkFailed("what was saved is not what was read", code="save-failed")
        await stage.update(90, "Read back and compared")
        await store.mark_saved(self._po_id)
        await stage.update(100, "Saved")
        stage.complete(lineItems=len(order.lines), purchaseOrderId=self._po_id)

    async def _ai_enrichment(self, stage: OrderStage) -> None:
        lines, at_once = self._order.lines, self._tools.settings.enrich_lines_at_once
        enriched: list[OrderLine] = []
        for start in range(0, len(lines), at_once):
            part = lines[start : start + at_once]
            try:
                found = await enrich_lines(self._tools.generator, part)
            except StreamdError as error:
                raise StepFailed(f"no descriptions were found: {error.detail}") from error
            for line in part:
                about = found.get(line.number)
                enriched.append(
                    line
                    if about is None
                    else attrs.evolve(
                        line, category=about.category, tags=about.tags, short_description=about.description
                    )
                )
            done = len(enriched)
            if done < len(lines):
                await stage.update(100 * done / len(lines), f"{done} of {len(lines)} lines")
        await self._store.save_lines(self._po_id, enriched)
        self._order = attrs.evolve(self._order, lines=tuple(enriched))
        described = sum(bool(line.category) for line in enriched)
        await stage.update(100, f"{described} of {len(lines)} lines described")
        stage.complete(lineItems=described)

    async def _product_draft_creation(self, stage: OrderStage) -> None:
        merchant_id = self._received.merchant_id
        skus = {line.sku for line in self._order.lines if line.sku}
        if not skus:
            await self._skip(stage, "no line has a SKU")
        elif not skus - await self._store.known_skus(merchant_id, skus):
            await self._skip(stage, "all SKUs are known products")
        else:
            made = await self._store.draft_products(merchant_id, self._po_id, self._order.lines)
            await stage.update(100, f"{_count(made, 'product draft')} made")
            stage.complete(lineItems=made)

    async def _shopify_payload(self, stage: OrderStage) -> None:
        payload = make_payload(self._po_id, self._received.merchant_id, self._order)
        encoded = msgspec.json.encode(payload)
        await self._store.save_payload(self._po_id, encoded)
        await stage.update(100, f"{len(encoded)} bytes for {_count(len(self._order.lines), 'line')}")
        stage.complete(lineItems=len(self._order.lines))

    async def _shopify_sync(self, stage: OrderStage) -> None:
        if not self._tools.settings.sync_url:
            await self._skip(stage, "no URL is configured to send orders to")
            return
        payload = await self._store.payload(self._po_id)
        assert payload is not None, "the stage before has stored it"
        await stage.update(10, "Sending it to the shop")
        try:
            answer = await self._tools.shop.send(payload, self._po_id, partial(stage.update, 10))
        except SyncFailed as failed:
            self._sync_failed = failed.detail
            raise StepFailed(failed.detail) from failed
        await stage.update(50, f"The shop answered {answer.status}")
        self._shop_id = read_order_id(answer.body)
        assert self._shop_id is not None, "the shop's answer was checked"
        await stage.update(90, f"The shop calls it {self._shop_id}")
        await self._store.save_shop_id(self._po_id, self._shop_id)
        await stage.update(100, "Kept with the order")
        stage.complete(purchaseOrderId=self._po_id, shopifyOrderId=self._shop_id)

    async def _image_attachment(self, stage: OrderStage) -> None:
        self._images = tuple(
            Image(line=line.number, url=line.image_url) for line in self._order.lines if line.image_url
        )
        if not self._images:
            await self._skip(stage, "no line has an image")
            return
        await self._store.save_images(self._po_id, self._images)
        await stage.update(100, f"{_count(len(self._images), 'image')} attached")
        stage.complete(lineItems=len(self._images))

    async def _background_image_processing(self, stage: OrderStage) -> None:
        if not self._images:
            await self._skip(stage, "no line has an image")
            return
        seen: list[Image] = []
        places = trio.CapacityLimiter(self._tools.settings.images_at_once)

        async def look(image: Image) -> None:
            async with places:
                looked = await self._tools.images.look(image)
                await self._store.save_images(self._po_id, [looked])
                seen.append(looked)

        async with trio.open_nursery() as nursery:
            for image in self._images:
                nursery.start_soon(look, image)
        good = sum(image.status == "verified" for image in seen)
        await stage.update(100, f"{good} of {_count(len(seen), 'image')} verified")
        stage.complete(lineItems=good)

    async def _status_update(self, stage: OrderStage) -> None:
        status = OrderStatus.COMPLETED if self._sync_failed is None else OrderStatus.SYNC_FAILED
        at = "" if self._sync_failed is None else "shopify_sync"
        await self._store.end(self._po_id, status, stage=at, error=self._sync_failed or "")
        await stage.update(100, f"The order is {status.value}")
        stage.complete(
            lineItems=len(self._order.lines), purchaseOrderId=self._po_id, **_with_shop_id(self._shop_id)
        )


_SAID: Final = {
    "merchant_config": "Looking up the merchant",
    "ai_parsing": "Reading the order",
    "data_normalization": "Checking SKUs, currencies and totals",
    "database_save": "Saving the order",
    "ai_enrichment": "Describing the goods",
    "product_draft_creation": "Drafting products that are new",
    "shopify_payload": "Preparing it for the shop",
    "shopify_sync": "Sending it to the shop",
    "image_attachment": "Attaching images",
    "background_image_processing": "Looking at the images",
    "status_update": "Recording the end",
}


def _with_shop_id(shop_id: str | None) -> dict[str, str]:
    return {} if shop_id is None else {"shopifyOrderId": shop_id}


def _parsing_warnings(order: Order, ungrounded: frozenset[int]) -> Iterable[Notice]:
    if order.unread:
        yield Notice(field="body", message=f"{_count(order.unread, 'line')} of the text could not be read")
    for line in order.lines:
        if line.number in ungrounded:
            yield Notice(field=line.location, message=describe_ungrounded(line))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


async def work_on(tools: Tools, progress: Progress) -> Any:
    """The work of a task of kind ``purchase-order``.

    Raises:
        WorkFailed: see :meth:`OrderWork.run`.
    """
    po_id = progress.input.get("poId") if isinstance(progress.input, dict) else None
    received = await tools.store.document(po_id) if isinstance(po_id, str) else None
    # Tasks of this kind can also be made past POST /api/purchase-orders; such a one has no order to work on.
    if received is None or received.workflow_id != progress.id:
        raise WorkFailed("this task has no order to work on", code="no-order")
    listener = MerchantListener(tools.events, received.merchant_id, received.po_id, progress.id)
    return await OrderWork(tools, received, listener).run()
