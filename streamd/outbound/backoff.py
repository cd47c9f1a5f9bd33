"""The wait between two attempts: exponential backoff with jitter, and the server's ``Retry-After``."""

import math
import random
import time
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

# A server whose clock is wrong must not park a client for days.
MAX_RETRY_AFTER_SECONDS: Final = 3600.0
# A server may ask for a reconnection time of 0 ms. Doubling 0 would never back off.
_MIN_DOUBLED_SECONDS: Final = 0.01
_MAX_DOUBLINGS: Final = 32  # 2**32 s is beyond every maximum, and larger exponents overflow a float


@attrs.frozen(kw_only=True)
class Backoff:
    """Exponential backoff with jitter, so that clients that failed together do not retry together.

    Args:
        initial_seconds: the wait before the first retry (s).
        max_seconds: the bound on the doubled wait, before jitter (s).
        jitter: the maximum share of a wait that is added at random (0.5: up to half as much again).
    """

    initial_seconds: float = 1.0
    max_seconds: float = 30.0
    jitter: float = 0.5

    def delay(
        self, attempt: int, *, base_seconds: float | None = None, retry_after_seconds: float | None = None
    ) -> float:
        """Return the wait before the next attempt (s).

        Args:
            attempt: the number of retries since the last progress; 0 before the first retry.
            base_seconds: the server's reconnection time (``retry:``), instead of ``initial_seconds`` (s).
            retry_after_seconds: the server's ``Retry-After``; ``max_seconds`` does not shorten it (s).
        """
        base = self.initial_seconds if base_seconds is None else base_seconds
        doubled = max(base, _MIN_DOUBLED_SECONDS) * 2.0 ** min(attempt, _MAX_DOUBLINGS)
        wait = max(
            min(doubled, self.max_seconds) if attempt or base else 0.0,
            retry_after_seconds or 0.0,
        )
        return wait * (1 + self.jitter * random.random())


def read_retry_after(value: str | None, date: str | None = None) -> float | None:
    """Read a ``Retry-After`` header: a number of seconds or a date (RFC 9110 section 10.2.3).

    Args:
        value: the header's value, or None if the response has none.
        date: the response's ``Date`` header. A date in ``Retry-After`` is counted from it, so that this
            machine's clock need not agree with the server's; without it, from the present.

    Returns:
        Seconds from now, from 0 to :data:`MAX_RETRY_AFTER_SECONDS`; None without a readable header.
    """
    if value is None:
        return None
    value = value.strip()
    if value[:1].isdigit():
        try:
            seconds = float(value)
        except ValueError:
            return None
    else:
        until, since = _parse_date(value), _parse_date(date)
        if until is None:
            return None
        seconds = until - (time.time() if since is None else since)
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS) if math.isfinite(seconds) else None


def _parse_date(text: str | None) -> float | None:
    """Return the time of an HTTP date (s since 1970); None if it is none."""
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
