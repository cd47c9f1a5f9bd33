"""Computing on many items in worker threads, in slices between which a task reports and can end."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import attrs
import trio

from ..turns import Pauses
from .progress import StepProgress

T = TypeVar("T")


@attrs.frozen
class Slices:
    """Work of a task that only computes.

    Worker threads compute slices of the items, with pauses for the event loop between items. Between two
    slices the work reports its progress, and a cancelled or overdue task ends. Cancelling abandons the
    current slice, because a single item may take seconds; the thread keeps its slot until the slice is done.

    Args:
        limiter: the threads that compute at once.
        max_items: maximum number of items in a slice (count).
        max_seconds: time after which a slice ends, after at least one item (s).
    """

    limiter: trio.CapacityLimiter
    max_items: int
    max_seconds: float

    async def compute(self, do: Callable[[], T]) -> T:
        """Call a function in a worker thread."""
        return await trio.to_thread.run_sync(do, limiter=self.limiter, abandon_on_cancel=True)

    async def each(
        self, step: StepProgress, items: Sequence[T], do: Callable[[T], None], message: str
    ) -> None:
        """Apply a function to each item, slice by slice, and report the progress of the step.

        Args:
            step: the step, which reports after each slice.
            items: the items.
            do: called with each item, in a worker thread.
            message: the sentence to report; it has two ``{}``, for the number of items done and of all.
        """
        done = 0
        while done < len(items):
            done = await self.compute(partial(self._do_slice, items, do, done))
            await step.update(100.0 * done / len(items), message.format(f"{done:,}", f"{len(items):,}"))

    def _do_slice(self, items: Sequence[T], do: Callable[[T], None], begin: int) -> int:
        stop = min(len(items), begin + self.max_items)
        until = time.perf_counter() + self.max_seconds
        pauses = Pauses()
        for index in range(begin, stop):
            do(items[index])
            if time.perf_counter() >= until:
                return index + 1
            pauses.take()
        return stop
