"""The port of the log: assigns event ids, keeps the events in one order, and replays them."""

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, Protocol, overload

import attrs
import msgspec

from ..events import Draft, Event, EventId, Selectors
from .settings import LogSettings


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The result of appending one draft."""

    id: EventId
    duplicate: bool = False  # its idempotency key was known, and `id` is that of the earlier event


@attrs.frozen
class ExpectedLast:
    """The condition that the newest event of a topic is the one that the publisher knows.

    Args:
        topic: the topic.
        id: its newest event, dropped or not; ``EARLIEST`` for a topic without one.
    """

    topic: str
    id: EventId


Condition = ExpectedLast
"""A condition of an append: a value that each log checks in the step in which it appends."""


@attrs.frozen
class Refusal:
    """The result of an append whose condition does not hold: nothing was appended.

    Args:
        condition: the first that does not hold.
        present: the value that holds instead.
    """

    condition: Condition
    present: EventId


@attrs.frozen
class Page:
    """Consecutive matching events and the cursor after them, from one snapshot of the log."""

    events: Sequence[Event]  # in log order
    cursor: EventId  # the last id considered, of a matching event or not: continue from there
    more: bool  # True if the log had events after `cursor`
    gap: EventId | None = None  # events after the requested cursor were dropped or lost, up to this id


Skip = Callable[[Sequence[Event]], bool]
"""Considers events, and returns True if that is all that there is to do about them."""


def skip_none(_: Sequence[Event]) -> bool:
    """Skip no events."""
    return False


class Log(Protocol):
    """One order of events. Ids only grow, and no event is seen before it has its id.

    A cursor is the id of the last event considered. A cursor inside a boundary, or beyond the head, names an
    event that this log has lost or never had (:mod:`.boundaries`): reading after it reports a gap up to the
    boundary's start, and returns the events after that.
    """

    async def open(self) -> None:
        """Open the storage. Called once, before everything but the constructor.

        Raises:
            Unavailable: the storage cannot be written to.
        """

    @property
    def start(self) -> EventId:
        """The position after which the events of this process come; those before it are history."""

    @property
    def head(self) -> EventId:
        """The id of the newest event; the start while there is none after it."""

    @property
    def appended(self) -> int:
        """The number of events appended since the start."""

    @property
    def durability(self) -> str:
        """A sentence for operators: the failures that an acknowledged event survives."""

    def statistics(self) -> Mapping[str, int]:
        """Count what is kept: ``events``, their ``bytes`` (topics, types and data) and ``topics``."""

    def lost_until(self, cursor: EventId) -> EventId | None:
        """Return the position up to which events after a cursor may be lost; None for a sound cursor."""

    @overload
    async def append(self, drafts: Sequence[Draft], *, publisher: str = "") -> list[Receipt]: ...

    @overload
    async def append(
        self, drafts: Sequence[Draft], conditions: Sequence[Condition], *, publisher: str = ""
    ) -> list[Receipt] | Refusal: ...

    async def append(
        self, drafts: Sequence[Draft], conditions: Sequence[Condition] = (), *, publisher: str = ""
    ) -> list[Receipt] | Refusal:
        """Give each draft its id and keep it, all of them or none; return the receipts in their order.

        An idempotency key belongs to its publisher. It is known for ``idempotency_seconds``, also after its
        event was dropped, and may be forgotten earlier only when there are ``max_idempotency_keys``.

        Args:
            drafts: the events; none to check conditions only.
            conditions: checked in the step in which the drafts are appended.
            publisher: the owner of the drafts' idempotency keys.

        Returns:
            The receipts, or the condition that does not hold.

        Raises:
            IdempotencyConflict: a key is known with other content. Nothing was appended.
            Unavailable: the log cannot be written to. Nothing was appended.

        Cancelled before anything is appended, or not at all.
        """

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        """Read the next matching events after a cursor.

        A page may have fewer events than the log has, even none, and then has ``more`` set: continue
        from its cursor. ``gap`` is set only if a matching event after ``after`` was dropped, or if the cursor
        is not sound.

        Args:
            selectors: the topics and patterns to match.
            after: the cursor.
            max_events: maximum number of events in the page.
            max_bytes: the page ends with the event that reaches this size.

        Raises:
            Unavailable: the log cannot be read now.
        """

    async def tail(self, after: EventId, *, max_events: int, max_bytes: int, skip: Skip = skip_none) -> Page:
        """Wait until the log has an event after ``after``, then read a page of all events.

        Called by the hub alone, with a cursor that only grows.

        Args:
            after: the cursor.
            max_events, max_bytes: as for :meth:`read`.
            skip: may be called while this waits, with events that were just appended, before their append
                returns. If it returns True, this goes on waiting for an event after them. It must not block.
        """

    async def end_of_append(self, event_id: EventId) -> EventId | None:
        """Return the id of the last event that was appended together with a kept one; None for others."""

    def apply_settings(self, settings: LogSettings) -> None:
        """Keep events by other bounds from now on; the storage stays the same."""

    async def run(self) -> NoReturn:
        """Run the log's own periodic work, such as dropping expired events, until cancelled."""
