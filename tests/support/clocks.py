"""Virtual clocks for tests with real sockets."""

import trio.testing


def socket_clock() -> trio.testing.MockClock:
    """Make a clock that jumps when nothing happens on any socket.

    Bytes in flight between two sockets of this process are invisible to trio. The threshold gives them time
    to arrive before the clock jumps.
    """
    return trio.testing.MockClock(autojump_threshold=0.05)
