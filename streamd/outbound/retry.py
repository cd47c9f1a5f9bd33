"""Retries: the policy, and the one loop that follows it.

::

    attempt ---+-- success ------------------------------ returned
       ^       +-- failure that a retry cannot help ----- raised as it is
       |       +-- failure, and a bound is reached ------ RetriesExhausted
       |       +-- failure
       |              v
       +------- on_retry, wait
"""

import enum
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs
import trio

from ..errors import StreamdError
from .backoff import Backoff
from .failures import DeadlinePassed

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """The bounds of retrying one operation.

    Args:
        attempts: the maximum number of attempts, the first included; None for no limit.
        backoff: the waits between attempts.
        max_wait_seconds: the maximum wait between two attempts (s). Backoff is cut to it; a server that asks
            for a longer one by ``Retry-After`` ends the retries.
        retry_for_seconds: no attempt begins later than this after the first one (s).
    """

    attempts: int | None = None
    backoff: Backoff = attrs.field(factory=Backoff)
    max_wait_seconds: float = math.inf
    retry_for_seconds: float = math.inf


class RetryBound(enum.Enum):
    """The bound of a policy that ended the retries."""

    ATTEMPTS = "attempts"
    WAIT = "wait"
    TIME = "time"


class RetriesExhausted(StreamdError):
    """An operation failed, and its policy allows no further attempt.

    Attributes:
        failure: the error of the last attempt.
        attempts: the number of attempts that were made.
        bound: the bound that was reached.
    """

    code = "retries-exhausted"
    status = 502

    def __init__(self, failure: StreamdError, attempts: int, bound: RetryBound) -> None:
        super().__init__(failure.detail, field=failure.field, retry_after_seconds=failure.retry_after_seconds)
        self.failure = failure
        self.attempts = attempts
        self.bound = bound


@attrs.frozen
class RetryNotice:
    """A failed attempt, and the wait before the next one."""

    failure: StreamdError
    attempts: int  # made so far, since the start
    wait_seconds: float


OnRetry = Callable[[RetryNotice], Awaitable[None]]
"""Called before each wait, for progress messages and logs. An exception from it ends the retries."""


def is_retryable(failure: StreamdError) -> bool:
    """Return whether the class of an error says that a retry may help."""
    return failure.retryable


async def ignore_retry(_notice: RetryNotice) -> None:
    """Do nothing before a wait."""
    await trio.lowlevel.checkpoint()


@attrs.define(kw_only=True, eq=False)
class RetryLoop:
    """Runs one operation until it succeeds or its policy ends the retries.

    Args:
        policy: the bounds.
        on_retry: called before each wait.
        retry_on: returns whether a retry may help after a failure. Errors outside the tree of
            :class:`~streamd.errors.StreamdError` are never retried.
        deadline: the time of trio's clock at which a running attempt or wait is cut off. A ``Retry-After``
            beyond it ends the retries at once.

    Attributes:
        base_seconds: the server's reconnection time, in place of the backoff's own first wait (s).
    """

    policy: RetryPolicy
    on_retry: OnRetry = ignore_retry
    retry_on: Callable[[StreamdError], bool] = is_retryable
    deadline: float = math.inf
    base_seconds: float | None = attrs.field(init=False, default=None)
    _attempts: int = attrs.field(init=False, default=0)
    _without_progress: int = attrs.field(init=False, default=0)

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the first attempt that succeeds.

        Args:
            attempt: one attempt; holds nothing open when it raises.

        Raises:
            RetriesExhausted: the policy or the deadline allows no further attempt.
            StreamdError: a failure that a retry cannot help.

        Cancelling cancels the running attempt, or the wait.
        """
        last_start = trio.current_time() + self.policy.retry_for_seconds
        failure: StreamdError | None = None
        while True:
            if failure is not None and trio.current_time() >= self.deadline:
                raise self._exhausted(failure, RetryBound.TIME) from failure
            self._attempts += 1
            try:
                with trio.move_on_at(self.deadline):
                    return await attempt()
            except StreamdError as error:
                if not self.retry_on(error):
                    raise
                failure = error
            else:  # cancelled at the deadline: an earlier failure says more than that
                failure = failure or DeadlinePassed("no answer before the deadline")
                raise self._exhausted(failure, RetryBound.TIME)
            wait_seconds = self._next_wait(failure, last_start)
            self._without_progress += 1
            await self.on_retry(RetryNotice(failure, self._attempts, wait_seconds))
            await trio.sleep(wait_seconds)

    def reset(self) -> None:
        """Note progress: the next wait is the first one again."""
        self._without_progress = 0

    def _next_wait(self, failure: StreamdError, last_start: float) -> float:
        policy = self.policy
        if policy.attempts is not None and self._attempts >= policy.attempts:
            raise self._exhausted(failure, RetryBound.ATTEMPTS) from failure
        retry_after = failure.retry_after_seconds
        if retry_after is not None and retry_after > policy.max_wait_seconds:
            raise self._exhausted(failure, RetryBound.WAIT) from failure
        delay = policy.backoff.delay(
            self._without_progress, base_seconds=self.base_seconds, retry_after_seconds=retry_after
        )
        now = trio.current_time()
        wait_seconds = min(delay, policy.max_wait_seconds)
        if now + wait_seconds > last_start or now + (retry_after or 0.0) >= self.deadline:
            raise self._exhausted(failure, RetryBound.TIME) from failure
        return min(wait_seconds, self.deadline - now)

    def _exhausted(self, failure: StreamdError, bound: RetryBound) -> RetriesExhausted:
        return RetriesExhausted(failure, self._attempts, bound)
