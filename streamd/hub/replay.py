"""Replay: the pages of the log that subscriptions read, within a budget.

After a restart all clients resume at once. Each reads pages of the log, and the fan-out, publishing and new
connections run on the same event loop. So at most ``max_reads`` subscriptions read or hand out a slice of a
page in one pass of the loop; the others wait in line::

    subscriptions that were live and lag --- queue --.
                                                      +-- turn: read a page, or take the next slice of one
    subscriptions that replay history ------ queue --'

Both queues are first in, first out, and a subscription enters at the end for each slice, so that each of N
readers has every N-th turn. Lagging ones go first, but after ``_FIRST_IN_ROW`` of them one of the others has
its turn: neither queue starves.

The slices of a page that are not handed out yet are kept in memory. While they amount to ``max_bytes``, pages
are read one slice at a time, so that nothing of them is kept: clients that read slowly make reading slower,
and never stop it.
"""

from collections import OrderedDict
from typing import Final

import trio

_FIRST_IN_ROW: Final = 3


class ReplayBudget:
    """Bounds the readers that have a turn at once, and the bytes that are read and not handed out.

    Args:
        max_reads: maximum number of turns at once.
        max_bytes: bytes that may be kept before pages get smaller; counted are the characters of the data.

    Attributes:
        kept_bytes: bytes of pages that are read and not handed out.
    """

    def __init__(self, max_reads: int, max_bytes: int) -> None:
        self.kept_bytes = 0
        self._max_bytes = max_bytes
        self._free = max_reads
        # OrderedDict, because waiters leave the middle of the line when they are cancelled.
        self._lagging: OrderedDict[trio.lowlevel.Task, None] = OrderedDict()
        self._replaying: OrderedDict[trio.lowlevel.Task, None] = OrderedDict()
        self._in_row = 0  # turns of lagging readers since one that replays had its turn

    @property
    def is_exhausted(self) -> bool:
        """True while pages should be read one slice at a time."""
        return self.kept_bytes >= self._max_bytes

    @property
    def waiting(self) -> int:
        """The number of readers in line."""
        return len(self._lagging) + len(self._replaying)

    async def acquire(self, *, is_lagging: bool) -> bool:
        """Wait for a turn, which lasts until :meth:`release`; return False if it was free at once.

        Only waiting is a checkpoint. Cancelled, there is no turn, and nobody else loses one.

        Args:
            is_lagging: the reader was live, and fell behind.
        """
        if self._free:
            self._free -= 1
            return False
        task = trio.lowlevel.current_task()
        queue = self._lagging if is_lagging else self._replaying
        queue[task] = None

        def leave_line(_: object) -> trio.lowlevel.Abort:
            del queue[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave_line)
        return True

    def release(self) -> None:
        """End a turn, and give it to the next in line, which runs in the next pass of the loop."""
        task = self._next()
        if task is None:
            self._free += 1
        else:
            trio.lowlevel.reschedule(task)

    def _next(self) -> trio.lowlevel.Task | None:
        """Remove and return the next in line; None if nobody waits."""
        if self._lagging and not (self._replaying and self._in_row >= _FIRST_IN_ROW):
            self._in_row += 1
            return self._lagging.popitem(last=False)[0]
        self._in_row = 0
        return self._replaying.popitem(last=False)[0] if self._replaying else None
