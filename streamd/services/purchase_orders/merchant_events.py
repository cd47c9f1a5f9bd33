"""The events of a merchant: their data, their topics, and their publication with the task that they report.

A change of an order's task is published on the task's own topic and, as ``stage``, ``progress``,
``completion`` or ``error``, on ``merchant:{merchantId}:{type}``. :func:`present` builds both, so that they
are stored with the change in one transaction and published in order, each at least once.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, TypedDict, Unpack

import structlog

from streamd.characters import quoted

from ...errors import InvalidField, StreamdError
from ...tasks import Cause, Message, Publication, StepStatus, Task, as_percent
from .ending import unreported_error
from .identity import check_merchant
from .order import STAGES

TYPES: Final = ("stage", "progress", "completion", "error")

_COMPLETION_FIELDS: Final = ("lineItems", "confidence", "purchaseOrderId", "shopifyOrderId")

_log = structlog.get_logger(__name__)

Publish = Callable[..., Awaitable[Any]]
"""Publish one event; :meth:`streamd.Streamd.publish`."""


def topics_of(merchant_id: str) -> list[str]:
    """Return the topics of all events of a merchant."""
    return [topic_of(merchant_id, type) for type in TYPES]


def topic_of(merchant_id: str, type: str) -> str:
    """Return the topic of a merchant's events of one type."""
    return f"merchant:{merchant_id}:{type}"


def order_id_of(workflow_id: str) -> str:
    """Return the id of the order that a task processes."""
    return f"po-{workflow_id}"


def present(task: Task, message: Message) -> list[Publication]:
    """Publish a change of an order's task on the task's topic and to its merchant."""
    publications = [Publication((task.topic,), message)]
    if task.owner:
        publications += [
            Publication((topic_of(task.owner, event.type),), event) for event in _report(task, message)
        ]
    return publications


def _report(task: Task, message: Message) -> Iterator[Message]:
    """Yield the merchant's events for a message of an order's task."""

    def ids(stage: str) -> StageIds:
        return {"stage": stage, "po_id": order_id_of(task.id), "workflow_id": task.id}

    for step in message.steps:
        of = ids(step.name)
        match message.cause, step.status:
            case Cause.STEP_STARTED, _:
                yield stage_event(message=step.message, **of)
            case Cause.STEP_UPDATED, _:
                yield progress_event(progress=step.progress, message=step.message, **of)
            case ((Cause.STEP_ENDED | Cause.FAILED | Cause.CANCELLED), StepStatus.FAILED):
                yield error_event(error=step.error, **of)
            case Cause.STEP_ENDED, _:
                if step.status is StepStatus.SKIPPED:  # followers expect a completion: the reason precedes it
                    yield progress_event(progress=100, message=f"Skipped: {step.message}", **of)
                further = {name: message.data.get(name) for name in _COMPLETION_FIELDS}
                yield completion_event(further=further, **of)
    if not message.steps and (error := unreported_error(task)) is not None:
        yield error_event(error=error.detail, **ids(task.step or STAGES[0]))


# --- the events -----------------------------------------------------------------------------------


class StageIds(TypedDict):
    """The stage that an event reports."""

    stage: str
    po_id: str
    workflow_id: str


def stage_event(*, message: str = "", **ids: Unpack[StageIds]) -> Message:
    """Build the event for the start of a stage."""
    return Message("stage", _fields(ids) | {"status": "started", "message": message})


def progress_event(*, progress: float, message: str = "", **ids: Unpack[StageIds]) -> Message:
    """Build the event for the progress of a stage, 0 to 100.

    Raises:
        InvalidField: the progress is out of range.
    """
    fields = _fields(ids)
    stage = fields.pop("stage")  # the contract has it after the ids
    shown = as_percent(_percent(progress, "progress"))
    return Message("progress", fields | {"stage": stage, "progress": shown, "message": message})


def completion_event(*, further: Mapping[str, Any], **ids: Unpack[StageIds]) -> Message:
    """Build the event for the completion of a stage, with those of its further fields that are not None.

    Raises:
        InvalidField: the confidence is out of range.
    """
    fields = _fields(ids) | {name: value for name, value in further.items() if value is not None}
    if "confidence" in fields:
        fields["confidence"] = as_percent(round(_percent(fields["confidence"], "confidence"), 1))
    return Message("completion", fields)


def error_event(*, error: str, **ids: Unpack[StageIds]) -> Message:
    """Build the event for the failure of a stage; the error is a sentence for clients."""
    return Message("error", _fields(ids) | {"error": error})


def _fields(ids: StageIds) -> dict[str, Any]:
    return {"stage": ids["stage"], "poId": ids["po_id"], "workflowId": ids["workflow_id"]}


def _percent(value: float, field: str) -> float:
    """Check a value from 0 to 100."""
    if isinstance(value, bool) or not 0 <= value <= 100:
        raise InvalidField(f"{field} must be a number from 0 to 100, got {quoted(value)}", field=field)
    return value


# --- for programs -----------------------------------------------------------------------------------


class MerchantEvents:
    """Typed publishing to merchants, for programs that process orders themselves.

    An event that the hub refuses is logged and dropped: publishing never fails an order.

    Args:
        publish: publishes one event.
    """

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    async def publish_stage(self, merchant_id: str, *, message: str = "", **ids: Unpack[StageIds]) -> None:
        """Publish the start of a stage.

        Raises:
            InvalidField: the merchant's id is not valid.
        """
        await self.send(merchant_id, stage_event(message=message, **ids))

    async def publish_progress(
        self, merchant_id: str, *, progress: float, message: str = "", **ids: Unpack[StageIds]
    ) -> None:
        """Publish the progress of a stage, 0 to 100 within the stage.

        Raises:
            InvalidField: the merchant's id or the progress is not valid.
        """
        await self.send(merchant_id, progress_event(progress=progress, message=message, **ids))

    async def publish_completion(
        self,
        merchant_id: str,
        *,
        line_items: int | None = None,
        confidence: float | None = None,
        purchase_order_id: str | None = None,
        shopify_order_id: str | None = None,
        **ids: Unpack[StageIds],
    ) -> None:
        """Publish the completion of a stage; values that are None are left out.

        Args:
            merchant_id: the merchant.
            line_items: number of lines that the stage processed.
            confidence: 0 to 100.
            purchase_order_id: the stored order's id.
            shopify_order_id: the shop's id of the order.
            ids: the stage, the order and its processing.

        Raises:
            InvalidField: the merchant's id or the confidence is not valid.
        """
        values = (line_items, confidence, purchase_order_id, shopify_order_id)
        further = dict(zip(_COMPLETION_FIELDS, values, strict=True))
        await self.send(merchant_id, completion_event(further=further, **ids))

    async def publish_error(self, merchant_id: str, *, error: str, **ids: Unpack[StageIds]) -> None:
        """Publish the failure of a stage; the error is a sentence for clients.

        Raises:
            InvalidField: the merchant's id is not valid.
        """
        await self.send(merchant_id, error_event(error=error, **ids))

    async def send(self, merchant_id: str, event: Message) -> None:
        """Publish one event to a merchant."""
        topic = topic_of(check_merchant(merchant_id), event.type)
        try:
            await self._publish(topic, event.data, type=event.type)
        except StreamdError as error:
            _log.warning(
                "merchant_event_dropped",
                type=event.type,
                order=event.data["poId"],
                stage=event.data["stage"],
                code=error.code,
                detail=error.detail,
            )
