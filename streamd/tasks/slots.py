"""Slots for tasks that run in this process: a maximum in total, and a reserve for each kind."""

from collections import Counter
from collections.abc import Collection
from typing import Final


class KindSlots:
    """The slots of the runner.

    Half of the slots are divided evenly among the kinds, as a *reserve* of each that no other kind can use;
    a kind has at least one, if there are as many slots as kinds. All kinds share the others. So a kind with
    fewer running tasks than its reserve starts the next one at once, however many tasks of other kinds are
    pending. Among the kinds that may start a task, the one with the fewest running tasks comes first, then
    the one that has not started a task for longest: with fewer slots than kinds, the kinds take turns.

    Args:
        maximum: maximum number of running tasks (count).

    Attributes:
        maximum: as above; after it is lowered, tasks that run beyond it go on.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._kinds: tuple[str, ...] = ()
        self._running: Final[Counter[str]] = Counter()
        self._started_at: Final[dict[str, int]] = {}  # number of the last start, by kind
        self._starts = 0

    def divide(self, kinds: Collection[str]) -> None:
        """Divide the slots among some kinds, in place of those named before."""
        self._kinds = tuple(kinds)

    @property
    def reserve(self) -> int:
        """The number of slots that each kind has for itself."""
        kinds = len(self._kinds)
        if not kinds or self.maximum < kinds:
            return 0
        return max(1, self.maximum // (2 * kinds))

    def next_kind(self, pending: Collection[str]) -> str | None:
        """Return the kind that may start a task now; None if there is no slot for any of them.

        Args:
            pending: the kinds that may have a pending task.
        """
        running, reserve = self._running, self.reserve
        if running.total() >= self.maximum:
            return None
        shared = self.maximum - reserve * len(self._kinds)
        is_shared_free = sum(max(0, running[kind] - reserve) for kind in self._kinds) < shared
        startable = [kind for kind in pending if is_shared_free or running[kind] < reserve]
        return min(
            startable, key=lambda kind: (running[kind], self._started_at.get(kind, 0), kind), default=None
        )

    def take(self, kind: str) -> None:
        """Take a slot for a task of a kind, which :meth:`next_kind` has returned."""
        self._running[kind] += 1
        self._starts += 1
        self._started_at[kind] = self._starts

    def release(self, kind: str) -> None:
        """Release the slot of a task of a kind."""
        self._running[kind] -= 1
