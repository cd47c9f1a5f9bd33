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
    """The events and bytes sent to one client, entered by the fan-out or the connection's own trio task.

    Most clients receive events of one type in a row. These are counted in ``run`` alone, which costs the
    fan-out's innermost loop a comparison and an addition, and entered into the counts by type later.
    """

    at: float  # last time that bytes went out (s, trio's clock)
    bytes: int = 0
    cursor: EventId | None = None  # the last id sent to the client
    type: str = ""  # of the events in `run`
    run: int = 0  # number of the last events, all of one type
    _counted: dict[str, int] | None = None  # number of events of each type before them

    def add(self, batch: Batch, written: int, now: float) -> None:
        """Enter a batch that went out at ``now`` in ``written`` bytes."""
        self.at = now
        self.bytes += written
        self.cursor = batch.cursor or self.cursor
        if not batch.count:  # control frames alone
            return
        if batch.type == self.type:
            self.run += batch.count
        else:
            self.change_type(batch)

    def add_control(self, written: int, now: float) -> None:
        """Enter control frames that move no cursor."""
        self.at = now
        self.bytes += written

    def change_type(self, batch: Batch) -> None:
        """Count the events of a batch that has not the type of ``run``."""
        if self.run:
            self._count(self.type, self.run)
            self.run = 0
        if batch.type is not None:
            self.type, self.run = batch.type, batch.count
            return
        for type, count in batch.types.items():
            self._count(type, count)

    def _count(self, type: str, count: int) -> None:
        counted = self._counted
        if counted is None:
            counted = self._counted = {}
        name = type if type in counted or len(counted) < MAX_TYPES else OTHER_TYPES
        counted[name] = counted.get(name, 0) + count

    @property
    def events(self) -> int:
        """The number of events."""
        return sum((self._counted or {}).values()) + self.run

    @property
    def types(self) -> dict[str, int]:
        """The number of events of each type."""
        if self.run:
            self._count(self.type, self.run)
            self.run = 0
        return dict(self._counted or {})


def observe_delivery(metrics: Metrics, batch: Batch, clients: int = 1) -> None:
    """Count a batch that was written to ``clients`` clients, and the delay of its newest event."""
    if clients and batch.count:
        # By the wall clock, as event ids are. While it is behind the ids, because it was set back, or another
        # node's is ahead, the delay counts as 0.
        metrics.observe_delivery(batch.types, time.time() - batch.published_seconds, clients)
