"""Receiving an order: the order is stored and its task is created, once for each idempotency key."""

import trio

from ... import Streamd
from ...errors import Gone, NotFound, OutcomeUnknown, TaskExists, Unreadable
from ...idempotency import IdempotencyKey
from ...tasks import Task
from .job import KIND, STEPS
from .order import OrderReceipt, ReceivedOrder
from .store import OrderStore


async def start_order(
    streamd: Streamd, store: OrderStore, received: ReceivedOrder, key: IdempotencyKey | None
) -> OrderReceipt:
    """Store an order and create its task, or neither; or return the receipt of the order of the key.

    While another request of this node with the key creates its task, this one waits for the outcome. If the
    process of that request has died, or is another node, this one creates the task.

    Raises:
        IdempotencyConflict: the order of the key has another document.
        Unavailable: a limit is reached, or the store failed.
    """
    receipt = OrderReceipt(received.po_id, received.workflow_id, streamd.head)
    started = store.starting[received.po_id] = trio.Event()
    try:
        while True:
            starting = dict(store.starting)  # an order may be forgotten while its key is looked up
            if (known := await store.receive(received, receipt.cursor, key)) is None:
                break
            created = (starting | store.starting).get(known.po_id)
            if created is None:
                await ensure_task(streamd, store, received.merchant_id, known.po_id, known.workflow_id)
                return known
            await created.wait()
        try:
            await create_task(streamd, received.merchant_id, received.po_id, received.workflow_id)
        except TaskExists:  # another node has returned the receipt, and created the task
            pass
        except OutcomeUnknown:  # the order may have its task; the recovery ends it otherwise
            raise
        except BaseException:
            await store.forget(received.po_id)
            raise
    finally:
        del store.starting[received.po_id]
        started.set()
    return receipt


async def ensure_task(
    streamd: Streamd, store: OrderStore, merchant_id: str, po_id: str, workflow_id: str
) -> Task | None:
    """Return the task of an order; create it if the process that stored the order died before it did.

    Returns:
        None if the order has ended without a task, or its task was deleted or is damaged.

    Raises:
        Unavailable: there are too many unfinished orders, or the store failed.
    """
    task = await find_task(streamd, workflow_id)
    if task is None and await store.is_open(po_id):
        try:
            return await create_task(streamd, merchant_id, po_id, workflow_id)
        except TaskExists:  # it was created meanwhile, or deleted
            return await find_task(streamd, workflow_id)
    return task


async def create_task(streamd: Streamd, merchant_id: str, po_id: str, workflow_id: str) -> Task:
    """Create the task that processes a stored order.

    Raises:
        TaskExists: the order has, or had, its task.
        Unavailable: there are too many unfinished orders, or the store failed.
    """
    return await streamd.tasks.create(
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
