"""The allowance of one connection for messages that cost the server more than the client."""

from typing import Final

import trio

CONNECTION_BURST: Final = 500
CONNECTION_PER_SECOND: Final = 50.0
"""Pings, changes of a subscription, and the like, of one connection: a hundred times what clients send, and
one hundredth of what a processor serves."""


class Allowance:
    """A token bucket that is full at first. In any time it gives at most two bursts and what it earns.

    One connection has one, where :class:`.gcra.Limiter` has an account for each caller.

    Args:
        burst: maximum number of tokens.
        per_second: tokens that are added a second.
    """

    __slots__ = ("_burst", "_left", "_looked_at", "_per_second")

    def __init__(self, burst: int = CONNECTION_BURST, per_second: float = CONNECTION_PER_SECOND) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left = float(burst)
        self._looked_at = trio.current_time()

    def spend(self) -> bool:
        """Take a token; return False if there is none."""
        self._left -= 1
        if self._left < 0:
            now = trio.current_time()
            earned = (now - self._looked_at) * self._per_second
            self._looked_at = now
            self._left = min(self._left + earned, self._burst - 1.0)
        return self._left >= 0
