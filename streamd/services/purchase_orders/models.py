"""The JSON bodies and answers of the purchase orders API, as ``/openapi.json`` shows them."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ...http import MediaTypes, OnLimit
from ...tasks import Task, as_percent, format_optional
from .amounts import decimal_text
from .order import STAGES, Format, Image, Order, OrderLine
from .stored import StoredOrder

Money = Annotated[str, Meta(description="An amount as text, exact to the digit.")]
_Number = int | float


class MerchantQuery(Struct, rename="camel"):
    """The merchant of the orders."""

    merchant_id: (
        Annotated[str, Meta(description="The merchant; the configured one by default.")] | UnsetType
    ) = UNSET


class StreamQuery(MerchantQuery):
    """The merchant whose events to receive, the cursor, and the answer to a client that gets no stream."""

    last_event_id: Annotated[str, Meta(description="The id of the last event received.")] | UnsetType = UNSET
    on_limit: OnLimit | UnsetType = field(default=UNSET, name="on_limit")


class NewLine(Struct, rename="camel"):
    """One line item, with a SKU or a description."""

    quantity: int | str
    sku: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    unit_price: str | float | UnsetType = UNSET
    total: str | float | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    image_url: str | UnsetType = UNSET


class NewOrder(Struct, rename="camel"):
    """An order as JSON. As `text/csv` it has a header and a row per line, as `text/plain` it is an e-mail."""

    lines: list[NewLine]
    order_number: str | UnsetType = UNSET
    supplier: str | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    total: str | float | UnsetType = UNSET
    note: str | UnsetType = UNSET

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {Format.JSON: (cls, list[NewLine]), Format.CSV: (str,), Format.TEXT: (str,)}


class AcceptedOrder(Struct, rename="camel"):
    """The order is stored and its processing has begun."""

    po_id: str
    workflow_id: str
    status_url: str
    events_url: Annotated[str, Meta(description="The merchant's events, from just before this order.")]


class ImageAnswer(Struct, rename="camel"):
    """The image of a line."""

    url: str
    status: Literal["attached", "verified", "failed"]
    reason: str
    media_type: str
    bytes: int
    sha256: str


class LineAnswer(Struct, rename="camel"):
    """A stored line item."""

    line: int
    sku: str
    description: str
    quantity: int
    unit_price: Money | None
    total: Money | None
    category: str
    tags: list[str]
    short_description: str
    image: ImageAnswer | None


class WarningAnswer(Struct, rename="camel"):
    """A warning for a person to check."""

    field: str
    message: str


class StageAnswer(Struct, rename="camel"):
    """A stage that was skipped, or failed without failing the order."""

    stage: str
    reason: str


class WorkflowAnswer(Struct, rename="camel"):
    """The task that processes the order; `expired` after its deletion."""

    status: Literal["pending", "running", "completed", "failed", "cancelled", "expired"]
    progress: _Number | None
    step: Annotated[int | None, Meta(description="Number of the current stage, from 1.")]
    steps: Annotated[int | None, Meta(description="How many stages there are.")]
    stage: Annotated[str, Meta(description="Name of the current stage.")]
    message: str
    error: str | None
    started_at: str | None
    ended_at: str | None


class OrderAnswer(Struct, rename="camel"):
    """An order with its status and content."""

    po_id: str
    merchant_id: str
    workflow_id: str
    status: Literal["received", "processing", "saved", "completed", "sync_failed", "failed", "cancelled"]
    failed_stage: str | None
    error: str | None
    order_number: str
    supplier: str
    currency: str
    total: Money | None
    note: str
    confidence: _Number | None
    lines: Annotated[list[LineAnswer], Meta(description="Empty until the order is saved.")]
    warnings: list[WarningAnswer]
    skipped: list[StageAnswer]
    failed: list[StageAnswer]
    shopify_order_id: str | None
    created_at: str
    ended_at: str | None
    workflow: WorkflowAnswer


def answer_order(stored: StoredOrder, task: Task | None) -> OrderAnswer:
    """Build the answer for a stored order.

    Args:
        stored: the order.
        task: the task that processes it; None after its deletion.
    """
    order = stored.order or Order(lines=())
    images = {image.line: image for image in stored.images}
    return OrderAnswer(
        po_id=stored.po_id,
        merchant_id=stored.merchant_id,
        workflow_id=stored.workflow_id,
        status=stored.status.value,
        failed_stage=stored.stage or None,
        error=stored.error or None,
        order_number=order.number,
        supplier=order.supplier,
        currency=order.currency,
        total=None if order.total is None else decimal_text(order.total),
        note=order.note,
        confidence=None if stored.confidence is None else as_percent(stored.confidence),
        lines=[_answer_line(line, images.get(line.number)) for line in order.lines],
        warnings=[WarningAnswer(warning.field, warning.message) for warning in stored.warnings],
        skipped=_answer_stages(stored.skipped),
        failed=_answer_stages(stored.failed),
        shopify_order_id=stored.shopify_order_id,
        created_at=stored.created_at,
        ended_at=stored.ended_at,
        workflow=_answer_workflow(task),
    )


def _answer_stages(stages: Iterable[tuple[str, str]]) -> list[StageAnswer]:
    in_order = sorted(stages, key=lambda noted: STAGES.index(noted[0]))
    return [StageAnswer(stage, reason) for stage, reason in in_order]


def _answer_line(line: OrderLine, image: Image | None) -> LineAnswer:
    return LineAnswer(
        line=line.number,
        sku=line.sku,
        description=line.description,
        quantity=line.quantity,
        unit_price=None if line.unit_price is None else decimal_text(line.unit_price),
        total=None if line.total is None else decimal_text(line.total),
        category=line.category,
        tags=list(line.tags),
        short_description=line.short_description,
        image=_answer_image(image, line.image_url),
    )


def _answer_image(image: Image | None, url: str) -> ImageAnswer | None:
    image = image or (Image(line=0, url=url) if url else None)
    if image is None:
        return None
    status: Any = image.status
    return ImageAnswer(image.url, status, image.reason, image.media_type, image.size, image.sha256)


def _answer_workflow(task: Task | None) -> WorkflowAnswer:
    if task is None:
        return WorkflowAnswer("expired", None, None, None, "", "", None, None, None)
    return WorkflowAnswer(
        status=task.status.value,
        progress=as_percent(task.progress),
        step=task.number_of(task.step),
        steps=len(task.steps),
        stage=task.step,
        message=task.message,
        error=task.error.detail if task.error else None,
        started_at=format_optional(task.started_at),
        ended_at=format_optional(task.ended_at),
    )
