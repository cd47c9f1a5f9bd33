"""Receiving an order: the order is stored and its task is created, once for each idempotency key."""

import trio

from ... import Streamd
from ...errors import Gone, NotFound, Unreadable
from ...idempotency import IdempotencyKey
from ...tasks import Task
from .job import KIND, STEPS
from .order import OrderReceipt, ReceivedOrder
from .store import OrderStore


async def start_order(
    streamd: Streamd, store: OrderStore, received: ReceivedOrder, key: IdempotencyKey | None
) -> OrderReceipt:
    """Store an order and create its task, or neither; or return the receipt of the order of the key.

    While another request with the key creates its task, this one waits for the outcome.

    Raises:
        IdempotencyConflict: the order of the key has another document.
        Unavailable: a limit is reached, or the store failed.
    """
    receipt = OrderReceipt(received.po_id, received.workflow_id, streamd.head)
    started = store.starting[received.po_id] = trio.Event()
    try:
        while (known := await store.receive(received, receipt.cursor, key)) is not None:
            if known.po_id not in store.starting:
                return known
            await store.starting[known.po_id].wait()
        try:
            await create_task(streamd, received.merchant_id, received.po_id, received.workflow_id)
        except BaseException:
            await store.forget(received.po_id)
            raise
    finally:
        del store.starting[received.po_id]
        started.set()
    return receipt


async def create_task(streamd: Streamd, merchant_id: str, po_id: str, workflow_id: str) -> None:
    """Create the task that processes a stored order.

    Raises:
        TaskExists: the order has, or had, its task.
        Unavailable: there are too many unfinished orders, or the store failed.
    """
    await streamd.tasks.create(
        KIND,
        id=workflow_id,
        owner=merchant_id,
        input={"poId": po_id},
        steps=STEPS,
        message="The order is received",
    )


async def find_task(streamd: Streamd, workflow_id: str) -> Task | None:
    """Return the task that processes an order; None if it was deleted or never created, or is damaged."""
    try:
        return await streamd.tasks.get(workflow_id, kind=KIND)
    except (NotFound, Gone, Unreadable):
        return None
