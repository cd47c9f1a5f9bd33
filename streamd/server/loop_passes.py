"""A limit on connection setups and teardowns per event-loop pass, against reconnect storms."""

import trio


class LoopPassLimiter:
    """A limit on connection setups and teardowns per event-loop pass; further callers wait, in order.

    Without it a reconnect storm would starve the fan-out: the event loop would set up or tear down a thousand
    connections before it delivers the next event.

    Args:
        each_pass: maximum number of turns in one pass.
    """

    def __init__(self, each_pass: int) -> None:
        self._each_pass = each_pass
        self._left = each_pass
        self._queue = trio.lowlevel.ParkingLot()
        self._used = trio.Event()

    async def turn(self) -> None:
        """Wait for a turn; does not wait while turns are left in this pass. Cancelled, none is used."""
        if self._left and not self._queue:
            self._left -= 1
            if not self._left:  # turns that earlier passes have left are used first, which wakes nobody
                self._used.set()
        else:
            await self._queue.park()

    async def run(self) -> None:
        """Grant turns until cancelled; sleeps while there is no caller."""
        while True:
            await self._used.wait()
            await trio.lowlevel.checkpoint()
            woken = len(self._queue.unpark(count=self._each_pass))
            self._left = self._each_pass - woken
            if not woken:
                self._used = trio.Event()
