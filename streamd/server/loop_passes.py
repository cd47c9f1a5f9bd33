"""How many connections may have something done for them before everybody else has a turn."""

import trio


class LoopPassLimiter:
    """Lets so many through in each pass of the event loop, and the others in the next ones, in order.

    When a thousand clients come or leave in the same moment, the loop would look after them all before
    it comes back to the fan-out; so that those who are not concerned would wait, too.

    Args:
        each_pass: how many (count).
    """

    def __init__(self, each_pass: int) -> None:
        self._each_pass = each_pass
        self._left = each_pass
        self._queue = trio.lowlevel.ParkingLot()
        self._used = trio.Event()

    async def turn(self) -> None:
        """Wait for a turn; at once where there are turns left in this pass. Cancelled, none is used."""
        if self._left and not self._queue:
            self._left -= 1
            self._used.set()
        else:
            await self._queue.park()

    async def run(self) -> None:
        """Begin the passes, until cancelled; costs nothing while nobody asks for a turn."""
        while True:
            await self._used.wait()
            await trio.lowlevel.checkpoint()
            woken = len(self._queue.unpark(count=self._each_pass))
            self._left = self._each_pass - woken
            if not woken:
                self._used = trio.Event()
