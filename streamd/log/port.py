"""The port of the log: one order of events, ids, and replay."""

from collections.abc import Sequence
from typing import NoReturn, Protocol

import attrs

from ..events import Draft, Event, EventId, Selectors


@attrs.frozen
class Receipt:
    """What became of one draft."""

    id: EventId
    duplicate: bool = False  # its idempotency key was known: `id` is the event published then


@attrs.frozen
class Page:
    """Some events, and where to go on, all from one snapshot of the log."""

    events: Sequence[Event]  # in log order
    cursor: EventId  # the last id considered, those that did not match included
    more: bool  # whether the log had events after `cursor`
    gap: EventId | None = None  # matching events up to this id, after the cursor asked for, are gone


class Log(Protocol):
    """One log is one order. Ids only grow, and nobody sees an event before it has its id.

    A cursor is the id of the last event considered. A cursor from before this log's epoch, or beyond
    its head, belongs to another log: reading from there says a gap and goes on with all that is kept.
    """

    @property
    def epoch(self) -> EventId:
        """The place just before the first event this log ever had."""

    @property
    def head(self) -> EventId:
        """The id of the newest event; the epoch while there is none."""

    @property
    def durability(self) -> str:
        """What an acknowledged event survives, as a sentence for people."""

    async def append(self, drafts: Sequence[Draft], *, publisher: str = "") -> list[Receipt]:
        """Give each draft its id and keep it, all of them or none.

        An idempotency key belongs to its publisher and is known for as long as its event is kept.

        Raises:
            IdempotencyConflict: a key is known with other content. Nothing was appended.

        Cancelled before anything is appended, or not at all.
        """

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        """The next events that match, at least one if there is any, else an empty page at the head.

        A page may hold fewer than there are, even none, with ``more`` set: reading goes on at its
        cursor. ``gap`` is set only if an event that matches was dropped after ``after``.

        Args:
            max_events: the most events in the page.
            max_bytes: the page ends with the event that reaches it.
        """

    async def tail(self, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        """Wait until there is an event after ``after``, then read as :meth:`read` does for everything."""

    async def run(self) -> NoReturn:
        """Whatever the log does by itself, such as dropping what is too old; until cancelled."""
