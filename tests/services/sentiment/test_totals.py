"""The sliding windows of the sentiment dashboard, compared with a model that recounts all items."""

from collections import Counter

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamd.services.sentiment.models import Sentiment, SentimentMetrics
from streamd.services.sentiment.totals import HOUR_MS, Totals

DAY_MS = 24 * HOUR_MS
NOW = 1_700_000_000_000


@attrs.frozen
class Add:
    """Add an item of this age (ms); a negative age is ahead of the clock."""

    age_ms: int
    ticker: str
    sentiment: Sentiment


@attrs.frozen
class Wait:
    """Advance the clock (ms), then expire with this limit."""

    ms: int
    most: int | None


AROUND_EDGES = st.sampled_from([0, HOUR_MS, 2 * HOUR_MS, DAY_MS]).flatmap(
    lambda edge: st.integers(edge - 3, edge + 3)
)
AGES = AROUND_EDGES | st.integers(-60_000, DAY_MS + HOUR_MS)
STEPS = st.lists(
    st.builds(Add, AGES, st.sampled_from("ABCDE"), st.sampled_from(Sentiment))
    | st.builds(Wait, AROUND_EDGES.map(abs) | st.integers(0, DAY_MS), st.none() | st.integers(0, 3)),
    max_size=60,
)


def naive(items: list[tuple[int, str, Sentiment]], now_ms: int, window_ms: int) -> SentimentMetrics:
    inside = [item for item in items if item[0] > now_ms - window_ms]
    kinds = Counter(sentiment for _, _, sentiment in inside)
    return SentimentMetrics(
        total=len(inside),
        positive=kinds[Sentiment.POSITIVE],
        neutral=kinds[Sentiment.NEUTRAL],
        negative=kinds[Sentiment.NEGATIVE],
        by_tag=dict(Counter(ticker for _, ticker, _ in inside)),
        rate_last_hour=sum(timestamp > now_ms - HOUR_MS for timestamp, _, _ in items),
        rate_last_24h=len(inside),
    )


@given(STEPS, st.sampled_from([HOUR_MS, 2 * HOUR_MS, DAY_MS]))
@example([Add(DAY_MS, "A", Sentiment.POSITIVE), Add(DAY_MS - 1, "A", Sentiment.POSITIVE)], DAY_MS)
@example([Add(0, "A", Sentiment.NEUTRAL), Wait(DAY_MS - 1, None), Wait(1, None)], DAY_MS)
@example([Add(0, "A", Sentiment.NEUTRAL), Wait(DAY_MS, 0), Add(0, "B", Sentiment.NEGATIVE)], DAY_MS)
def test_totals_equal_a_full_recount(steps: list[Add | Wait], window_ms: int) -> None:
    totals, now, items = Totals(window_ms), NOW, list[tuple[int, str, Sentiment]]()
    for step in steps:
        if isinstance(step, Add):
            totals.add(now - step.age_ms, step.ticker, step.sentiment)
            items.append((now - step.age_ms, step.ticker, step.sentiment))
        else:
            now += step.ms
            totals.expire(now, limit=step.most)
            if step.most != 0:  # 0: skip the comparison for a while
                assert totals.metrics(now) == naive(items, now, window_ms)
    assert totals.metrics(now) == naive(items, now, window_ms)


@given(STEPS)
def test_next_change_is_the_time_of_the_next_different_metrics(steps: list[Add | Wait]) -> None:
    totals, now, items = Totals(DAY_MS), NOW, list[tuple[int, str, Sentiment]]()
    for step in steps:
        if isinstance(step, Add):
            totals.add(now - step.age_ms, step.ticker, step.sentiment)
            items.append((now - step.age_ms, step.ticker, step.sentiment))
        else:
            now += step.ms
    seen = totals.metrics(now)
    while (change := totals.next_change_ms) is not None:
        version = totals.version
        assert change > now
        assert naive(items, change - 1, DAY_MS) == seen
        assert totals.metrics(change - 1) == seen
        assert totals.version == version
        now, after = change, totals.metrics(change)
        assert after == naive(items, change, DAY_MS) != seen
        assert totals.version > version
        seen = after
    assert seen.total == 0


@pytest.mark.parametrize(
    ("age_ms", "total", "last_hour"),
    [
        (-1, 1, 1),
        (0, 1, 1),
        (HOUR_MS - 1, 1, 1),
        (HOUR_MS, 1, 0),
        (DAY_MS - 1, 1, 0),
        (DAY_MS, 0, 0),
        (DAY_MS + 1, 0, 0),
    ],
)
def test_an_item_as_old_as_the_window_no_longer_counts(age_ms: int, total: int, last_hour: int) -> None:
    totals = Totals(DAY_MS)
    totals.expire(NOW)
    totals.add(NOW - age_ms, "AAPL", Sentiment.NEGATIVE)
    assert totals.version == total  # an item that never counts changes nothing
    metrics = totals.metrics(NOW)
    assert (metrics.total, metrics.negative, metrics.rate_last_hour) == (total, total, last_hour)
    assert metrics.by_tag == ({"AAPL": 1} if total else {})
    assert metrics.rate_last_24h == total
    assert type(metrics.rate_last_hour) is type(metrics.rate_last_24h) is int


def test_setting_the_clock_back_restores_no_item() -> None:
    totals = Totals(DAY_MS)
    totals.add(NOW - DAY_MS + 1, "A", Sentiment.POSITIVE)
    assert totals.metrics(NOW + 1).total == 0
    totals.add(NOW - DAY_MS + 1, "A", Sentiment.POSITIVE)
    assert totals.metrics(NOW - 5000).total == 0
    totals.add(NOW - DAY_MS + 2, "A", Sentiment.POSITIVE)
    assert totals.metrics(NOW - 5000).total == 1


def test_items_that_arrive_after_the_clock_was_set_back_are_counted() -> None:
    totals = Totals(DAY_MS)
    totals.add(NOW, "OLD", Sentiment.POSITIVE)
    assert totals.metrics(NOW + DAY_MS).total == 0  # set forward by mistake
    totals.add(NOW, "NEW", Sentiment.POSITIVE)
    assert totals.metrics(NOW).total == 0  # it arrived while the clock was wrong
    totals.add(NOW, "NEW", Sentiment.POSITIVE)
    metrics = totals.metrics(NOW)
    assert (metrics.total, metrics.rate_last_hour, metrics.by_tag) == (1, 1, {"NEW": 1})


def test_expire_removes_at_most_the_limit() -> None:
    totals = Totals(DAY_MS)
    for _ in range(10):
        totals.add(NOW, "A", Sentiment.POSITIVE)
    steps = 1
    while not totals.expire(NOW + DAY_MS, limit=3):
        steps += 1
        assert len(totals) >= 10 - 3 * steps
    assert steps == 7  # ten removals from the hour and ten from the day
    assert not len(totals)
    assert not totals.tickers


def test_tickers_without_items_cost_no_memory() -> None:
    totals, now = Totals(HOUR_MS), NOW
    for number in range(1000):
        totals.add(now, f"T{number}", Sentiment.NEUTRAL)
        now += HOUR_MS // 2
        assert totals.metrics(now).by_tag.keys() <= {f"T{number}", f"T{number - 1}"}
    assert len(totals._tickers) <= 3


def test_the_metrics_are_computed_once_until_they_change() -> None:
    totals = Totals(DAY_MS)
    totals.add(NOW, "A", Sentiment.POSITIVE)
    metrics = totals.metrics(NOW)
    assert totals.metrics(NOW + 1) is metrics
    totals.add(NOW, "B", Sentiment.POSITIVE)
    assert totals.metrics(NOW + 2).by_tag == {"A": 1, "B": 1}
    assert totals.metrics(NOW + DAY_MS).by_tag == {}
