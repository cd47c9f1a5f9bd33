"""Times of tests, and virtual clocks for tests with real sockets."""

from datetime import UTC, datetime, timedelta
from typing import Final

import trio.testing

NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the time some seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def socket_clock() -> trio.testing.MockClock:
    """Make a clock that jumps when nothing happens on any socket.

    Bytes in flight between two sockets of this process are invisible to trio. The threshold gives them time
    to arrive before the clock jumps.
    """
    return trio.testing.MockClock(autojump_threshold=0.05)
