"""Boundaries: the positions of a log at which events may have been lost.

A process that starts cannot know what an earlier one gave out and then lost: its memory, or the last writes
before a power failure. So each start records a boundary ``(last, start)``: the last id that was found, and a
position after it and not before the present time, from which the ids of this process go on. Ids strictly
between the two were given out and lost, or never; a cursor there gets a gap::

      ... event  event  last | lost ......... | start  event  event ... head | of another log
                             '-- a boundary --'                              '--
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

import attrs

from ..events import EventId

BOUNDARIES_MAX = 10_000
"""Boundaries that a log keeps (count); a cursor at an older one is taken for that of an event."""


@attrs.frozen(order=True)
class Boundary:
    """One start of a log.

    Args:
        start: the position from which its ids go on; no event has it.
        last: the last id, or position, found at the start.
        lost: the newest id that is known to be lost; None if none is known.
    """

    start: EventId
    last: EventId
    lost: EventId | None = None


class Boundaries:
    """The boundaries of a log, in order; there is at least one."""

    def __init__(self, boundaries: Iterable[Boundary]) -> None:
        self._boundaries = sorted(boundaries)

    @property
    def start(self) -> EventId:
        """The position from which the ids of this process go on."""
        return self.newest.start

    @property
    def newest(self) -> Boundary:
        """The boundary after which the ids of this process go on."""
        return self._boundaries[-1]

    def add(self, boundary: Boundary) -> None:
        """Add a boundary, and forget the oldest ones if there are too many."""
        insort(self._boundaries, boundary)
        del self._boundaries[:-BOUNDARIES_MAX]

    def lost_until(self, cursor: EventId, head: EventId) -> EventId | None:
        """Return the start up to which events of a cursor's reader may be lost; None for a sound cursor.

        Args:
            cursor: any position.
            head: of the log.
        """
        if cursor > head:
            return self.start
        index = bisect_left(self._boundaries, cursor, key=_start_of)
        if (
            index < len(self._boundaries)
            and self._boundaries[index].last < cursor < self._boundaries[index].start
        ):
            return self._boundaries[index].start
        return None

    def passed(self, after: EventId, cursor: EventId) -> EventId | None:
        """Return the start of the newest boundary at which a reader has missed lost events.

        Args:
            after: the cursor.
            cursor: where the reader has come to from there.
        """
        for boundary in reversed(self._boundaries):
            if boundary.start <= after:
                break
            if boundary.lost is not None and boundary.last < cursor and after < boundary.lost:
                return boundary.start
        return None

    def loss_between(self, after: EventId, cursor: EventId) -> EventId | None:
        """Return the start of the newest boundary between two positions before which events are lost.

        Args:
            after: the cursor of a process that may have read events while they were not lost yet.
            cursor: a later position.
        """
        for boundary in reversed(self._boundaries):
            if boundary.start <= after:
                break
            if boundary.lost is not None and boundary.start <= cursor:
                return boundary.start
        return None


def _start_of(boundary: Boundary) -> EventId:
    return boundary.start
