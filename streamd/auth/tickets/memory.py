"""Tickets in the memory of one node."""

import heapq
from collections import Counter
from collections.abc import Callable
from typing import Final

import attrs
import trio

from .port import TicketLimits, too_many_of_owner, too_many_tickets

_DEADLINES_SPARE: Final = 1000  # of redeemed tickets, before the deadlines are sorted out


@attrs.frozen
class _KeptTicket:
    record: bytes
    owner: str
    deadline: float


class MemoryTicketStore:
    """Tickets in memory; see :class:`.port.TicketStore`.

    Args:
        limits: maximum numbers of tickets.
        clock: a steady clock (s), as lifetimes must not depend on steps of the wall clock.
    """

    def __init__(
        self, limits: TicketLimits | None = None, clock: Callable[[], float] = trio.current_time
    ) -> None:
        self._limits = limits or TicketLimits()
        self._clock = clock
        self._tickets: dict[str, _KeptTicket] = {}
        self._of_owner: Counter[str] = Counter()
        self._deadlines: list[tuple[float, str]] = []  # a heap, also of tickets that are redeemed

    async def put(self, digest: str, record: bytes, owner: str, seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        if owner and self._of_owner[owner] >= self._limits.of_owner:
            raise too_many_of_owner(self._limits, seconds)
        if len(self._tickets) >= self._limits.in_all:
            raise too_many_tickets(self._limits, seconds)
        ticket = _KeptTicket(record, owner, now + seconds)
        self._tickets[digest] = ticket
        if owner:
            self._of_owner[owner] += 1
        heapq.heappush(self._deadlines, (ticket.deadline, digest))

    async def take(self, digest: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        self._expire(self._clock())
        ticket = self._remove(digest)
        if len(self._deadlines) > 2 * len(self._tickets) + _DEADLINES_SPARE:
            self._deadlines = [(each.deadline, digest) for digest, each in self._tickets.items()]
            heapq.heapify(self._deadlines)
        return None if ticket is None else ticket.record

    def _expire(self, now: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            _, digest = heapq.heappop(self._deadlines)
            self._remove(digest)

    def _remove(self, digest: str) -> _KeptTicket | None:
        ticket = self._tickets.pop(digest, None)
        if ticket is not None and ticket.owner:
            self._of_owner[ticket.owner] -= 1
            if not self._of_owner[ticket.owner]:
                del self._of_owner[ticket.owner]
        return ticket
