"""The port of the log: assigns event ids, keeps the events in one order, and replays them."""

from collections.abc import Sequence
from typing import NoReturn, Protocol

import attrs

from ..events import Draft, Event, EventId, Selectors
from .settings import LogSettings


@attrs.frozen
class Receipt:
    """The result of appending one draft."""

    id: EventId
    duplicate: bool = False  # its idempotency key was known, and `id` is that of the earlier event


@attrs.frozen
class Page:
    """Consecutive matching events and the cursor after them, from one snapshot of the log."""

    events: Sequence[Event]  # in log order
    cursor: EventId  # the last id considered, of a matching event or not: continue from there
    more: bool  # True if the log had events after `cursor`
    gap: EventId | None = None  # matching events after the requested cursor were dropped, up to this id


class Log(Protocol):
    """One order of events. Ids only grow, and no event is seen before it has its id.

    A cursor is the id of the last event considered. A cursor before this log's epoch, or beyond its
    head, belongs to another log: reading after it reports a gap and returns all events that are kept.
    """

    @property
    def epoch(self) -> EventId:
        """The position just before the first event that this log ever had."""

    @property
    def head(self) -> EventId:
        """The id of the newest event; the epoch while there is none."""

    @property
    def durability(self) -> str:
        """A sentence for operators: the failures that an acknowledged event survives."""

    async def append(self, drafts: Sequence[Draft], *, publisher: str = "") -> list[Receipt]:
        """Give each draft its id and keep it, all of them or none; return the receipts in their order.

        An idempotency key belongs to its publisher, and is known for as long as its event is kept.

        Raises:
            IdempotencyConflict: a key is known with other content. Nothing was appended.

        Cancelled before anything is appended, or not at all.
        """

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        """Read the next matching events after a cursor.

        A page may have fewer events than the log has, even none, and then has ``more`` set: continue
        from its cursor. ``gap`` is set only if a matching event after ``after`` was dropped.

        Args:
            selectors: the topics and patterns to match.
            after: the cursor.
            max_events: maximum number of events in the page.
            max_bytes: the page ends with the event that reaches this size.
        """

    async def tail(self, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        """Wait until the log has an event after ``after``, then read a page of all events."""

    def apply_settings(self, settings: LogSettings) -> None:
        """Keep events by other bounds from now on; the storage stays the same."""

    async def run(self) -> NoReturn:
        """Run the log's own periodic work, such as dropping expired events, until cancelled."""
