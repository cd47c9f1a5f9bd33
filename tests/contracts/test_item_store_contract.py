"""The contract of the store of items and their totals, run against each implementation."""

from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from streamd.errors import IdempotencyConflict, Unavailable
from streamd.services.sentiment.models import SentimentMetrics
from streamd.services.sentiment.store import Inserted, ItemStore
from tests.support.item_stores import (
    DAY_MS,
    HOUR_MS,
    ITEM_STORES,
    SETTINGS,
    START_MS,
    ItemClock,
    item_key,
    stored_item,
)

KEPT_MS = DAY_MS + 60_000


@pytest.fixture
def clock() -> ItemClock:
    return ItemClock()


@pytest.fixture(params=ITEM_STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ItemClock) -> AsyncIterator[ItemStore]:
    async with ITEM_STORES[request.param](tmp_path, clock) as store:
        yield store


async def metrics(store: ItemStore) -> SentimentMetrics:
    _, found = await store.read()
    snapshot = await store.snapshot()
    assert snapshot() == found
    return found


def ids(inserted: Inserted) -> list[str]:
    return [item.id for item in inserted.new]


async def test_items_are_counted_by_ticker_sentiment_and_hour(store: ItemStore) -> None:
    assert (await metrics(store)).total == 0
    items = [
        stored_item("a"),
        stored_item("b", "MSFT", "negative", age_ms=HOUR_MS),
        stored_item("c", "MSFT", "neutral", age_ms=HOUR_MS - 1),
        stored_item("d", "OLD", age_ms=DAY_MS),
        stored_item("e", "LAST", age_ms=DAY_MS - 1),
        stored_item("f", "NEXT", age_ms=-60_000),
    ]
    inserted = await store.insert(items, SETTINGS)
    assert (ids(inserted), inserted.accepted) == (["a", "b", "c", "d", "e", "f"], 6)
    assert list(inserted.timestamps_ms) == [item.timestamp_ms for item in items]
    assert inserted.begin_ms == START_MS - DAY_MS
    assert await metrics(store) == SentimentMetrics(
        total=5,
        positive=3,
        neutral=1,
        negative=1,
        by_tag={"AAPL": 1, "LAST": 1, "MSFT": 2, "NEXT": 1},
        rate_last_hour=3,
        rate_last_24h=5,
    )


async def test_items_leave_the_hour_and_the_window_at_their_millisecond(
    store: ItemStore, clock: ItemClock, mock_clock: MockClock
) -> None:
    await store.insert([stored_item("a"), stored_item("b", "MSFT", "negative")], SETTINGS)
    for passed_ms, total, last_hour in [
        (HOUR_MS - 1, 2, 2),
        (1, 2, 0),
        (DAY_MS - HOUR_MS - 1, 2, 0),
        (1, 0, 0),
    ]:
        clock.pass_ms(passed_ms)
        found = await metrics(store)
        assert (found.total, found.rate_last_hour) == (total, last_hour)
    assert (found.positive, found.negative, found.by_tag) == (0, 0, {})


async def test_a_large_number_of_items_leaves_at_once(
    store: ItemStore, clock: ItemClock, mock_clock: MockClock
) -> None:
    for first in range(0, 2500, 500):
        await store.insert([stored_item(f"{n}", f"T{n % 7}") for n in range(first, first + 500)], SETTINGS)
    assert (await metrics(store)).total == 2500
    clock.pass_ms(DAY_MS)
    assert (await metrics(store)).by_tag == {}


async def test_a_known_id_changes_nothing_until_it_expires(
    store: ItemStore, clock: ItemClock, mock_clock: MockClock
) -> None:
    await store.insert([stored_item("a", age_ms=5)], SETTINGS)
    before = await metrics(store)
    again = [stored_item("a", "MSFT", "negative"), stored_item("b"), stored_item("b", "MSFT")]
    inserted = await store.insert(again, SETTINGS)
    assert (ids(inserted), inserted.accepted) == (["b"], 1)
    assert list(inserted.timestamps_ms) == [START_MS - 5, START_MS, START_MS]
    assert (await metrics(store)).by_tag == {"AAPL": before.total + 1}
    clock.pass_ms(KEPT_MS - 1)
    assert ids(await store.insert([stored_item("a", at_ms=clock.ms)], SETTINGS)) == []
    clock.pass_ms(1)
    assert ids(await store.insert([stored_item("a", at_ms=clock.ms)], SETTINGS)) == ["a"]
    await store.purge()
    assert ids(await store.insert([stored_item("a"), stored_item("b")], SETTINGS)) == ["b"]
    assert (await metrics(store)).total == 1


async def test_a_known_key_inserts_nothing_and_has_its_number(
    store: ItemStore, clock: ItemClock, mock_clock: MockClock
) -> None:
    assert await store.find_accepted(item_key()) is None
    await store.insert([stored_item("a")], SETTINGS)
    inserted = await store.insert([stored_item("a"), stored_item("b")], SETTINGS, item_key())
    assert (ids(inserted), inserted.accepted) == (["b"], 1)
    assert await store.find_accepted(item_key()) == 1
    again = await store.insert([stored_item("c")], None, item_key())
    assert (ids(again), again.accepted) == ([], 1)
    with pytest.raises(IdempotencyConflict):
        await store.insert([stored_item("c")], SETTINGS, item_key(content="other"))
    with pytest.raises(IdempotencyConflict):
        await store.find_accepted(item_key(content="other"))
    clock.pass_ms(KEPT_MS)
    assert await store.find_accepted(item_key(content="other")) is None
    renewed = await store.insert([stored_item("c")], SETTINGS, item_key(content="other"))
    assert ids(renewed) == ["c"]
    await store.purge()
    assert await store.find_accepted(item_key(content="other")) == 1


async def test_limits_refuse_a_request_as_a_whole(
    store: ItemStore, clock: ItemClock, mock_clock: MockClock
) -> None:
    limits = attrs.evolve(SETTINGS, max_items=4, max_tickers=2)
    await store.insert([stored_item("a"), stored_item("b", "MSFT")], limits, item_key())
    with pytest.raises(Unavailable, match="the limit of 4 stored items is reached") as full:
        await store.insert([stored_item("c"), stored_item("d")], limits)
    assert (full.value.field, full.value.retry_after_seconds) == ("items", 60)
    with pytest.raises(Unavailable, match="NEW would exceed the limit of 2 tickers") as full:
        await store.insert([stored_item("c", "NEW")], limits, item_key("l"))
    assert full.value.field == "items[0].ticker"
    assert await store.find_accepted(item_key("l")) is None
    assert ids(await store.insert([stored_item("c")], limits)) == ["c"]
    assert (await metrics(store)).total == 3
    clock.pass_ms(KEPT_MS)
    await store.purge()
    assert (await metrics(store)).total == 0
    late = [stored_item(f"{number}", f"T{number % 2}", at_ms=clock.ms) for number in range(4)]
    assert len((await store.insert(late, limits)).new) == 4


async def test_concurrent_inserts_add_each_id_once_and_keep_the_limits(store: ItemStore) -> None:
    limits = attrs.evolve(SETTINGS, max_items=20)
    added: list[str] = []
    refused = 0

    async def insert(number: int) -> None:
        nonlocal refused
        try:
            added.extend(ids(await store.insert([stored_item(f"{number % 25}")], limits)))
        except Unavailable:
            refused += 1

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(insert, number)
    assert len(added) == len(set(added)) <= 20
    assert refused
    assert (await metrics(store)).total == len(added)


async def test_a_change_is_seen_once(store: ItemStore, clock: ItemClock, mock_clock: MockClock) -> None:
    version, _ = await store.read()
    with trio.move_on_after(5) as waiting:
        async with trio.open_nursery() as nursery:

            async def insert() -> None:
                await store.insert([stored_item("a")], SETTINGS)

            nursery.start_soon(insert)
            await store.wait_for_change(version)
    assert not waiting.cancelled_caught
    version, _ = await store.read()
    seen = trio.Event()

    async def wait() -> None:
        await store.wait_for_change(version)
        seen.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not seen.is_set()
        clock.pass_ms(HOUR_MS)
        while not seen.is_set():
            clock.pass_ms(1000)
            await trio.testing.wait_all_tasks_blocked(0.01)
