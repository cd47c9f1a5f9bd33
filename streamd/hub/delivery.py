"""Accounts of delivered events: one client's own, and the metrics."""

import time
from typing import Final

import attrs

from ..events import Batch, EventId
from ..metrics import Metrics

MAX_TYPES: Final = 20
"""Maximum number of event types that one record counts apart: types are the publishers' free text."""
OTHER_TYPES: Final = "other"
"""The name under which a record counts all further types."""


@attrs.define(eq=False)
class DeliveryRecord:
    """The events and bytes sent to one client, entered by the fan-out or the connection's own trio task."""

    at: float  # last time that bytes went out (s, trio's clock)
    events: int = 0
    bytes: int = 0
    cursor: EventId | None = None  # the last id sent to the client
    types: dict[str, int] = attrs.field(factory=dict)  # number of events of each type

    def add(self, batch: Batch, written: int, now: float) -> None:
        """Enter a batch that went out at ``now`` in ``written`` bytes."""
        self.at = now
        self.events += batch.count
        self.bytes += written
        self.cursor = batch.cursor or self.cursor
        for type, count in batch.type_counts:
            self.add_type(type, count)

    def add_type(self, type: str, count: int) -> None:
        """Count events of one type."""
        name = type if type in self.types or len(self.types) < MAX_TYPES else OTHER_TYPES
        self.types[name] = self.types.get(name, 0) + count


def observe_delivery(metrics: Metrics, batch: Batch, clients: int = 1) -> None:
    """Count a batch that was written to ``clients`` clients, and the delay of its newest event."""
    if clients and batch.count:
        # By the wall clock, as event ids are. While it is behind the ids, because it was set back, or another
        # node's is ahead, the delay counts as 0.
        metrics.observe_delivery(batch.types, time.time() - batch.published_seconds, clients)
