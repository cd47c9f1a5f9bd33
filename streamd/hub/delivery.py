"""Accounts of delivered events: one client's own, and the metrics."""

import time

import attrs

from ..events import Batch, EventId
from ..metrics import Metrics


@attrs.define(eq=False)
class DeliveryRecord:
    """The events and bytes sent to one client, entered by the fan-out or the connection's own trio task."""

    at: float  # last time that bytes went out (s, trio's clock)
    events: int = 0
    bytes: int = 0
    cursor: EventId | None = None  # the last id sent to the client

    def add(self, batch: Batch, written: int, now: float) -> None:
        """Enter a batch that went out at ``now`` in ``written`` bytes."""
        self.at = now
        self.events += batch.count
        self.bytes += written
        self.cursor = batch.cursor or self.cursor


def observe_delivery(metrics: Metrics, batch: Batch, clients: int = 1) -> None:
    """Count a batch that was written to ``clients`` clients, and the delay of its newest event."""
    if clients and batch.count:
        metrics.observe_delivery(batch.types, time.time() - batch.published_seconds, clients)
