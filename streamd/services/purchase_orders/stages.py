"""The stages of an order: the steps of its task, which a merchant's listener hears of as well."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from ...tasks import StepProgress, WorkFailed, step
from .listener import MerchantListener


class OrderStage:
    """The handle of one running stage."""

    def __init__(self, step: StepProgress, listener: MerchantListener) -> None:
        self.name: Final = step.name
        self.fields: dict[str, Any] = {}
        self._step = step
        self._listener = listener
        self._reached = 0.0

    async def update(self, progress: float | None = None, message: str = "") -> None:
        """Publish the progress of the stage, 0 to 100, with a sentence for people."""
        await self._step.update(progress, message or None)
        self._reached = max(self._reached, progress or 0.0)
        await self._listener.stage_progress(self.name, self._reached, message)

    def complete(self, **fields: Any) -> None:
        """Add further fields to the stage's completion, such as ``lineItems=7``."""
        self._step.complete(**fields)
        self.fields.update(fields)

    async def skip(self, reason: str) -> None:
        """End the stage as skipped, with the reason as its message."""
        await self._step.skip(reason)
        self.fields["skipped"] = reason


@asynccontextmanager
async def run_stage(name: str, message: str, listener: MerchantListener) -> AsyncIterator[OrderStage]:
    """Run a stage for as long as the block lasts, and tell the listener of its start, progress and end."""
    async with step(name, message=message) as running:
        await listener.stage_started(name, message)
        stage = OrderStage(running, listener)
        try:
            yield stage
        except Exception as error:
            said = error.detail if isinstance(error, WorkFailed) else "this stage failed"
            await listener.stage_failed(name, said)
            raise
        await listener.stage_completed(name, stage.fields)
