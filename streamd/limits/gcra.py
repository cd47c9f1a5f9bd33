"""The generic cell rate algorithm (ITU-T I.371, annex A.1; there a virtual scheduling algorithm).

An account earns ``per_second`` tokens a second and holds at most ``burst`` of them; a request costs some. One
number is kept for it, the time at which it will be full again (the theoretical arrival time). All arithmetic
is on integers: the unit of an amount is a trillionth of a token, of which an account earns
``1000 x per_second`` a nanosecond, so that nothing is rounded.

What holds:

1. In any time, an account gives at most ``burst`` tokens and those it earns meanwhile. A cost above ``burst``
   needs a full account, and leaves a debt that is earned back before anything else is given.
2. An account that is not full is never forgotten. There are at most ``max_keys`` accounts; while all of them
   are used, further keys share one. So a flood of keys makes new callers share a rate, and frees nobody who
   has an account of what it has spent.
3. Every call takes constant time, and nothing runs between calls: each :meth:`Limiter.take` looks at two
   accounts, the longest unexamined, and forgets those that are full.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final

import attrs
import trio

MAX_KEYS: Final = 50_000
"""Maximum number of accounts of one limit; each takes some 200 bytes."""

RATE_STEPS: Final = 1000  # a rate is a whole number of thousandths
_TOKEN: Final = RATE_STEPS * 1_000_000_000
_NS: Final = 1_000_000_000
_SHARED_KEY: Final = ""  # of the account of keys that have none of their own


def monotonic_ns() -> int:
    """Return trio's clock (ns)."""
    return round(trio.current_time() * _NS)


@attrs.frozen
class Rate:
    """A rate of tokens.

    Args:
        per_second: tokens that an account earns a second; rounded to thousandths, and at least one of these.
        burst: tokens that it holds at most.
    """

    per_second: float
    burst: int

    @property
    def step(self) -> int:
        """Trillionths of a token that an account earns a nanosecond."""
        return max(1, round(self.per_second * RATE_STEPS))


@attrs.frozen
class Decision:
    """The answer of a limit to one request.

    Args:
        allowed: the tokens were taken.
        limit: tokens that the account holds at most.
        remaining: whole tokens that it has left.
        reset_seconds: time until it is full, if nothing else is taken (s).
        retry_after_seconds: time after which the same request is allowed, if nothing else is taken (s); 0 if
            it was allowed.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: float
    retry_after_seconds: float = 0.0


class Limiter:
    """The accounts of one limit, in memory. See the module for what holds.

    Args:
        rate: of each account.
        now_ns: a monotonic clock (ns).
        max_keys: maximum number of accounts.
    """

    def __init__(
        self, rate: Rate, *, now_ns: Callable[[], int] = monotonic_ns, max_keys: int = MAX_KEYS
    ) -> None:
        self._now_ns = now_ns
        self._max_keys = max_keys
        self._full_at: OrderedDict[str, int] = OrderedDict()  # in units, that is ns times the step
        self._use(rate)

    def _use(self, rate: Rate) -> None:
        self.rate = rate
        self._step = rate.step
        self._capacity = rate.burst * _TOKEN

    def __len__(self) -> int:
        """Count the accounts."""
        return len(self._full_at)

    def take(self, key: str, cost: int = 1) -> Decision:
        """Take tokens from an account, or none if it does not have them.

        Args:
            key: of the account.
            cost: number of tokens.
        """
        now = self._now_ns() * self._step
        self._forget_full(now)
        key = self._find(key)
        debt = max(self._full_at.get(key, 0) - now, 0)
        lacking = debt + min(cost * _TOKEN, self._capacity) - self._capacity
        if lacking > 0:
            return self._decide(debt, lacking)
        debt += cost * _TOKEN
        self._full_at[key] = now + debt
        self._full_at.move_to_end(key)
        return self._decide(debt)

    def look(self, key: str, cost: int = 1) -> Decision:
        """Decide as :meth:`take` would, and take nothing."""
        now = self._now_ns() * self._step
        debt = max(self._full_at.get(self._find(key), 0) - now, 0)
        lacking = debt + min(cost * _TOKEN, self._capacity) - self._capacity
        return self._decide(debt, max(lacking, 0))

    def give_back(self, key: str, cost: int) -> None:
        """Return tokens that were taken for a request that was refused for another reason."""
        key = self._find(key)
        if key in self._full_at:
            self._full_at[key] -= cost * _TOKEN

    def change_rate(self, rate: Rate) -> None:
        """Use another rate from now on. What an account has spent stays spent."""
        before = self._now_ns() * self._step
        now = self._now_ns() * rate.step
        for key, full_at in self._full_at.items():
            self._full_at[key] = now + max(full_at - before, 0)
        self._use(rate)

    def _find(self, key: str) -> str:
        """Return the key of the account in which a key is counted."""
        if key in self._full_at or len(self._full_at) < self._max_keys:
            return key
        return _SHARED_KEY

    def _forget_full(self, now: int) -> None:
        for key in list(islice(self._full_at, 2)):
            if self._full_at[key] <= now:
                del self._full_at[key]
            else:
                self._full_at.move_to_end(key)

    def _decide(self, debt: int, lacking: int = 0) -> Decision:
        return Decision(
            lacking <= 0,
            self.rate.burst,
            max(self._capacity - debt, 0) // _TOKEN,
            self._seconds(debt),
            self._seconds(lacking),
        )

    def _seconds(self, amount: int) -> float:
        """Return the time in which an account earns an amount, rounded up to a nanosecond (s)."""
        return -(-amount // self._step) / _NS
