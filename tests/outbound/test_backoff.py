"""The wait between two attempts: doubling, jitter, and the server's own wishes."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.outbound import MAX_RETRY_AFTER_SECONDS, Backoff, read_retry_after


class TestBackoff:
    def test_waits_double_up_to_the_maximum(self) -> None:
        backoff = Backoff(initial_seconds=0.5, max_seconds=6, jitter=0)
        assert [backoff.delay(attempt) for attempt in range(6)] == [0.5, 1, 2, 4, 6, 6]
        assert backoff.delay(10_000) == 6

    def test_jitter_only_adds(self) -> None:
        waits = {Backoff(initial_seconds=1, jitter=0.5).delay(0) for _ in range(200)}
        assert len(waits) > 100
        assert min(waits) >= 1
        assert max(waits) <= 1.5

    def test_the_server_decides(self) -> None:
        backoff = Backoff(initial_seconds=1, max_seconds=10, jitter=0)
        assert backoff.delay(0, base_seconds=4) == 4
        assert backoff.delay(1, base_seconds=4) == 8
        assert backoff.delay(0, base_seconds=10**9) == 10
        assert backoff.delay(0, retry_after_seconds=100) == 100
        assert backoff.delay(0, base_seconds=4, retry_after_seconds=3) == 4

    def test_a_reconnection_time_of_zero_retries_at_once_and_then_backs_off(self) -> None:
        backoff = Backoff(jitter=0, max_seconds=10)
        assert backoff.delay(0, base_seconds=0) == 0
        assert [backoff.delay(attempt, base_seconds=0) for attempt in (1, 2, 20)] == [0.02, 0.04, 10]

    @given(
        st.integers(0, 10**6),
        st.floats(0, 1000),
        st.floats(0, 1000),
        st.floats(0, 2),
        st.none() | st.floats(0, 4000),
    )
    def test_a_wait_is_within_its_bounds(
        self, attempt: int, initial: float, most: float, jitter: float, retry_after: float | None
    ) -> None:
        backoff = Backoff(initial_seconds=initial, max_seconds=most, jitter=jitter)
        wait = backoff.delay(attempt, retry_after_seconds=retry_after)
        asked = retry_after or 0.0
        assert asked <= wait <= max(most, asked) * (1 + jitter) * (1 + 1e-9)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (None, None),
            ("5", 5),
            ("0", 0),
            (" 7 ", 7),
            ("soon", None),
            ("", None),
            ("-3", None),
            ("1e999", None),
            ("99999999", MAX_RETRY_AFTER_SECONDS),
        ],
    )
    def test_a_number_of_seconds_is_read_and_bounded(self, value: str | None, seconds: float | None) -> None:
        assert read_retry_after(value) == seconds

    def test_a_date_is_the_time_until_then(self) -> None:
        assert read_retry_after(formatdate(time.time() + 60, usegmt=True)) == pytest.approx(60, abs=5)

    def test_a_date_in_the_past_is_no_wait(self) -> None:
        assert read_retry_after(formatdate(0, usegmt=True)) == 0

    def test_a_date_far_ahead_is_bounded(self) -> None:
        assert read_retry_after(formatdate(time.time() + 10**6, usegmt=True)) == MAX_RETRY_AFTER_SECONDS

    @pytest.mark.parametrize("server_is_ahead_by", [-86_400, 0, 3600])
    def test_a_date_is_counted_from_the_time_of_the_server(self, server_is_ahead_by: int) -> None:
        now = time.time() + server_is_ahead_by
        date, until = (formatdate(moment, usegmt=True) for moment in (now, now + 30))
        assert read_retry_after(until, date) == 30
        assert read_retry_after("5", date) == 5

    def test_without_a_readable_date_of_the_server_it_is_counted_from_now(self) -> None:
        until = formatdate(time.time() + 60, usegmt=True)
        assert read_retry_after(until, "yesterday") == pytest.approx(60, abs=5)

    @given(st.text())
    def test_any_text_is_read_or_ignored(self, value: str) -> None:
        seconds = read_retry_after(value, value)
        assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_SECONDS
