"""Pages that are read while events are appended and dropped; the tail; the size of the file."""

import random
from pathlib import Path

import pytest
import trio
import trio.testing

from streamd.events import EARLIEST, Event, EventId, Selectors
from streamd.events.ids import make_event_id
from streamd.events.topics import ALL
from streamd.log.recent import RecentEvents
from streamd.log.settings import LogSettings
from streamd.log.sqlite import SQLiteLog
from tests.support.logs import MANY, append, data, draft, pattern, settle, sqlite_log, topics


async def replay(log: SQLiteLog, selectors: Selectors, after: EventId, until: EventId) -> list[EventId]:
    """Read page by page up to a position; a gap fails the test."""
    ids: list[EventId] = []
    while after < until:
        page = await log.read(selectors, after, max_events=7, max_bytes=400)
        assert page.gap is None
        ids += [event.id for event in page.events]
        after = page.cursor
        if not page.more:
            await trio.lowlevel.checkpoint()
    return [id for id in ids if id <= until]


async def test_replays_during_publishing_have_every_event_once(tmp_path: Path) -> None:
    random_ = random.Random(1)
    async with sqlite_log(tmp_path / "log.db") as log:
        published: list[tuple[EventId, str]] = []

        async def publish(publisher: int) -> None:
            for _ in range(60):
                names = [f"t/{random_.randrange(4)}" for _ in range(random_.randrange(1, 5))]
                for receipt, name in zip(await log.append([draft(n) for n in names]), names, strict=True):
                    published.append((receipt.id, name))

        replays: list[tuple[Selectors, list[EventId]]] = []
        done = trio.Event()

        async def follow(selectors: Selectors) -> None:
            ids: list[EventId] = []
            cursor = log.start
            while not (done.is_set() and cursor == log.head):
                page = await log.read(selectors, cursor, max_events=7, max_bytes=400)
                assert page.gap is None
                ids += [event.id for event in page.events]
                cursor = page.cursor
            replays.append((selectors, ids))

        async with trio.open_nursery() as readers:
            for selectors in (topics("t/1"), topics("t/0", "t/2"), pattern("t/*"), ALL):
                readers.start_soon(follow, selectors)
            async with trio.open_nursery() as publishers:
                for publisher in range(4):
                    publishers.start_soon(publish, publisher)
            done.set()
        assert len(replays) == 4
        for selectors, ids in replays:
            assert ids == sorted(id for id, name in published if selectors.matches([name]))


async def test_what_is_dropped_during_a_replay_is_a_gap_exactly_if_it_was_not_read(tmp_path: Path) -> None:
    settings = LogSettings(topic_max_events=20)
    async with sqlite_log(tmp_path / "log.db", settings=settings) as log:
        done = trio.Event()
        published: list[EventId] = []

        async def publish() -> None:
            for _ in range(150):
                published.extend(await append(log, *["a"] * 3))
                await log.trim()
            done.set()

        async def follow(selectors: Selectors) -> None:
            cursor = log.start
            seen: list[EventId] = []
            while not (done.is_set() and cursor == log.head):
                page = await log.read(selectors, cursor, max_events=3, max_bytes=10_000)
                got = [event.id for event in page.events]
                if page.gap is None:
                    missed = [id for id in published if cursor < id <= page.cursor and id not in got]
                    assert missed == []
                else:
                    assert cursor < page.gap
                    assert page.gap in published
                    assert page.gap not in got
                seen += got
                cursor = page.cursor
            assert seen == sorted(set(seen))
            assert seen[-1] == published[-1]

        async with trio.open_nursery() as nursery:
            for selectors in (topics("a"), topics("a", "b"), pattern("a"), ALL):
                nursery.start_soon(follow, selectors)
            nursery.start_soon(publish)


async def test_an_exact_topic_among_many_reads_only_its_own(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "log.db") as log:
        await append(log, *[f"t/{n % 300}" for n in range(3000)])
        many = topics(*[f"t/{n}" for n in range(250)])  # more than one statement merges
        for selectors, count in ((topics("t/5"), 10), (topics("t/5", "t/6"), 20), (many, 2500)):
            ids = await replay(log, selectors, EARLIEST, log.head)
            assert len(ids) == len(set(ids)) == count
        page = await log.read(topics("t/5"), EARLIEST, **MANY)
        assert (page.cursor, page.more) == (log.head, False)


async def test_the_tail_comes_from_memory_and_from_the_file_if_it_was_not_followed(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "log.db") as log:
        first = await append(log, "a", "b", "c")
        page = await log.tail(log.start, max_events=2, max_bytes=1000)
        assert (data(page), page.more) == (["a", "b"], True)
        page = await log.tail(page.cursor, max_events=2, max_bytes=1000)
        assert (data(page), page.more, page.cursor) == (["c"], False, first[-1])
        again = await log.tail(log.start, max_events=10, max_bytes=1000)
        assert data(again) == ["a", "b", "c"]
        with pytest.raises(trio.TooSlowError), trio.fail_after(0):
            await log.tail(log.head, max_events=2, max_bytes=1000)


async def test_the_tail_has_the_order_of_the_log_while_many_append(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "log.db") as log:
        ids: list[EventId] = []

        async def follow() -> None:
            cursor = log.start
            while len(ids) < 400:
                page = await log.tail(cursor, max_events=9, max_bytes=100_000)
                ids.extend(event.id for event in page.events)
                cursor = page.cursor

        async def publish() -> None:
            for _ in range(10):
                await append(log, "a", "b", "c", "d")

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                for _ in range(10):
                    nursery.start_soon(publish)
        assert ids == sorted(set(ids))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


async def test_the_file_stays_small_under_a_flood(tmp_path: Path) -> None:
    settings = LogSettings(max_bytes=2_000_000)
    async with sqlite_log(tmp_path / "log.db", settings=settings) as log, trio.open_nursery() as nursery:
        nursery.start_soon(log.run)

        async def flood() -> None:
            for _ in range(60):
                await log.append([draft(f"t/{n}", "x" * 2000) for n in range(40)])

        async with trio.open_nursery() as flooding:
            for _ in range(8):
                flooding.start_soon(flood)
        await settle(log)
        assert log.statistics()["bytes"] <= 2_000_000
        assert size_of(tmp_path) < 40_000_000  # 38.4 MB were published, twice that with the indexes
        nursery.cancel_scope.cancel()


def test_recent_events_are_bounded() -> None:
    recent = RecentEvents(EARLIEST)
    size = 1 << 20
    for n in range(1, 200):
        recent.append(Event.from_draft(draft("a", "x" * (size - 100)), make_event_id(n, 0)))
    assert recent.after(EARLIEST, 10, 10) is None
    assert recent.floor > make_event_id(60, 0)
    assert len(recent.after(recent.floor, 1000, 1 << 40) or ()) < 130
