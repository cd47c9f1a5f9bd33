"""Truncation records: found by topic and by pattern, in a bounded number of steps, with pauses."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.events import EARLIEST, EventId, Pattern, Selectors
from streamd.events.ids import make_event_id
from streamd.log.topic_trie import TopicTrie
from streamd.log.truncation import TruncationRecords
from streamd.time_slice import TimeSlice
from tests.support.patterns import expected_match, pattern_texts, topic_texts

RECORDS = 30


def number(index: int) -> EventId:
    return make_event_id(index, 1) if index else EARLIEST


def patterns(*texts: str) -> Selectors:
    return Selectors(patterns=map(Pattern, texts))


class Model:
    """The same records, in which everything is searched."""

    def __init__(self) -> None:
        self.records: dict[str, EventId] = {}
        self.folded = EARLIEST

    def record(self, topic: str, event_id: EventId) -> None:
        self.records[topic] = max(event_id, self.records.pop(topic, EARLIEST))
        if len(self.records) > RECORDS:
            self.folded = max(self.folded, self.records.pop(next(iter(self.records))))

    def find(self, topics: set[str], texts: set[str]) -> EventId:
        return max(
            [
                *[self.records.get(topic, self.folded) for topic in topics],
                *[self.folded for _ in texts],
                *[
                    newest
                    for topic, newest in self.records.items()
                    if any(expected_match(text, topic) for text in texts)
                ],
            ],
            default=EARLIEST,
        )


drops = st.tuples(st.just("drop"), topic_texts, st.integers(0, 3))
finds = st.tuples(
    st.just("find"),
    st.sets(topic_texts, max_size=2),
    st.sets(pattern_texts, max_size=6),
    st.integers(0, 60),
)


@given(st.lists(st.one_of(drops, drops, finds), max_size=80))
def test_it_finds_what_a_search_of_all_records_finds(steps: list[tuple[Any, ...]]) -> None:
    records, model = TruncationRecords(RECORDS), Model()
    last = 1

    async def main() -> None:
        nonlocal last
        for kind, *values in steps:
            if kind == "drop":
                topic, more = values
                last += more
                records.record(topic, number(last))
                model.record(topic, number(last))
                continue
            topics, texts, back = values
            after = number(max(0, last - back))
            found = await records.find(Selectors(topics, map(Pattern, texts)), after)
            expected = model.find(topics, texts)
            assert (found if found > after else None) == (expected if expected > after else None)

    trio.run(main)


def trie_of(topics: dict[str, EventId]) -> TopicTrie:
    trie = TopicTrie(topics)
    for topic in topics:
        trie.put(topic)
    return trie


def steps(trie: TopicTrie, selectors: Selectors) -> int:
    return sum(1 for _ in trie.search(selectors, EARLIEST))


@pytest.mark.parametrize(
    "selectors",
    [
        patterns("t/**"),
        patterns("t/*/x"),
        patterns("t/7/**", "t/7/*"),
        patterns(*[f"no{n}/*/x" for n in range(100)]),
        patterns(*[f"t/no{n}/*" for n in range(50)]),
    ],
    ids=lambda selectors: min(selectors.patterns, key=str).text,
)
def test_the_steps_depend_on_the_patterns_and_not_on_the_number_of_records(selectors: Selectors) -> None:
    trie = trie_of({f"t/{n % 20}/{n}": number(n) for n in range(1, 20_001)})
    assert steps(trie, selectors) <= 100


def test_many_patterns_share_the_steps_of_a_search() -> None:
    trie = trie_of({f"t/{n}/{n}": number(n) for n in range(1, 5001)})
    assert steps(trie, patterns(*[f"*/*/no{n}" for n in range(100)])) <= 3 * 5000


def test_topics_that_are_removed_leave_no_nodes() -> None:
    topics = {f"t/{n % 20}/{n}": number(n) for n in range(1, 1001)} | {"a/" * 12 + "b": number(1)}
    trie = trie_of(topics)
    for topic in topics:
        trie.remove(topic)
    assert steps(trie, patterns("*/*/*", "a/**")) == 1


def test_the_memory_for_a_topic_of_many_segments_is_bounded() -> None:
    topics = {"a/" * 500 + str(n): number(n) for n in range(1, 201)}
    tracemalloc.start()
    try:
        trie = trie_of(topics)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 400 * 1024  # of which 200 kB are the rests of the topics
    assert list(filter(None, trie.search(patterns("a/" * 500 + "*"), EARLIEST)))[-1] == number(200)


class StepClock:
    """A clock (s) that goes on with each look at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


async def find_beside(
    records: TruncationRecords, selectors: Selectors, act: Callable[[], None]
) -> tuple[EventId, int]:
    """Find while another trio task acts once in each pass; return the answer and the number of passes."""
    passes = 0

    async def other() -> None:
        nonlocal passes
        while True:
            passes += 1
            act()
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        found = await records.find(selectors, EARLIEST)
        nursery.cancel_scope.cancel()
    return found, passes


async def test_others_run_while_records_are_indexed_and_searched() -> None:
    records = TruncationRecords(100_000, TimeSlice(10.0, StepClock()))
    for n in range(1, 10_001):
        records.record(f"t/{n}/x", number(n))
    found, passes = await find_beside(records, patterns("t/*/none"), lambda: None)
    assert found == EARLIEST
    assert passes >= 2 * 10_000 / 32 / 11  # 32 steps between looks, 10 looks in a slice


async def test_events_that_are_dropped_during_a_search_are_found() -> None:
    records = TruncationRecords(100_000, TimeSlice(10.0, StepClock()))
    for n in range(1, 5001):
        records.record(f"t/{n}/x", number(n))
    last = 5000

    def drop() -> None:
        nonlocal last
        last += 2
        records.record("t/1/x", number(last - 1))
        records.record("t/1/y", number(last))

    found, passes = await find_beside(records, patterns("t/*/y"), drop)
    assert passes > 10
    assert found == records.get("t/1/y") == number(last)


async def test_the_topics_that_the_next_search_takes_over_are_bounded() -> None:
    records = TruncationRecords(RECORDS)
    for n in range(1, 20):
        records.record(f"t/{n}", number(n))
    assert await records.find(patterns("t/*"), EARLIEST) == number(19)
    for n in range(20, 1000):
        records.record(f"u/{n}", number(n))
    assert len(records) == RECORDS
    assert len(records._outdated) <= 2 * RECORDS
    assert await records.find(patterns("u/*"), EARLIEST) == number(999)
    assert await records.find(patterns("t/*"), EARLIEST) == records.folded == number(999 - RECORDS)
    assert "t/1" not in records._trie
    assert "u/999" in records._trie


async def test_records_of_long_topics_are_fewer() -> None:
    records = TruncationRecords(RECORDS)
    for n in range(1, 101):
        records.record(f"{n}/" + "t" * 1000, number(n))
    assert len(records) == 128 * RECORDS // 1004
    assert records.folded == number(100 - len(records))
    for n in range(101, 201):
        records.record(f"t/{n}", number(n))
    assert len(records) == RECORDS


async def test_records_up_to_an_event_are_folded() -> None:
    records = TruncationRecords(RECORDS)
    for n in range(1, 11):
        records.record(f"t/{n}", number(n))
    await records.find(patterns("t/*"), EARLIEST)
    records.fold_until(number(6))
    assert len(records) == 4
    assert await records.find(Selectors(["t/2"]), EARLIEST) == number(6)
    assert await records.find(patterns("none/*"), EARLIEST) == number(6)
    assert await records.find(patterns("t/*"), number(6)) == number(10)
