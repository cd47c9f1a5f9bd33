"""A limit on connection setups and teardowns per event-loop pass, against reconnect storms."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn

import trio


class LoopPassLimiter:
    """A limit on connection setups and teardowns per event-loop pass; further callers wait, in order.

    Without it a reconnect storm would starve the fan-out: the event loop would set up or tear down a thousand
    connections before it delivers the next event. Setups come first, so that a client that arrives does not
    wait for thousands that have left. One teardown a pass is done in any case: those that wait take memory.

    Args:
        each_pass: maximum number of turns in one pass, and one more for a teardown.

    Attributes:
        call_in_turn: calls a function that begins a teardown: at once while turns are left in this pass, or
            else in its turn, perhaps after the end of its connection. It must not raise.
    """

    def __init__(self, each_pass: int) -> None:
        self.call_in_turn: Final = self._call_in_turn  # a method for each connection would take memory
        self._each_pass = each_pass
        self._left = each_pass
        self._setups = trio.lowlevel.ParkingLot()
        # Functions that begin a teardown. OrderedDict, because trio tasks leave the middle when cancelled.
        self._teardowns: OrderedDict[Callable[[], None], None] = OrderedDict()
        self._used = trio.Event()

    async def setup_turn(self) -> bool:
        """Wait for a turn to set a connection up; does not wait while turns are left in this pass.

        Cancelled, none is used.

        Returns:
            True if it had to wait, so that the client may have left meanwhile.
        """
        if self._take_free():
            return False
        await self._setups.park()
        return True

    async def teardown_turn(self) -> None:
        """Wait for a turn to tear a connection down; see :meth:`setup_turn`."""
        if self._take_free():
            return
        begin = partial(trio.lowlevel.reschedule, trio.lowlevel.current_task())
        self._teardowns[begin] = None

        def leave_line(_: object) -> trio.lowlevel.Abort:
            del self._teardowns[begin]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave_line)

    def _call_in_turn(self, begin: Callable[[], None]) -> None:
        if self._take_free():
            begin()
        else:
            self._teardowns[begin] = None

    def _take_free(self) -> bool:
        """Use a turn of this pass, if one is left and nobody waits."""
        if not self._left or self._setups or self._teardowns:
            return False
        self._left -= 1
        if not self._left:  # turns that earlier passes have left are used first, which wakes nobody
            self._used.set()
        return True

    async def run(self) -> NoReturn:
        """Grant turns until cancelled; sleeps while there is no caller."""
        while True:
            await self._used.wait()  # at least until the next pass
            granted = len(self._setups.unpark(count=self._each_pass))
            for _ in range(min(len(self._teardowns), max(1, self._each_pass - granted))):
                self._teardowns.popitem(last=False)[0]()  # no variable keeps what it refers to
                granted += 1
            self._left = max(0, self._each_pass - granted)
            if not granted:
                self._used = trio.Event()
