"""The committed events that the fan-out has not taken yet, in memory."""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from ..events import Event, EventId

_EVENTS_MAX: Final = 100_000  # far more than the hub lets publishers be ahead
_BYTES_MAX: Final = 128 << 20


class RecentEvents:
    """The events after a position, in log order; a reader at an earlier position needs the database.

    Args:
        floor: the position.
    """

    def __init__(self, floor: EventId) -> None:
        self.floor = floor
        self._events: deque[Event] = deque()
        self._bytes = 0

    def append(self, event: Event) -> None:
        """Add the next event; the oldest are left to the database if there are too many."""
        self._events.append(event)
        self._bytes += event.size
        while len(self._events) > _EVENTS_MAX or self._bytes > _BYTES_MAX:
            self._drop_first()

    def after(self, cursor: EventId, max_events: int, max_bytes: int) -> Sequence[Event] | None:
        """Forget the events up to a cursor, and return the next; None if some are in the database only."""
        if cursor < self.floor:
            return None
        while self._events and self._events[0].id <= cursor:
            self._drop_first()
        self.floor = cursor
        taken = []
        size = 0
        for event in islice(self._events, max_events):
            taken.append(event)
            size += event.size
            if size >= max_bytes:
                break
        return taken

    def skip_to(self, cursor: EventId) -> None:
        """Forget all events, because the reader has come to a cursor at or after the last."""
        self._events.clear()
        self._bytes = 0
        self.floor = cursor

    def _drop_first(self) -> None:
        event = self._events.popleft()
        self._bytes -= event.size
        self.floor = event.id
