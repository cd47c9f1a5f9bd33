"""A limiter gives what a token bucket with exact arithmetic gives, whatever is asked and whenever."""

from fractions import Fraction
from typing import Any

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamd.limits import Decision, Limiter, Rate

RATES = [0.001, 0.5, 1.0, 3.0, 7.3, 1000.0]
KEYS = st.sampled_from(["a", "b", "c"])
COSTS = st.integers(0, 12)
NS = 1_000_000_000


@attrs.define
class Bucket:
    """A token bucket: tokens are counted, and earned with the time that passes."""

    rate: Fraction
    burst: int
    tokens: Fraction
    at: int = 0  # ns

    def take(self, now: int, cost: int) -> bool:
        self.earn(now)
        if self.tokens < min(cost, self.burst):
            return False
        self.tokens -= cost
        return True

    def earn(self, now: int) -> None:
        self.tokens = min(Fraction(self.burst), self.tokens + Fraction(now - self.at, NS) * self.rate)
        self.at = now


class LimiterAndBuckets(RuleBasedStateMachine):
    """Ask both the same."""

    now = 0

    @initialize(rate=st.sampled_from(RATES), burst=st.integers(1, 10), begin=st.integers(0, 10**18))
    def begin(self, rate: float, burst: int, begin: int) -> None:
        self.now = begin
        self.rate = Rate(rate, burst)
        self.limiter = Limiter(self.rate, now_ns=lambda: self.now)
        self.buckets: dict[str, Bucket] = {}

    def bucket(self, key: str) -> Bucket:
        exact = Fraction(round(self.rate.per_second * 1000), 1000)
        new = Bucket(exact, self.rate.burst, Fraction(self.rate.burst), self.now)
        bucket = self.buckets.setdefault(key, new)
        bucket.earn(self.now)
        return bucket

    @rule(ns=st.one_of(st.integers(0, 50), st.integers(0, 3 * NS), st.integers(0, 5000 * NS)))
    def pass_time(self, ns: int) -> None:
        self.now += ns

    @rule(key=KEYS, cost=COSTS)
    def take(self, key: str, cost: int) -> None:
        looked = self.limiter.look(key, cost)
        decision = self.limiter.take(key, cost)
        bucket = self.bucket(key)
        assert decision.allowed == looked.allowed == bucket.take(self.now, cost)
        self.check(decision, bucket)
        if not decision.allowed:
            assert decision == looked
            missing = (min(cost, bucket.burst) - bucket.tokens) / bucket.rate
            assert decision.retry_after_seconds == pytest.approx(float(missing), abs=2e-9)

    @rule(key=KEYS, cost=COSTS)
    def retry_exactly_in_time(self, key: str, cost: int) -> None:
        refused = self.limiter.look(key, cost)
        if not refused.allowed:
            wait = round(refused.retry_after_seconds * NS)
            self.now += wait - 1
            if wait < 10**6 * NS:  # a float has no nanoseconds of longer times
                assert not self.limiter.look(key, cost).allowed
            self.now += 1 + wait // 10**15
            assert self.limiter.look(key, cost).allowed

    @rule(key=KEYS, cost=st.integers(0, 10))
    def take_and_give_back(self, key: str, cost: int) -> None:
        if self.limiter.take(key, cost).allowed:
            self.limiter.give_back(key, cost)

    @rule(rate=st.sampled_from(RATES), burst=st.integers(1, 10))
    def change_rate(self, rate: float, burst: int) -> None:
        spent = {key: bucket.burst - self.bucket(key).tokens for key, bucket in self.buckets.items()}
        self.rate = Rate(rate, burst)
        self.limiter.change_rate(self.rate)
        self.buckets = {}
        for key, tokens in spent.items():
            self.bucket(key).tokens = burst - tokens

    @invariant()
    def agrees(self) -> None:
        for key in self.buckets:
            self.check(self.limiter.look(key, 0), self.bucket(key))

    def check(self, decision: Decision, bucket: Bucket) -> None:
        assert decision.limit == bucket.burst
        assert decision.remaining == max(0, bucket.tokens.__floor__())
        until_full = (bucket.burst - bucket.tokens) / bucket.rate
        assert decision.reset_seconds == pytest.approx(float(until_full), abs=2e-9)


TestLimiterAndBuckets: Any = LimiterAndBuckets.TestCase
TestLimiterAndBuckets.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@attrs.define
class Clock:
    """A clock that stands still until it is moved (ns)."""

    ns: int = 5 * NS

    def __call__(self) -> int:
        return self.ns


def test_a_flood_of_keys_frees_nobody_of_a_debt_and_is_bounded() -> None:
    clock = Clock()
    limiter = Limiter(Rate(1.0, 2), now_ns=clock, max_keys=100)
    assert limiter.take("spender", 2).allowed
    for number in range(1000):
        limiter.take(f"flood {number}")
        assert not limiter.look("spender").allowed
    assert len(limiter) == 101
    assert not limiter.look("another that comes late").allowed  # they share what one may spend
    clock.ns += 2 * NS
    assert limiter.look("spender", 2).allowed
    for number in range(100):
        limiter.take(f"later {number}")
    assert len(limiter) <= 101
    assert limiter.look("a new one").allowed


def test_accounts_that_are_full_are_forgotten() -> None:
    clock = Clock()
    limiter = Limiter(Rate(1.0, 1), now_ns=clock, max_keys=10_000)
    for number in range(1000):
        limiter.take(f"once {number}")
    assert len(limiter) == 1000
    clock.ns += NS
    for _ in range(500):
        limiter.take("frequent")
    assert len(limiter) <= 2


def test_a_cost_above_the_burst_needs_a_full_account_and_is_earned_back() -> None:
    clock = Clock()
    limiter = Limiter(Rate(1.0, 5), now_ns=clock)
    assert limiter.take("a", 20).allowed
    clock.ns += 16 * NS - 1
    assert not limiter.take("a").allowed
    assert not limiter.take("a", 20).allowed
    clock.ns += 1
    assert limiter.take("a").allowed
    assert limiter.look("a", 20).retry_after_seconds == 5
