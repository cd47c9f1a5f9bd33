"""The recovery: orders that a process which has ended left without a task."""

from typing import Final, NoReturn

import structlog
import trio

from ... import Streamd
from ...errors import RequestError, StreamdError
from .ending import end_order
from .merchant_events import error_event, topic_of
from .order import STAGES, OrderEnd, OrderStatus
from .receiving import ensure_task, find_task
from .store import OrderStore

_INTERRUPTED: Final = "its processing was interrupted"
_PAGE_ORDERS: Final = 1000  # orders per page of the recovery
_RETRY_SECONDS: Final = 1.0
_SWEEP_SECONDS: Final = 60.0  # as long as other nodes leave an order without a task alone

_log = structlog.get_logger(__name__)


async def keep_recovering(streamd: Streamd, store: OrderStore) -> NoReturn:
    """Recover orders until cancelled: at the start, and at intervals if other nodes may leave some."""
    if not store.is_shared:
        await recover_orders(streamd, store)
        await trio.sleep_forever()

    async def sweep() -> None:
        while True:
            await recover_orders(streamd, store)
            await trio.sleep(_SWEEP_SECONDS)

    while True:
        await store.hold(sweep)


async def recover_orders(streamd: Streamd, store: OrderStore) -> None:
    """Resume or end the orders that a process before this one left without a task.

    A process that dies between storing an order and creating its task leaves such an order. With an
    idempotency key it is processed now, because the request that is sent again returns it. Without one it
    fails, because that request makes another order. An order with a task ends with that task.
    """
    last = 0
    while True:
        try:
            orders = await store.open_orders(last, _PAGE_ORDERS)
            if not orders:
                return
            for _, merchant_id, po_id, workflow_id, has_key in orders:
                if po_id in store.starting:  # received by this process; its task is being created
                    continue
                if has_key:
                    task = await ensure_task(streamd, store, merchant_id, po_id, workflow_id)
                else:
                    task = await find_task(streamd, workflow_id)
                if task is None and await store.is_open(po_id):  # it may have been forgotten meanwhile
                    await _interrupt(streamd, store, merchant_id, po_id, workflow_id)
                elif task is not None and task.status.ended:
                    await end_order(store, task)
            last = orders[-1][0]
        except StreamdError as error:
            _log.warning("order_recovery_delayed", code=error.code, detail=error.detail)
            await trio.sleep(_RETRY_SECONDS)


async def _interrupt(
    streamd: Streamd, store: OrderStore, merchant_id: str, po_id: str, workflow_id: str
) -> None:
    """Report and end an order without a task. A crash in between repeats the event, and loses none."""
    event = error_event(stage=STAGES[0], error=_INTERRUPTED, po_id=po_id, workflow_id=workflow_id)
    topic, key = topic_of(merchant_id, event.type), f"{po_id}:interrupted"
    try:
        await streamd.publish(topic, event.data, type=event.type, idempotency_key=key)
    except RequestError as error:  # the stored ids are damaged: nobody follows such a merchant
        _log.warning("merchant_event_dropped", order=po_id, code=error.code, detail=error.detail)
    at = streamd.database.clock.wall()
    await store.end(workflow_id, OrderEnd(OrderStatus.FAILED, at, STAGES[0], _INTERRUPTED))
