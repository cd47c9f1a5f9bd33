"""The feed's publishing intervals, on a virtual clock."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st

from streamd.errors import HubLagging
from streamd.events import Draft
from streamd.events.settings import EventSettings
from streamd.services.sentiment.feed import METRICS_TOPIC, Feed
from streamd.services.sentiment.models import Sentiment, SentimentMetrics
from streamd.services.sentiment.settings import SentimentSettings
from streamd.services.sentiment.store.sqlite import LiveTotals
from streamd.services.sentiment.totals import HOUR_MS, Totals

DAY_MS = 24 * HOUR_MS
START_MS = 1_700_000_000_000
SETTINGS = SentimentSettings()
LIMITS = EventSettings()


def now_ms() -> int:
    return START_MS + round(1000 * trio.current_time())


class Recorder:
    """A publisher that records events with their times, and fails as scripted."""

    def __init__(self) -> None:
        self.metrics: list[tuple[float, SentimentMetrics]] = []
        self.items: list[str] = []
        self.failures: list[Exception] = []

    async def publish(self, topics: str | Sequence[str], data: Any = "", *, type: str | None = None) -> None:
        assert (topics, type) == (METRICS_TOPIC, "metrics")
        await self._fail()
        self.metrics.append((trio.current_time(), data))

    async def publish_drafts(self, drafts: Sequence[Draft]) -> None:
        await self._fail()
        self.items.extend(draft.data for draft in drafts)

    async def _fail(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.failures:
            raise self.failures.pop(0)

    @property
    def times(self) -> list[float]:
        return [round(when, 3) for when, _ in self.metrics]


@attrs.frozen
class Fed:
    """A running feed."""

    source: LiveTotals
    feed: Feed
    hub: Recorder

    def add(self, *, age_ms: int = 0, count: int = 1) -> None:
        for _ in range(count):
            self.source.totals.add(now_ms() - age_ms, "AAPL", Sentiment.POSITIVE)
        self.source.wake()


@asynccontextmanager
async def feeding(settings: SentimentSettings = SETTINGS) -> AsyncIterator[Fed]:
    hub, source = Recorder(), LiveTotals(Totals(DAY_MS), now_ms)
    feed = Feed(hub, source, settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.publish_items)
        nursery.start_soon(feed.publish_metrics)
        yield Fed(source, feed, hub)
        nursery.cancel_scope.cancel()


async def test_metrics_are_published_every_thirty_seconds_without_changes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with feeding() as fed:
        await trio.sleep(95)
        assert fed.hub.times == [30, 60, 90]
        assert {metrics.total for _, metrics in fed.hub.metrics} == {0}


async def test_changes_are_published_at_most_once_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with feeding() as fed:
        await trio.sleep(10.25)
        for _ in range(24):
            fed.add()
            await trio.sleep(0.125)
        await trio.sleep(40)
        assert fed.hub.times == [10.25, 11.25, 12.25, 13.25, 43.25]
        assert [metrics.total for _, metrics in fed.hub.metrics] == [1, 9, 17, 24, 24]


async def test_an_item_leaving_a_window_is_a_change_at_that_millisecond(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with feeding() as fed:
        await trio.sleep(5)
        fed.add(age_ms=DAY_MS - 7_003)
        fed.add(age_ms=HOUR_MS - 3_001)
        await trio.sleep(10)
        seen = [(when, m.total, m.rate_last_hour) for when, m in fed.hub.metrics]
        assert seen == [(5, 2, 1), (pytest.approx(8.001), 2, 0), (pytest.approx(12.003), 1, 0)]


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0.01, 0.4, 1, 1.001, 29, 31, 70]), st.integers(1, 100_000)), max_size=30
    )
)
@example([(0.01, 99_000), (29, 60_001)])
def test_metrics_keep_both_intervals_and_are_exact(
    arrivals: list[tuple[float, int]],
) -> None:
    async def run() -> None:
        items: list[tuple[int, int]] = []  # times at which each item is added and leaves the day (ms)
        async with feeding() as fed:
            for pause, left_ms in arrivals:
                await trio.sleep(pause)
                fed.add(age_ms=DAY_MS - left_ms)
                items.append((now_ms(), now_ms() + left_ms))
            await trio.sleep(200)
            times = [0.0, *[when for when, _ in fed.hub.metrics], trio.current_time()]
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert all(gap >= 0.999_999 for gap in gaps[:-1])
            assert all(gap <= 30.000_001 for gap in gaps)
            for when, metrics in fed.hub.metrics:
                at = START_MS + round(1000 * when)
                surely = sum(came < at < leaves for came, leaves in items)
                assert surely <= metrics.total <= sum(came <= at < leaves for came, leaves in items)
            assert fed.hub.metrics[-1][1].total == 0
            for came, leaves in items:  # both are published within a second
                for change in (came, leaves):
                    since = (change - START_MS) / 1000
                    assert any(since - 0.001 <= when <= since + 1.001 for when in times)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_items_are_published_once_and_in_order_despite_failures(
    autojump_clock: trio.testing.MockClock,
) -> None:
    drafts = [Draft.create("sentiment/items", str(number), limits=LIMITS) for number in range(250)]
    async with feeding() as fed:
        fed.hub.failures = [HubLagging("behind", retry_after_seconds=1)] * 3 + [RuntimeError("a test's")]
        fed.feed.put(drafts[:120])
        await trio.sleep(2.5)
        assert fed.hub.items == []
        assert fed.feed.unpublished == 120
        fed.feed.put(drafts[120:])
        await trio.sleep(3)
        assert fed.hub.items == [str(number) for number in range(250)]
        assert fed.feed.unpublished == 0


@pytest.mark.parametrize("make", [lambda: HubLagging("behind"), lambda: RuntimeError("a test's")])
async def test_failed_metrics_are_retried_with_the_current_totals(
    make: Callable[[], Exception], autojump_clock: trio.testing.MockClock
) -> None:
    async with feeding() as fed:
        fed.hub.failures = [make() for _ in range(3)]
        await trio.sleep(10)
        fed.add()
        await trio.sleep(1.5)
        fed.add()
        assert fed.hub.metrics == []
        await trio.sleep(5)
        assert [(when, metrics.total) for when, metrics in fed.hub.metrics] == [(13, 2)]
        await trio.sleep(60)
        assert fed.hub.times == [13, 43, 73]
