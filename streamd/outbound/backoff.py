"""How long to wait before the next try."""

import random

import attrs


@attrs.frozen(kw_only=True)
class Backoff:
    """Waits that double, up to a bound, and never fall on the same moment for many clients.

    Args:
        initial_seconds: before the first retry, unless the server asks for another time.
        max_seconds: where doubling stops.
        jitter: how much of a wait is added at random (0.5: up to half as much again).
    """

    initial_seconds: float = 1.0
    max_seconds: float = 30.0
    jitter: float = 0.5

    def delay(
        self, attempt: int, *, base_seconds: float | None = None, at_least_seconds: float | None = None
    ) -> float:
        """Seconds to wait.

        Args:
            attempt: how many tries have failed since the last that got somewhere, from 0.
            base_seconds: the server's reconnection time (``retry:``), in place of ``initial_seconds``.
            at_least_seconds: the server's ``Retry-After``, which ``max_seconds`` does not shorten.
        """
        base = self.initial_seconds if base_seconds is None else base_seconds
        # A server may ask for 0 ms, and doubling nothing would hammer it.
        doubled = min(max(base, 0.01) * 2.0 ** min(attempt, 32), self.max_seconds)
        wait = max(doubled if attempt or base else 0.0, at_least_seconds or 0.0)
        return wait * (1 + self.jitter * random.random())
