"""The events of a merchant: their data, their topics, and their publication with the task that they report.

A change of an order's task is published on the task's own topic and, as ``stage``, ``progress``,
``completion`` or ``error``, on ``merchant:{merchantId}:{type}``. :func:`present` builds both, so that they
are stored with the change in one transaction and published once each, in order.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import structlog

from ...errors import InvalidField, StreamdError
from ...tasks import Cause, Message, Publication, Step, StepStatus, Task
from .identity import check_merchant
from .order import STAGES

TYPES: Final = ("stage", "progress", "completion", "error")
_COMPLETION_FIELDS: Final = ("lineItems", "confidence", "purchaseOrderId", "shopifyOrderId")
# Ends that come from outside the work, so that no stage has reported them.
_UNREPORTED_CODES: Final = frozenset({"cancelled", "stalled", "timeout"})

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
    ids = {"po_id": order_id_of(task.id), "workflow_id": task.id}
    match message.cause:
        case Cause.STEP_STARTED:
            for step in message.steps:
                yield stage_event(stage=step.name, message=step.message, **ids)
        case Cause.STEP_UPDATED:
            for step in message.steps:
                yield progress_event(stage=step.name, progress=step.progress, message=step.message, **ids)
        case Cause.STEP_ENDED:
            for step in message.steps:
                yield from _report_end(step, message.data, ids)
        case Cause.FAILED | Cause.CANCELLED:
            assert task.error is not None
            stages = [step.name for step in message.steps]
            if not stages and task.error.code in _UNREPORTED_CODES:
                stages = [task.step or STAGES[0]]
            for stage in stages:
                yield error_event(stage=stage, error=task.error.detail, **ids)


def _report_end(step: Step, fields: dict[str, Any], ids: dict[str, str]) -> Iterator[Message]:
    if step.status is StepStatus.FAILED:
        yield error_event(stage=step.name, error=step.error, **ids)
        return
    if step.status is StepStatus.SKIPPED:  # a follower expects a completion of every stage, so add the reason
        yield progress_event(stage=step.name, progress=100, message=f"Skipped: {step.message}", **ids)
    further: dict[str, Any] = {name: fields[name] for name in _COMPLETION_FIELDS if name in fields}
    yield completion_event(stage=step.name, further=further, **ids)


# --- the events -----------------------------------------------------------------------------------


def stage_event(*, stage: str, po_id: str, workflow_id: str, message: str = "") -> Message:
    """Build the event for the start of a stage."""
    data = {"stage": stage, "poId": po_id, "workflowId": workflow_id, "status": "started", "message": message}
    return Message("stage", data)


def progress_event(
    *, stage: str, po_id: str, workflow_id: str, progress: float, message: str = ""
) -> Message:
    """Build the event for the progress of a stage.

    Args:
        progress: 0 to 100 within the stage.

    Raises:
        InvalidField: the progress is out of range.
    """
    shown = _percent(progress, "progress")
    data = {"poId": po_id, "workflowId": workflow_id, "stage": stage, "progress": shown, "message": message}
    return Message("progress", data)


def completion_event(*, stage: str, po_id: str, workflow_id: str, further: dict[str, Any]) -> Message:
    """Build the event for the completion of a stage, with those of its further fields that are not None.

    Raises:
        InvalidField: the confidence is out of range.
    """
    data: dict[str, Any] = {"stage": stage, "poId": po_id, "workflowId": workflow_id}
    data |= {name: value for name, value in further.items() if value is not None}
    if "confidence" in data:
        data["confidence"] = _percent(data["confidence"], "confidence")
    return Message("completion", data)


def error_event(*, stage: str, po_id: str, workflow_id: str, error: str) -> Message:
    """Build the event for the failure of a stage; the error is a sentence for clients."""
    return Message("error", {"stage": stage, "poId": po_id, "workflowId": workflow_id, "error": error})


def _percent(value: float, field: str) -> float | int:
    """Round a value from 0 to 100 to a tenth, and to an integer if it is whole."""
    if isinstance(value, bool) or not 0 <= value <= 100:
        raise InvalidField(f"{field} must be a number from 0 to 100, got {value!r}", field=field)
    rounded = round(float(value), 1)
    return int(rounded) if rounded.is_integer() else rounded


# --- for programs -----------------------------------------------------------------------------------


class MerchantEvents:
    """Typed publishing to merchants, for programs that process orders themselves.

    An event that the hub refuses is logged and dropped: publishing never fails an order.

    Args:
        publish: publishes one event.
    """

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    async def publish_stage(
        self, merchant_id: str, *, stage: str, po_id: str, workflow_id: str, message: str = ""
    ) -> None:
        """Publish the start of a stage.

        Raises:
            InvalidField: the merchant's id is not valid.
        """
        event = stage_event(stage=stage, po_id=po_id, workflow_id=workflow_id, message=message)
        await self.send(merchant_id, event)

    async def publish_progress(
        self,
        merchant_id: str,
        *,
        stage: str,
        po_id: str,
        workflow_id: str,
        progress: float,
        message: str = "",
    ) -> None:
        """Publish the progress of a stage.

        Args:
            merchant_id: the merchant.
            stage: the stage's name.
            po_id: the order's id.
            workflow_id: the id of its processing.
            progress: 0 to 100 within the stage.
            message: a sentence for people.

        Raises:
            InvalidField: the merchant's id or the progress is not valid.
        """
        event = progress_event(
            stage=stage, po_id=po_id, workflow_id=workflow_id, progress=progress, message=message
        )
        await self.send(merchant_id, event)

    async def publish_completion(
        self,
        merchant_id: str,
        *,
        stage: str,
        po_id: str,
        workflow_id: str,
        line_items: int | None = None,
        confidence: float | None = None,
        purchase_order_id: str | None = None,
        shopify_order_id: str | None = None,
    ) -> None:
        """Publish the completion of a stage; values that are None are left out.

        Args:
            merchant_id: the merchant.
            stage: the stage's name.
            po_id: the order's id.
            workflow_id: the id of its processing.
            line_items: number of lines that the stage processed.
            confidence: 0 to 100.
            purchase_order_id: the stored order's id.
            shopify_order_id: the shop's id of the order.

        Raises:
            InvalidField: the merchant's id or the confidence is not valid.
        """
        further = {
            "lineItems": line_items,
            "confidence": confidence,
            "purchaseOrderId": purchase_order_id,
            "shopifyOrderId": shopify_order_id,
        }
        event = completion_event(stage=stage, po_id=po_id, workflow_id=workflow_id, further=further)
        await self.send(merchant_id, event)

    async def publish_error(
        self, merchant_id: str, *, stage: str, po_id: str, workflow_id: str, error: str
    ) -> None:
        """Publish the failure of a stage; the error is a sentence for clients.

        Raises:
            InvalidField: the merchant's id is not valid.
        """
        event = error_event(stage=stage, po_id=po_id, workflow_id=workflow_id, error=error)
        await self.send(merchant_id, event)

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
