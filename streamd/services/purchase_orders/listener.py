"""From the stages of a task to the events of a merchant."""

from typing import Any

import attrs

from .merchant_events import MerchantEvents


@attrs.define
class MerchantListener:
    """Publishes the stages of one order to its merchant; see :mod:`.stages`."""

    events: MerchantEvents
    merchant_id: str
    po_id: str
    workflow_id: str
    is_over: bool = False  # the task has ended under the work: the sweep says why, this would not know

    @property
    def _ids(self) -> dict[str, str]:
        return {"po_id": self.po_id, "workflow_id": self.workflow_id}

    async def stage_started(self, stage: str, message: str) -> None:
        await self.events.publish_stage(self.merchant_id, stage=stage, message=message, **self._ids)

    async def stage_progress(self, stage: str, progress: float, message: str) -> None:
        await self.events.publish_progress(
            self.merchant_id, stage=stage, progress=progress, message=message, **self._ids
        )

    async def stage_completed(self, stage: str, fields: dict[str, Any]) -> None:
        if "skipped" in fields:  # followers wait for an end of each stage; the reason goes before it
            await self.stage_progress(stage, 100, f"Skipped: {fields['skipped']}")
        await self.events.publish_completion(
            self.merchant_id,
            stage=stage,
            line_items=fields.get("lineItems"),
            confidence=fields.get("confidence"),
            purchase_order_id=fields.get("purchaseOrderId"),
            shopify_order_id=fields.get("shopifyOrderId"),
            **self._ids,
        )

    async def stage_failed(self, stage: str, error: str) -> None:
        if self.is_over:
            return
        await self.events.publish_error(self.merchant_id, stage=stage, error=error, **self._ids)
