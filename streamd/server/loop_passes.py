"""A limit on connection setups and teardowns per event-loop pass, against reconnect storms."""

import trio


class LoopPassLimiter:
    """A limit on connection setups and teardowns per event-loop pass; further callers wait, in order.

    Without it a reconnect storm would starve the fan-out: the event loop would set up or tear down a thousand
    connections before it delivers the next event. Setups come first, so that a client that arrives does not
    wait for thousands that have left. One teardown a pass is done in any case: those that wait take memory.

    Args:
        each_pass: maximum number of turns in one pass, and one more for a teardown.
    """

    def __init__(self, each_pass: int) -> None:
        self._each_pass = each_pass
        self._left = each_pass
        self._setups = trio.lowlevel.ParkingLot()
        self._teardowns = trio.lowlevel.ParkingLot()
        self._used = trio.Event()

    async def setup_turn(self) -> bool:
        """Wait for a turn to set a connection up; does not wait while turns are left in this pass.

        Cancelled, none is used.

        Returns:
            True if it had to wait, so that the client may have left meanwhile.
        """
        return await self._turn(self._setups)

    async def teardown_turn(self) -> None:
        """Wait for a turn to tear a connection down; see :meth:`setup_turn`."""
        await self._turn(self._teardowns)

    async def _turn(self, queue: trio.lowlevel.ParkingLot) -> bool:
        if self._left and not self._setups and not self._teardowns:
            self._left -= 1
            if not self._left:  # turns that earlier passes have left are used first, which wakes nobody
                self._used.set()
            return False
        await queue.park()
        return True

    async def run(self) -> None:
        """Grant turns until cancelled; sleeps while there is no caller."""
        while True:
            await self._used.wait()  # at least until the next pass
            woken = len(self._setups.unpark(count=self._each_pass))
            woken += len(self._teardowns.unpark(count=max(1, self._each_pass - woken)))
            self._left = max(0, self._each_pass - woken)
            if not woken:
                self._used = trio.Event()
