"""What one client was sent."""

import time

import attrs

from ..events import Batch, EventId
from ..metrics import Metrics


@attrs.define(eq=False)
class Sent:
    """A running account, kept by whoever writes to the client: the fan-out, or the connection's task."""

    at: float  # when bytes last went out (s, trio's clock)
    events: int = 0
    bytes: int = 0
    cursor: EventId | None = None  # the last id the client was given

    def add(self, batch: Batch, written: int, now: float) -> None:
        """Take note of a batch that went out in ``written`` bytes."""
        self.at = now
        self.events += batch.count
        self.bytes += written
        self.cursor = batch.cursor or self.cursor


def record_delivery(metrics: Metrics, batch: Batch, clients: int = 1) -> None:
    """Count events that were written to some clients, and how long the newest of them took."""
    if clients and batch.count:
        metrics.observe_delivery(batch.types, time.time() - batch.published_seconds, clients)
