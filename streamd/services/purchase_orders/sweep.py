"""Orders whose work ended before they did: cancelled, too late, or cut off by the end of a process."""

from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

import attrs
import structlog
import trio

from ...errors import Gone, NotFound, StreamdError
from ...tasks import Status, Task, Tasks
from .merchant_events import MerchantEvents
from .model import STAGES, OrderStatus
from .store import OrderStore

KIND: Final = "purchase-order"
_AT_ONCE: Final = 1000  # orders looked at in one sweep; the next takes the others
# An order is there a moment before its task is; only after so long is the task missed.
_WITHOUT_TASK: Final = timedelta(seconds=30)

_INTERRUPTED: Final = "its processing was interrupted"
_ENDS: Final = {
    Status.COMPLETED: OrderStatus.COMPLETED,
    Status.FAILED: OrderStatus.FAILED,
    Status.CANCELLED: OrderStatus.CANCELLED,
}

_log = structlog.get_logger(__name__)


@attrs.frozen
class Sweep:
    """Ends such orders, and tells their merchants.

    Args:
        store: of the orders.
        tasks: that work on them.
        events: where merchants are told.
        seconds: between two looks (s).
    """

    store: OrderStore
    tasks: Tasks
    events: MerchantEvents
    seconds: float

    async def run(self) -> NoReturn:
        """Look again and again, until cancelled; what fails is logged and looked at the next time."""
        while True:
            try:
                await self.sweep()
            except StreamdError as error:
                _log.warning("orders_not_swept", error=repr(error))
            await trio.sleep(self.seconds)

    async def sweep(self) -> int:
        """Look once; how many orders were ended."""
        ended = 0
        orders = await self.store.open_orders(_AT_ONCE)
        busy = await self._busy() if orders else frozenset()
        for po_id, merchant_id, workflow_id, created_at in orders:
            if workflow_id in busy:
                continue
            task: Task | None = None
            try:
                task = await self.tasks.get(workflow_id)
            except (NotFound, Gone):
                if datetime.now(UTC) - datetime.fromisoformat(created_at) < _WITHOUT_TASK:
                    continue
            if task is None or task.status.ended:
                ended += await self._end(po_id, merchant_id, workflow_id, task)
        return ended

    async def _busy(self) -> frozenset[str]:
        """Tasks that have not ended; orders whose task ends after this look are found by the next."""
        found = []
        for status in (Status.PENDING, Status.RUNNING):
            found += await self.tasks.list(kind=KIND, status=status, limit=_AT_ONCE)
        return frozenset(task.id for task in found)

    async def _end(self, po_id: str, merchant_id: str, workflow_id: str, task: Task | None) -> bool:
        status, stage, error = OrderStatus.FAILED, STAGES[0], _INTERRUPTED
        if task is not None:
            status, stage = _ENDS[task.status], task.step or stage
            error = task.error.detail if task.error is not None else ""
        if not await self.store.end(po_id, status, stage=stage, error=error):
            return False  # the work did so itself, since we looked
        if error:
            await self.events.publish_error(
                merchant_id, stage=stage, po_id=po_id, workflow_id=workflow_id, error=error
            )
        return True
