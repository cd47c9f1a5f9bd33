"""The queue of claims that wait for a pending task: each task wakes the first claim that takes its kind."""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

import trio

# Theory of operation. A task that becomes pending is *offered* once, after it is stored. An offer belongs to
# one waiting claim, which looks into the store, and is settled when
#
#   - the claim takes a task of the kind: one offer for one task; or
#   - its look finds nothing, and the offer came before the look: another claim has taken the task.
#
# A claim that leaves with offers (it timed out, its client went away, the store failed, or the offers came
# during the look that found a task) passes them on. So while a claim sleeps, there are no more pending tasks
# of its kinds than offers at other claims, and every one of those is looked into or passed on.


class WaitingClaim:
    """One claim in the queue.

    Attributes:
        offers: the number of unsettled offers by kind.
        is_idle: True while the claim sleeps without an offer.
    """

    __slots__ = ("_is_closed", "_looked", "_woken", "is_idle", "offers")

    def __init__(self, *, is_closed: bool) -> None:
        self.offers: Counter[str] = Counter()
        self.is_idle = False
        self._looked: Counter[str] = Counter()  # the offers that came before the look that goes on
        self._is_closed = is_closed
        self._woken = trio.Event()

    def begin_look(self) -> None:
        """Note that the claim looks for a pending task now."""
        self._looked = self.offers.copy()

    def end_look(self, kind: str | None) -> None:
        """Settle offers after a look.

        Args:
            kind: the kind of the task that was taken; None if no task was pending.
        """
        self.offers -= self._looked if kind is None else self._looked & Counter((kind,))

    async def wait(self) -> None:
        """Wait until there is an offer, or the queue is closed."""
        await trio.lowlevel.checkpoint()
        if self.offers or self._is_closed:
            return
        self._woken = trio.Event()
        self.is_idle = True
        try:
            await self._woken.wait()
        finally:
            self.is_idle = False

    def give(self, kind: str, count: int) -> None:
        """Give the claim offers of a kind, and wake it."""
        self.offers[kind] += count
        self.is_idle = False
        self._woken.set()

    def close(self) -> None:
        """Wake the claim for good."""
        self._is_closed = True
        self._woken.set()


class ClaimQueue:
    """The claims that wait for a pending task, by kind and in the order of their arrival.

    Claims look for a task before they wait, so that an offer without a claim that takes the kind is dropped.
    """

    def __init__(self) -> None:
        self._by_kind: Final[dict[str, dict[WaitingClaim, None]]] = {}
        self._is_closed = False

    @contextmanager
    def join(self, kinds: Collection[str]) -> Iterator[WaitingClaim]:
        """Queue a claim that takes some kinds for as long as the block lasts."""
        claim = WaitingClaim(is_closed=self._is_closed)
        for kind in kinds:
            self._by_kind.setdefault(kind, {})[claim] = None
        try:
            yield claim
        finally:
            self._leave(claim, kinds)

    def _leave(self, claim: WaitingClaim, kinds: Collection[str]) -> None:
        for kind in set(kinds):
            claims = self._by_kind[kind]
            del claims[claim]
            if not claims:
                del self._by_kind[kind]
        for kind, count in claim.offers.items():
            self.offer(kind, count)

    def offer(self, kind: str, count: int = 1) -> None:
        """Offer tasks of a kind that have become pending, each to the first claim that has no offer yet.

        Args:
            kind: the kind.
            count: the number of tasks.
        """
        claims = self._by_kind.get(kind, {})
        for claim in claims:
            if not count:
                return
            if claim.is_idle:
                claim.give(kind, 1)
                count -= 1
        if count and claims:  # all of them look now: the first looks again
            next(iter(claims)).give(kind, count)

    def offer_all(self) -> None:
        """Offer one task of each kind that claims wait for."""
        for kind in list(self._by_kind):
            self.offer(kind)

    def close(self) -> None:
        """Wake all claims, those to come included."""
        self._is_closed = True
        for claims in self._by_kind.values():
            for claim in claims:
                claim.close()
