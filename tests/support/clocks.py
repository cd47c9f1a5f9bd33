"""Times of tests, and virtual clocks for tests with real sockets."""

from datetime import UTC, datetime, timedelta
from typing import Final

import trio
import trio.testing

NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the time some seconds after noon."""
    return NOON + timedelta(seconds=seconds)


class WallClock:
    """A wall clock that advances with trio's clock and can be set.

    Attributes:
        set_by: the sum of the steps by which it was set.
    """

    def __init__(self) -> None:
        self.set_by = timedelta()

    def __call__(self) -> datetime:
        return at(trio.current_time()) + self.set_by

    def step(self, seconds: float) -> None:
        """Set the clock forward, or back if ``seconds`` is negative."""
        self.set_by += timedelta(seconds=seconds)


def socket_clock() -> trio.testing.MockClock:
    """Make a clock that jumps when nothing happens on any socket.

    Bytes in flight between two sockets of this process are invisible to trio. The threshold gives them time
    to arrive before the clock jumps.
    """
    return trio.testing.MockClock(autojump_threshold=0.05)
