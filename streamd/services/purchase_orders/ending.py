"""The end of an order, derived from its task. The answers and the merchant's events share these functions."""

from typing import Final

from ...tasks import Status, StepStatus, Task, TaskError
from .order import STAGES, OrderEnd, OrderStatus
from .shop import SyncFailed
from .store import OrderStore

_ENDS_FROM_OUTSIDE: Final = frozenset({"cancelled", "stalled", "timeout"})
"""Codes of ends that come from outside the job: the stage that has failed reported another error."""


def end_of(task: Task) -> OrderEnd | None:
    """Derive the end of an order from its task; None while the order is being processed.

    The completion of the last stage decides: whatever ends the task afterwards, such as a kill, does not
    change the end of the order, as it does not change the merchant's events. Before, the order ends as its
    task does.
    """
    completed = has_completed_stages(task)
    if not completed and not task.status.ended:
        return None
    at = task.ended_at or task.updated_at
    error, sync = task.error, task.find_step("shopify_sync")
    if not completed and error is not None and error.code != SyncFailed.code:
        status = OrderStatus.CANCELLED if task.status is Status.CANCELLED else OrderStatus.FAILED
        stage, step = task.step or STAGES[0], task.find_step(task.step)
        reported = step.error if step is not None and unreported_error(task) is None else error.detail
        return OrderEnd(status, at, stage, reported)
    if sync is not None and sync.status is StepStatus.FAILED:
        return OrderEnd(OrderStatus.SYNC_FAILED, at, sync.name, sync.error)
    return OrderEnd(OrderStatus.COMPLETED, at)


def has_completed_stages(task: Task) -> bool:
    """Return True once the last stage has completed: then the order has ended, and no error follows."""
    last = task.find_step(STAGES[-1])
    return last is not None and last.status is StepStatus.COMPLETED


def unreported_error(task: Task) -> TaskError | None:
    """Return the error of a task that ended before its last stage completed, unless a stage reported it."""
    error, step = task.error, task.find_step(task.step)
    if error is None or has_completed_stages(task):
        return None
    reported = step is not None and step.status is StepStatus.FAILED
    return None if reported and error.code not in _ENDS_FROM_OUTSIDE else error


async def end_order(store: OrderStore, task: Task) -> None:
    """End the order of an ended task."""
    end = end_of(task)
    if end is not None:
        await store.end(task.id, end)
