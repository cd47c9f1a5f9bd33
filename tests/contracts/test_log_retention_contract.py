"""The contract of the log's retention and of its idempotency keys: one suite, run against each log."""

import pytest
import trio.testing

from streamd.events import EARLIEST
from streamd.events.topics import ALL
from streamd.log.port import ExpectedLast, Log
from streamd.log.settings import LogSettings, RetentionRule
from tests.support.logs import (
    IdClock,
    MakeLog,
    append,
    clock,
    data,
    draft,
    log,
    make_log,
    pattern,
    read,
    settle,
    topics,
)

__all__ = ["clock", "log", "make_log"]  # the fixtures


async def test_a_gap_means_that_a_matching_event_was_dropped(make_log: MakeLog, clock: IdClock) -> None:
    log = await make_log(LogSettings(topic_max_events=3), clock)
    [quiet] = await append(log, "quiet/1")
    busy = await append(log, *["busy"] * 10)
    for selectors in (topics("quiet/1"), pattern("quiet/*")):
        for after in (log.start, quiet):
            assert (await read(log, selectors, after)).gap is None
    for selectors in (topics("busy"), topics("quiet/1", "busy"), pattern("*")):
        page = await read(log, selectors, quiet)
        assert page.gap == busy[6]
        assert [event.id for event in page.events] == busy[7:]
    assert (await read(log, topics("busy"), busy[6])).gap is None
    assert (await read(log, topics("busy"), EARLIEST)).gap is None


async def test_a_dropped_event_is_gone_from_all_its_topics_and_a_gap_in_each(
    make_log: MakeLog, clock: IdClock
) -> None:
    log = await make_log(LogSettings(topic_max_events=2), clock)
    [shared] = [receipt.id for receipt in await log.append([draft(["busy", "quiet"], "shared")])]
    await append(log, "quiet", "busy", "busy")
    page = await read(log, topics("quiet"), log.start)
    assert (data(page), page.gap) == (["quiet"], shared)


@pytest.mark.parametrize(
    "bounds",
    [
        LogSettings(max_events=20),
        LogSettings(max_bytes=20 * 12),
        LogSettings(topic_max_events=5),
        LogSettings(topic_max_bytes=5 * 12),
    ],
    ids=["events", "bytes", "topic events", "topic bytes"],
)
async def test_the_number_and_bytes_of_kept_events_are_bounded(
    make_log: MakeLog, clock: IdClock, bounds: LogSettings
) -> None:
    log = await make_log(bounds, clock)
    names = [f"t{n % 4}" for n in range(1000)]  # 2 bytes of topic, 7 of type and 3 of data
    await log.append([draft(name, "xxx") for name in names])
    assert 15 <= len((await read(log, ALL)).events) <= 20


DAY_MS = 86_400_000


@pytest.mark.parametrize("set_by_ms", [0, 120_000, DAY_MS, -3_600_000])
async def test_old_events_expire_whatever_the_wall_clock_is_set_to(
    make_log: MakeLog, clock: IdClock, set_by_ms: int, mock_clock: trio.testing.MockClock
) -> None:
    log = await make_log(LogSettings(max_age_seconds=10), clock)
    [old] = await append(log, "a")
    clock.ms += set_by_ms
    mock_clock.jump(9)
    await append(log, "a")
    page = await read(log, topics("a"), log.start)
    assert (len(page.events), page.gap) == (2, None)
    mock_clock.jump(2)
    page = await read(log, topics("a"), log.start)
    assert (len(page.events), page.gap) == (1, old)


async def test_an_event_larger_than_the_log_is_a_gap(make_log: MakeLog, clock: IdClock) -> None:
    log = await make_log(LogSettings(topic_max_bytes=50), clock)
    ids = [receipt.id for receipt in await log.append([draft(["a", "b"], "x" * 100), draft("a", "y")])]
    page = await read(log, topics("a"), log.start)
    assert (data(page), page.gap) == (["y"], ids[0])


async def test_other_bounds_apply_from_the_next_event_on(log: Log) -> None:
    for _ in range(5):
        await append(log, "a")
    log.apply_settings(LogSettings(max_events=3, topic_max_events=2))
    await append(log, "a", "b")
    assert len((await read(log, topics("a"))).events) == 2
    log.apply_settings(LogSettings())
    await append(log, "a")
    assert len((await read(log, topics("a"))).events) == 3


async def test_what_is_kept_is_counted(make_log: MakeLog, clock: IdClock) -> None:
    log = await make_log(LogSettings(topic_max_events=2), clock)
    assert log.statistics() == {"events": 0, "bytes": 0, "topics": 0}
    await log.append([draft(["a", "b"], "xx"), *[draft("a", "xx")] * 4])
    await settle(log)
    assert log.statistics() == {"events": 2, "bytes": 2 * (1 + 7 + 2), "topics": 1}


# --- retention by pattern -------------------------------------------------------------------------------

RULES = [
    RetentionRule(pattern="short/**", max_events=2),
    RetentionRule(pattern="short/x", max_events=9),
    RetentionRule(pattern="long/*", max_age_seconds=100, max_events=50),
]


async def test_the_first_rule_that_matches_a_topic_bounds_it(make_log: MakeLog, clock: IdClock) -> None:
    log = await make_log(LogSettings(topic_max_events=5, retention=RULES), clock)
    for _ in range(10):
        await append(log, "short/x", "other", "long/x")
    for name, kept in (("short/x", 2), ("other", 5), ("long/x", 10)):
        assert data(await read(log, topics(name))) == [name] * kept
    quiet = await read(log, topics("long/x"), log.start)
    assert quiet.gap is None
    assert (await read(log, topics("other"), log.start)).gap is not None


async def test_a_rule_with_an_age_replaces_the_common_age(
    make_log: MakeLog, clock: IdClock, mock_clock: trio.testing.MockClock
) -> None:
    log = await make_log(LogSettings(max_age_seconds=10, retention=RULES), clock)
    ids = await append(log, "long/a", "other", "long/a")
    [both] = [receipt.id for receipt in await log.append([draft(["long/b", "other"])])]
    mock_clock.jump(11)
    assert (await read(log, topics("long/a"), log.start)).gap is None
    page = await read(log, ALL, log.start)
    assert ([event.id for event in page.events], page.gap) == ([ids[0], ids[2]], both)
    mock_clock.jump(90)
    assert data(await read(log, ALL)) == []


async def test_rules_that_change_apply_to_events_that_are_kept(make_log: MakeLog, clock: IdClock) -> None:
    log = await make_log(LogSettings(), clock)
    await append(log, *["a/b"] * 5, *["c"] * 5)
    log.apply_settings(LogSettings(retention=[RetentionRule(pattern="a/*", max_events=1)]))
    await append(log, "a/b")
    assert data(await read(log, ALL)) == ["c"] * 5 + ["a/b"]


# --- idempotency keys -----------------------------------------------------------------------------------


async def test_a_key_is_known_after_its_event_was_dropped(make_log: MakeLog, clock: IdClock) -> None:
    log = await make_log(LogSettings(topic_max_events=2), clock)
    [first] = await log.append([draft("a", 1, key="k")])
    await append(log, "a", "a", "a")
    await settle(log)
    [again] = await log.append([draft("a", 1, key="k")])
    assert (again.id, again.duplicate) == (first.id, True)
    assert data(await read(log, topics("a"))) == ["a", "a"]


async def test_a_key_is_forgotten_after_its_time(
    make_log: MakeLog, clock: IdClock, mock_clock: trio.testing.MockClock
) -> None:
    log = await make_log(LogSettings(idempotency_seconds=60), clock)
    [first] = await log.append([draft("a", 1, key="k")])
    mock_clock.jump(59)
    [again] = await log.append([draft("a", 1, key="k")])
    mock_clock.jump(2)
    [new] = await log.append([draft("a", 2, key="k")])
    assert (first.id, True, False) == (again.id, again.duplicate, new.duplicate)


async def test_the_oldest_keys_are_forgotten_first(make_log: MakeLog, clock: IdClock) -> None:
    log = await make_log(LogSettings(max_idempotency_keys=10), clock)
    for n in range(15):
        await log.append([draft("a", n, key=str(n))])
    await settle(log)
    receipts = [(await log.append([draft("a", n, key=str(n))]))[0] for n in range(14, 4, -1)]
    assert all(receipt.duplicate for receipt in receipts)
    [old] = await log.append([draft("a", 0, key="0")])
    assert not old.duplicate


async def test_the_newest_event_of_a_topic_is_known_after_it_was_dropped(
    make_log: MakeLog, clock: IdClock
) -> None:
    log = await make_log(LogSettings(max_events=1, topic_max_events=1), clock)
    [first] = await append(log, "a")
    await append(log, "b")
    await settle(log)
    assert data(await read(log, ALL)) == ["b"]
    assert await log.append([], [ExpectedLast("a", first)]) == []
    assert await log.append([], [ExpectedLast("c", EARLIEST)]) == []
