"""The dashboard of the sentiment service: limits, known ids, restarts, cancellation."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import attrs
import msgspec
import pytest
import trio
import trio.testing

from streamd.clock import SteadyClock
from streamd.database import MEMORY, Database
from streamd.errors import IdempotencyConflict, StreamdError, Unavailable
from streamd.events import Draft
from streamd.events.settings import EventSettings
from streamd.services.sentiment.dashboard import Dashboard
from streamd.services.sentiment.settings import SentimentSettings
from streamd.services.sentiment.store.sqlite import SQLiteItemStore

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 1_700_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SETTINGS = SentimentSettings()


class Clock:
    """A wall clock that the test sets, or that goes on with trio's clock."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms

    def wall(self) -> datetime:
        return EPOCH + timedelta(milliseconds=self.ms)

    def pass_ms(self, ms: int) -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(ms / 1000)
        self.ms += ms


class Hub:
    """A publisher that records events; while closed, publishing fails."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.is_open = True

    async def publish(self, topics: str | Sequence[str], data: Any = "", *, type: str | None = None) -> None:
        await trio.lowlevel.checkpoint()

    async def publish_drafts(self, drafts: Sequence[Draft]) -> None:
        await trio.lowlevel.checkpoint()
        if not self.is_open:
            raise Unavailable("closed by the test")
        self.items.extend(msgspec.json.decode(draft.data)["item_id"] for draft in drafts)


@attrs.frozen
class Rig:
    """A running dashboard."""

    dashboard: Dashboard
    store: SQLiteItemStore
    database: Database
    hub: Hub

    async def take(self, *items: dict[str, Any], key: str | None = None) -> tuple[int, list[str]]:
        taken = await self.dashboard.store_items(json.dumps({"items": items}).encode(), key)
        return taken.accepted, taken.item_ids

    async def rows(self) -> list[str]:
        def read(connection: apsw.Connection) -> list[Any]:
            return connection.execute("SELECT item_id FROM sentiment_items ORDER BY rowid").fetchall()

        return [id for (id,) in await self.database.read(read)]

    async def published(self, count: int) -> list[str]:
        with trio.fail_after(20):
            while len(self.hub.items) < count:
                await trio.lowlevel.checkpoint()
        return self.hub.items


@asynccontextmanager
async def running(
    clock: Clock, settings: SentimentSettings = SETTINGS, path: Path | str = MEMORY
) -> AsyncIterator[Rig]:
    database, hub = Database(str(path), clock=SteadyClock(clock.wall)), Hub()
    store = SQLiteItemStore(database, settings, clock)
    dashboard = Dashboard(store, hub, settings, EventSettings(), clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        nursery.start_soon(dashboard.run)
        await dashboard.ready()
        yield Rig(dashboard, store, database, hub)
        nursery.cancel_scope.cancel()


def item(id: str, ticker: str = "AAPL", **fields: Any) -> dict[str, Any]:
    return {"ticker": ticker, "text": "Good.", "item_id": id, **fields}


UNNAMED = {"ticker": "AAPL", "text": "Good."}


def ago(ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=START_MS - ms)).isoformat()


async def test_a_known_id_changes_nothing() -> None:
    async with running(Clock()) as rig:
        assert await rig.take(item("a"), item("b")) == (2, ["a", "b"])
        before = await rig.dashboard.metrics()
        again = item("a", "MSFT", sentiment="negative", score=-1, timestamp=ago(HOUR_MS))
        assert await rig.take(again) == (0, ["a"])
        assert await rig.dashboard.metrics() == before
        assert await rig.take(item("b"), item("c"), item("c", "MSFT")) == (1, ["b", "c", "c"])
        assert (await rig.dashboard.metrics()).by_tag == {"AAPL": 3}
        assert await rig.rows() == ["a", "b", "c"]
        assert await rig.published(3) == ["a", "b", "c"]


async def test_conrequest_or_upgrades_with_the_same_ids_store_each_id_once() -> None:
    news: list[int] = []
    async with running(Clock()) as rig:

        async def take(number: int) -> None:
            new, _ = await rig.take(*[item(f"{(number + place) % 40}", f"T{place}") for place in range(20)])
            news.append(new)

        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(take, number)
        assert sum(news) == 40
        assert (await rig.dashboard.metrics()).total == 40
        assert sorted(await rig.published(40)) == sorted(await rig.rows()) == sorted(map(str, range(40)))


async def test_conrequest_or_upgrades_under_one_key_store_their_items_once() -> None:
    answers: list[tuple[int, list[str]]] = []
    async with running(Clock()) as rig:

        async def take() -> None:
            answers.append(await rig.take(UNNAMED, UNNAMED, item("a"), key="k"))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(take)
        [(accepted, ids)] = {(accepted, tuple(ids)) for accepted, ids in answers}
        assert accepted == (await rig.dashboard.metrics()).total == len(set(ids)) == 3
        assert await rig.published(3) == await rig.rows() == list(ids)


async def test_a_key_is_kept_as_long_as_its_items(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    clock, file = Clock(), tmp_path / "store.db"
    async with running(clock, path=file) as rig:
        assert await rig.take(item("a")) == (1, ["a"])
        clock.pass_ms(HOUR_MS)
        first = await rig.take(item("a"), UNNAMED, key="k")
        assert first[0] == 1
    clock.pass_ms(DAY_MS + 60_000 - HOUR_MS)  # "a" has expired, the key has not
    async with running(clock, path=file) as rig:
        assert await rig.take(item("a"), UNNAMED, key="k") == first
        with pytest.raises(IdempotencyConflict) as conflict:
            await rig.take(item("b"), key="k")
        assert conflict.value.field == "Idempotency-Key"
        assert await rig.rows() == [first[1][1]]
        clock.pass_ms(HOUR_MS)
        assert await rig.take(item("b"), key="k") == (1, ["b"])


async def test_keys_count_toward_the_limit_and_known_ones_get_their_answer_at_it(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    clock, settings = Clock(), attrs.evolve(SETTINGS, max_items=4)
    async with running(clock, settings, tmp_path / "store.db") as rig:
        first = await rig.take(UNNAMED, key="k")
        assert await rig.take(item("a"), key="l") == (1, ["a"])
        for _ in range(2):  # the limit is met, and the rejected request uses up no key
            with pytest.raises(Unavailable):
                await rig.take(item("b"), key="m")
        assert await rig.take(UNNAMED, key="k") == first
        assert len(await rig.rows()) == 2
    clock.pass_ms(DAY_MS)  # more would be counted as a day
    async with running(clock, settings, tmp_path / "store.db"):
        clock.pass_ms(60_000)
    async with running(clock, settings, tmp_path / "store.db") as rig:
        assert await rig.take(item("other"), item("content"), key="m") == (2, ["other", "content"])


async def test_a_restart_keeps_the_exact_totals_and_the_ids(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    clock, file = Clock(), tmp_path / "store.db"
    async with running(clock, path=file) as rig:
        await rig.take(
            item("old", "OLD", timestamp=ago(DAY_MS - 5000), sentiment="negative"),
            item("late", "LATE", timestamp=ago(DAY_MS)),
            item("hour", timestamp=ago(HOUR_MS - 5000), sentiment="neutral"),
            item("now", sentiment="positive"),
            item("ahead", timestamp=ago(-60_000), sentiment="positive"),
        )
        before = await rig.dashboard.metrics()
        assert (before.total, before.rate_last_hour) == (4, 3)
        clock.pass_ms(4999)
        assert await rig.dashboard.metrics() == before
    async with running(clock, path=file) as rig:
        assert await rig.dashboard.metrics() == before
        clock.pass_ms(1)
        after = await rig.dashboard.metrics()
        assert (after.total, after.rate_last_hour, after.by_tag) == (3, 2, {"AAPL": 3})
        assert await rig.take(*map(item, ("old", "late", "hour", "now", "ahead"))) == (
            0,
            ["old", "late", "hour", "now", "ahead"],
        )
        assert await rig.dashboard.metrics() == after
    clock.pass_ms(DAY_MS - 5000)
    async with running(clock, path=file) as rig:
        assert (await rig.dashboard.metrics()).total == 1  # the item ahead of the clock
        assert (await rig.take(item("now")))[0] == 0
        clock.pass_ms(60_000)
        assert (await rig.dashboard.metrics()).total == 0
        assert (await rig.take(item("now")))[0] == 1  # an id is forgotten one window after its receipt
        assert (await rig.dashboard.metrics()).total == 1


@pytest.mark.parametrize("step_ms", [120_000, DAY_MS + HOUR_MS, -HOUR_MS])
async def test_setting_the_clock_deletes_no_item_and_forgets_no_id(
    step_ms: int, mock_clock: trio.testing.MockClock
) -> None:
    clock = Clock()
    async with running(clock) as rig:
        assert await rig.take(item("a"), key="k") == (1, ["a"])
        clock.ms += step_ms
        clock.pass_ms(31_000)  # the purge is due
        await trio.testing.wait_all_tasks_blocked()
        await rig.dashboard.metrics()
        assert await rig.take(item("a")) == (0, ["a"])
        assert await rig.take(item("a"), key="k") == (1, ["a"])  # the answer of the first time
        assert await rig.rows() == ["a"]
        clock.ms -= step_ms
        await rig.take(item("b", "MSFT"))
        assert (await rig.dashboard.metrics()).by_tag["MSFT"] == 1


async def test_an_item_older_than_the_window_is_stored_and_published_but_not_counted() -> None:
    async with running(Clock()) as rig:
        assert await rig.take(item("a", timestamp=ago(DAY_MS)), item("b", timestamp=ago(DAY_MS - 1))) == (
            2,
            ["a", "b"],
        )
        assert (await rig.dashboard.metrics()).total == 1
        assert await rig.rows() == await rig.published(2) == ["a", "b"]


async def test_the_window_begins_exactly_24_hours_ago() -> None:
    clock = Clock()
    async with running(clock) as rig:

        async def outside(**ages_ms: int) -> Any:
            items = [item(id, timestamp=ago(age_ms)) for id, age_ms in ages_ms.items()]
            return (await rig.dashboard.store_items(json.dumps({"items": items}).encode())).outside_window

        assert await outside(old=DAY_MS, edge=DAY_MS - 1) == ["old"]
        metrics = await rig.dashboard.metrics()
        assert (metrics.total, metrics.rate_last_24h, metrics.rate_last_hour) == (1, 1, 0)
        assert await outside(hour=HOUR_MS, now=HOUR_MS - 1) is msgspec.UNSET
        metrics = await rig.dashboard.metrics()
        assert (metrics.total, metrics.rate_last_24h, metrics.rate_last_hour) == (3, 3, 1)
        clock.ms += 1
        assert await outside(edge=DAY_MS - 1) == ["edge"]
        metrics = await rig.dashboard.metrics()
        assert (metrics.total, metrics.rate_last_24h, metrics.rate_last_hour) == (2, 2, 0)


@pytest.mark.parametrize("wrong", [{"ticker": "?"}, {"score": 2}, {"sentiment": "fine"}, {"text": ""}])
async def test_a_refused_request_stores_nothing(wrong: dict[str, Any]) -> None:
    async with running(Clock()) as rig:
        before = await rig.dashboard.metrics()
        with pytest.raises(StreamdError) as refused:
            await rig.take(item("a"), item("b") | wrong)
        assert refused.value.field == f"items[1].{next(iter(wrong))}"
        assert await rig.dashboard.metrics() == before
        assert await rig.rows() == []
        await rig.take(item("z"))
        assert await rig.published(1) == ["z"]


async def test_items_over_a_limit_are_refused_until_items_leave(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    clock, file = Clock(), tmp_path / "store.db"
    settings = attrs.evolve(SETTINGS, max_items=5, max_tickers=2)
    async with running(clock, settings, file) as rig:
        await rig.take(*[item(str(number)) for number in range(3)])
        with pytest.raises(Unavailable) as full:
            await rig.take(*[item(f"more{number}") for number in range(3)])
        assert (full.value.field, full.value.status) == ("items", 503)
        assert full.value.retry_after_seconds
        with pytest.raises(Unavailable) as full:
            await rig.take(item("m", "MSFT"), item("g", "GOOG"))
        assert full.value.field == "items[1].ticker"
        assert await rig.rows() == ["0", "1", "2"]
        assert await rig.take(item("m", "MSFT"), item("4")) == (2, ["m", "4"])
    clock.pass_ms(DAY_MS)  # more would be counted as a day
    async with running(clock, settings, file):
        clock.pass_ms(60_000)
    async with running(clock, settings, file) as rig:  # expired items are deleted at the start
        assert await rig.rows() == []
        assert (await rig.take(*[item(str(number), f"T{number % 2}") for number in range(5)]))[0] == 5


async def test_inserts_in_progress_count_toward_the_limits() -> None:
    settings = attrs.evolve(SETTINGS, max_items=10, max_tickers=3)
    outcomes: Counter[str] = Counter()
    async with running(Clock(), settings) as rig:

        async def take(number: int) -> None:
            try:
                await rig.take(item(f"a{number}", f"T{number}"), item(f"b{number}", f"T{number}"))
            except Unavailable as full:
                outcomes[full.field or ""] += 1

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(take, number)
        assert len((await rig.dashboard.metrics()).by_tag) == 3
        assert len(await rig.rows()) == 6
        assert outcomes == {"items[0].ticker": 5}


async def test_items_are_refused_while_publishing_lags_and_none_is_lost() -> None:
    settings = attrs.evolve(SETTINGS, max_unpublished=3)
    async with running(Clock(), settings) as rig:
        rig.hub.is_open = False
        await rig.take(item("a"), item("b"))
        with pytest.raises(Unavailable):
            await rig.take(item("c"), item("d"))
        await rig.take(item("e"))
        rig.hub.is_open = True
        assert await rig.published(3) == ["a", "b", "e"]
        assert await rig.rows() == ["a", "b", "e"]
        await rig.take(item("c"), item("d"))
        assert await rig.published(5) == ["a", "b", "e", "c", "d"]


async def test_a_cancelled_request_stores_its_item_completely_or_not_at_all() -> None:
    async with running(Clock()) as rig:
        for checkpoints in range(30):
            async with trio.open_nursery() as nursery:
                text = "Good. " * (300 if checkpoints % 2 else 1)  # with and without a worker thread
                nursery.start_soon(rig.take, item(str(checkpoints), text=text))
                for _ in range(checkpoints):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        rows = await rig.rows()
        assert (await rig.dashboard.metrics()).total == len(rows)
        assert sorted(await rig.published(len(rows))) == sorted(rows)
        assert rig.dashboard._arriving == 0
        assert rig.store._arriving == {}


async def test_scoring_a_long_request_blocks_no_other_and_can_be_cancelled() -> None:
    long = json.dumps(
        {"items": [item(str(n), text="It is good but bad. " * 400) for n in range(120)]}
    ).encode()
    async with running(Clock()) as rig, trio.open_nursery() as nursery:
        nursery.start_soon(rig.dashboard.store_items, long)
        await trio.testing.wait_all_tasks_blocked()
        await rig.take(*(item(f"other{n}", text="It is good but bad. " * 20) for n in range(10)))
        for number in range(10):  # small requests do not wait for it either
            await rig.take(item(f"small{number}"))
        assert (await rig.dashboard.metrics()).total == 20
        nursery.cancel_scope.cancel()
    assert (await rig.dashboard.metrics()).total == 20


async def test_a_request_before_loading_ends_is_refused_after_the_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = SQLiteItemStore(Database(), SETTINGS, Clock())
    dashboard = Dashboard(store, Hub(), SETTINGS, EventSettings(), Clock())
    assert dashboard.uptime_seconds == 0
    with pytest.raises(Unavailable) as refused:
        await dashboard.ready()
    assert trio.current_time() == SETTINGS.load_wait_seconds
    assert refused.value.retry_after_seconds
