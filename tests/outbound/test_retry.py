"""The retry loop, on a virtual clock: which failures it retries, how often, and how long it waits."""

from collections.abc import Awaitable, Callable, Iterable

import pytest
import trio
from trio.testing import MockClock

from streamd.errors import NotFound, StreamdError
from streamd.outbound import (
    AttemptFailed,
    Backoff,
    DeadlinePassed,
    FetchFailed,
    RetriesExhausted,
    RetryBound,
    RetryLoop,
    RetryNotice,
    RetryPolicy,
)

EXACT = Backoff(initial_seconds=1, max_seconds=8, jitter=0)


class Attempts:
    """An operation that fails as it is told, and then succeeds.

    Attributes:
        times: of the attempts, since the start (s).
        notices: of the waits.
    """

    def __init__(self, *failures: Exception, seconds: float = 0.0) -> None:
        self.times: list[float] = []
        self.notices: list[RetryNotice] = []
        self._start = trio.current_time()
        self._seconds = seconds
        self._failures = list(failures)

    async def attempt(self) -> str:
        self.times.append(trio.current_time() - self._start)
        await trio.sleep(self._seconds)
        if self._failures:
            raise self._failures.pop(0)
        return "done"

    async def on_retry(self, notice: RetryNotice) -> None:
        self.notices.append(notice)
        await trio.lowlevel.checkpoint()

    async def run(self, policy: RetryPolicy, *, deadline_seconds: float = float("inf")) -> str:
        deadline = self._start + deadline_seconds
        return await RetryLoop(policy=policy, on_retry=self.on_retry, deadline=deadline).run(self.attempt)


def failing(count: int, retry_after_seconds: float | None = None) -> Iterable[AttemptFailed]:
    return [AttemptFailed(f"failure {n}", retry_after_seconds=retry_after_seconds) for n in range(count)]


async def test_success_needs_one_attempt_and_no_notice(autojump_clock: MockClock) -> None:
    attempts = Attempts()
    assert await attempts.run(RetryPolicy()) == "done"
    assert (attempts.times, attempts.notices) == ([0], [])


async def test_waits_double_and_are_announced(autojump_clock: MockClock) -> None:
    attempts = Attempts(*failing(5))
    assert await attempts.run(RetryPolicy(backoff=EXACT)) == "done"
    assert attempts.times == [0, 1, 3, 7, 15, 23]
    assert [notice.wait_seconds for notice in attempts.notices] == [1, 2, 4, 8, 8]
    assert [notice.attempts for notice in attempts.notices] == [1, 2, 3, 4, 5]
    assert [notice.failure.detail for notice in attempts.notices] == [f"failure {n}" for n in range(5)]


async def test_attempts_are_bounded(autojump_clock: MockClock) -> None:
    attempts = Attempts(*failing(9))
    with pytest.raises(RetriesExhausted) as caught:
        await attempts.run(RetryPolicy(attempts=3, backoff=EXACT))
    exhausted = caught.value
    assert (exhausted.attempts, exhausted.bound) == (3, RetryBound.ATTEMPTS)
    assert exhausted.detail == exhausted.failure.detail == "failure 2"
    assert len(attempts.times) == 3


@pytest.mark.parametrize("error", [NotFound("no such order"), FetchFailed("no"), KeyError("bug")])
async def test_a_failure_that_a_retry_cannot_help_is_raised_as_it_is(
    autojump_clock: MockClock, error: Exception
) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)) as caught:
        await attempts.run(RetryPolicy())
    assert caught.value is error
    assert len(attempts.times) == 1


async def test_the_caller_may_decide_which_failures_are_retried(autojump_clock: MockClock) -> None:
    attempts = Attempts(NotFound("not yet"))
    loop = RetryLoop(policy=RetryPolicy(backoff=EXACT), retry_on=lambda error: isinstance(error, NotFound))
    assert await loop.run(attempts.attempt) == "done"


async def test_retry_after_is_waited_for(autojump_clock: MockClock) -> None:
    attempts = Attempts(*failing(2, retry_after_seconds=5))
    assert await attempts.run(RetryPolicy(backoff=EXACT, max_wait_seconds=5)) == "done"
    assert attempts.times == [0, 5, 10]


async def test_a_retry_after_beyond_the_maximum_wait_ends_the_retries(autojump_clock: MockClock) -> None:
    attempts = Attempts(*failing(1, retry_after_seconds=31))
    with pytest.raises(RetriesExhausted) as caught:
        await attempts.run(RetryPolicy(backoff=EXACT, max_wait_seconds=30))
    assert (caught.value.bound, caught.value.retry_after_seconds) == (RetryBound.WAIT, 31)
    assert attempts.times == [0]


async def test_backoff_is_cut_to_the_maximum_wait(autojump_clock: MockClock) -> None:
    attempts = Attempts(*failing(4))
    await attempts.run(RetryPolicy(backoff=Backoff(initial_seconds=1, jitter=0.5), max_wait_seconds=2))
    waits = [notice.wait_seconds for notice in attempts.notices]
    assert 1 <= waits[0] <= 1.5
    assert waits[1:] == [2, 2, 2]


async def test_no_attempt_begins_after_the_time_for_retries(autojump_clock: MockClock) -> None:
    attempts = Attempts(*failing(9), seconds=0.5)
    with pytest.raises(RetriesExhausted) as caught:
        await attempts.run(RetryPolicy(backoff=EXACT, retry_for_seconds=4))
    assert caught.value.bound is RetryBound.TIME
    assert attempts.times == [0, 1.5, 4]
    assert trio.current_time() - attempts.times[-1] == pytest.approx(0.5)


async def test_no_time_for_retries_still_allows_the_first_attempt(autojump_clock: MockClock) -> None:
    assert await Attempts(seconds=100).run(RetryPolicy(retry_for_seconds=0)) == "done"


async def test_the_deadline_cuts_off_the_first_attempt(autojump_clock: MockClock) -> None:
    attempts = Attempts(seconds=10)
    with pytest.raises(RetriesExhausted) as caught:
        await attempts.run(RetryPolicy(), deadline_seconds=4)
    assert isinstance(caught.value.failure, DeadlinePassed)
    assert trio.current_time() == pytest.approx(4)


async def test_the_deadline_keeps_the_failure_before_it(autojump_clock: MockClock) -> None:
    attempts = Attempts(*failing(1), seconds=3)
    with pytest.raises(RetriesExhausted, match="failure 0"):
        await attempts.run(RetryPolicy(backoff=EXACT), deadline_seconds=5)
    assert attempts.times == [0, 4]
    assert trio.current_time() == pytest.approx(5)


async def test_the_deadline_cuts_off_a_wait(autojump_clock: MockClock) -> None:
    attempts = Attempts(*failing(1))
    with pytest.raises(RetriesExhausted, match="failure 0") as caught:
        await attempts.run(
            RetryPolicy(backoff=Backoff(initial_seconds=60, max_seconds=60)), deadline_seconds=5
        )
    assert caught.value.bound is RetryBound.TIME
    assert trio.current_time() == pytest.approx(5)
    assert attempts.times == [0]


async def test_a_retry_after_beyond_the_deadline_ends_the_retries_at_once(autojump_clock: MockClock) -> None:
    attempts = Attempts(*failing(1, retry_after_seconds=60))
    with pytest.raises(RetriesExhausted) as caught:
        await attempts.run(RetryPolicy(backoff=EXACT), deadline_seconds=50)
    assert caught.value.bound is RetryBound.TIME
    assert trio.current_time() == 0


async def test_progress_begins_the_backoff_from_its_first_wait(autojump_clock: MockClock) -> None:
    waits: list[float] = []
    failures = iter(failing(5))

    async def attempt() -> None:
        await trio.lowlevel.checkpoint()
        if len(waits) == 3:
            loop.reset()
        if (failure := next(failures, None)) is not None:
            raise failure

    async def on_retry(notice: RetryNotice) -> None:
        await trio.lowlevel.checkpoint()
        waits.append(notice.wait_seconds)

    loop = RetryLoop(policy=RetryPolicy(backoff=EXACT), on_retry=on_retry)
    await loop.run(attempt)
    assert waits == [1, 2, 4, 1, 2]


async def test_the_servers_reconnection_time_replaces_the_first_wait(autojump_clock: MockClock) -> None:
    attempts = Attempts(*failing(2))
    loop = RetryLoop(policy=RetryPolicy(backoff=EXACT), on_retry=attempts.on_retry)
    loop.base_seconds = 3
    await loop.run(attempts.attempt)
    assert attempts.times == [0, 3, 9]


@pytest.mark.parametrize("seconds", [0.5, 2])
async def test_cancelling_ends_an_attempt_or_a_wait(autojump_clock: MockClock, seconds: float) -> None:
    attempts = Attempts(*failing(9), seconds=1)
    with trio.move_on_after(seconds) as scope:
        await attempts.run(RetryPolicy(backoff=Backoff(initial_seconds=100, max_seconds=100)))
    assert scope.cancelled_caught
    assert attempts.times == [0]


async def test_an_error_of_the_notice_ends_the_retries(autojump_clock: MockClock) -> None:
    async def on_retry(_notice: RetryNotice) -> None:
        await trio.lowlevel.checkpoint()
        raise NotFound("the task is gone")

    attempt: Callable[[], Awaitable[str]] = Attempts(*failing(1)).attempt
    with pytest.raises(StreamdError, match="the task is gone"):
        await RetryLoop(policy=RetryPolicy(), on_retry=on_retry).run(attempt)
