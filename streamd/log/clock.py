"""The wall clock from which event ids take their milliseconds."""

import time


def wall_clock_ms() -> int:
    """Return the milliseconds since 1970. Any thread may call it."""
    return time.time_ns() // 1_000_000
