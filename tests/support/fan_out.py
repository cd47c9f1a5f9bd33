"""A hub that fans out on request, and wires that record their batches."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing

from streamd.events import Batch, Draft, EventId, Selectors
from streamd.events.settings import EventSettings
from streamd.hub import DeliveryRecord, Hub, SendQueue, Subscription
from streamd.hub.settings import HubSettings
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.metrics import Metrics

SECONDS = 30


class RecordingWire:
    """A wire that takes and records every batch while it is willing.

    Args:
        written: called at each write.
    """

    def __init__(self, written: Callable[[], None] = lambda: None) -> None:
        self.willing = True
        self.batches: list[Batch] = []
        self._written = written

    @property
    def data(self) -> list[list[str]]:
        """The data of the events, batch by batch."""
        return [[event.data for event in batch.events] for batch in self.batches]

    def write_nowait(self, batch: Batch) -> int:
        if not self.willing:
            return 0
        self.batches.append(batch)
        self._written()
        return len(batch.sse)

    async def write(self, batch: Batch) -> int:
        raise AssertionError("the connection's own trio task is not part of this test")

    def release(self) -> None:
        pass


class FanOut:
    """A hub that does not run before :meth:`turn`, with its subscriptions."""

    def __init__(self, nursery: trio.Nursery, bounds: dict[str, Any]) -> None:
        self.metrics = Metrics(max_type_labels=10)
        self.hub = Hub(MemoryLog(LogSettings()), HubSettings(**bounds), EventSettings(), self.metrics)
        self._nursery = nursery
        self._runs = False

    async def publish(
        self, *events: tuple[str | Sequence[str], str], type: str | None = None
    ) -> list[EventId]:
        """Publish events together, given as topics and data; the fan-out takes them as one page."""
        limits = EventSettings()
        drafts = [Draft.create(topics, data, limits=limits, type=type) for topics, data in events]
        return [receipt.id for receipt in await self.hub.publish_drafts(drafts)]

    async def turn(self) -> None:
        """Fan out all published events."""
        if not self._runs:
            self._runs = True
            self._nursery.start_soon(self.hub.run)
        await trio.testing.wait_all_tasks_blocked()
        assert self.hub.position == self.hub.log.head

    def follow(
        self, selectors: Selectors, after: EventId | None = None, wire: RecordingWire | None = None
    ) -> tuple[Subscription, RecordingWire, DeliveryRecord]:
        """Subscribe with a direct wire, until the hub ends."""
        wire, sent = wire or RecordingWire(), DeliveryRecord(0.0)
        subscription = self.hub.subscribe(selectors, after, SendQueue(64, 100_000)).__enter__()
        subscription.write_through(wire, sent)
        return subscription, wire, sent

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric; 0 when it has none."""
        return self.metrics.registry.get_sample_value(f"streamd_{name}", labels) or 0


@asynccontextmanager
async def fan_out(**bounds: Any) -> AsyncIterator[FanOut]:
    """Make a hub with some of its settings, for as long as the block lasts."""
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            yield FanOut(nursery, bounds)
            nursery.cancel_scope.cancel()
