"""Damaged rows, full disks and failing writes: an error for one event, and nothing acknowledged is lost."""

from pathlib import Path

import apsw
import pytest
import structlog.testing
import trio

from streamd.errors import Unavailable
from streamd.events import EARLIEST
from streamd.events.topics import ALL
from streamd.log import recent
from streamd.log.port import Page
from streamd.log.settings import LogSettings
from streamd.log.sqlite import SQLiteLog
from streamd.log.sqlite.schema import to_event_id, to_number
from streamd.log.sqlite.writer import Prepared
from tests.support.logs import MANY, append, data, draft, pattern, read, settle, sqlite_log, topics


async def execute(log: SQLiteLog, statement: str, *values: object) -> None:
    await log.database.write(lambda db: db.execute(statement, values).fetchall())


@pytest.mark.parametrize("body", ["", "{", "[]", '{"type":1}', b"\xff\xfe", '{"topics":["a"]}'])
async def test_a_damaged_event_is_left_out_reported_and_dropped_in_time(
    tmp_path: Path, body: str | bytes
) -> None:
    async with sqlite_log(tmp_path / "log.db", settings=LogSettings(topic_max_events=4)) as log:
        reported: list[str] = []
        log.database.unreadable.count = reported.append
        ids = await append(log, "a", "a", "b", "a")
        await execute(
            log, "UPDATE log_events SET body = CAST(? AS TEXT) WHERE id = ?", body, to_number(ids[1])
        )
        for selectors, names in ((topics("a"), ["a", "a"]), (ALL, ["a", "b", "a"]), (pattern("a*"), [])):
            page = await read(log, selectors)
            assert (data(page), page.more, page.cursor) == (names, False, log.head)
        assert reported == ["event"]
        small = await log.read(topics("a"), EARLIEST, max_events=2, max_bytes=1000)
        assert (data(small), small.cursor) == (["a"], ids[1])
        await append(log, *["a"] * 3, "b")
        assert len((await read(log, topics("a"))).events) == 4
        assert (await read(log, topics("a"), ids[0])).gap == ids[1]


async def test_missing_rows_do_not_stop_the_log(tmp_path: Path) -> None:
    settings = LogSettings(max_events=5, topic_max_events=5)
    async with sqlite_log(tmp_path / "log.db", settings=settings) as log:
        ids = await append(log, "a", "a", "b", "b", "a")
        await execute(log, "DELETE FROM log_events WHERE id = ?", to_number(ids[0]))
        await execute(log, "DELETE FROM log_topics WHERE id = ?", to_number(ids[2]))
        assert data(await read(log, topics("a"))) == ["a", "a"]
        assert data(await read(log, ALL)) == ["a", "b", "b", "a"]
        for _ in range(5):
            await append(log, "a", "b")
            await settle(log)
        # A missing event is counted for as long as its topic has it.
        assert data(await read(log, ALL)) == ["a", "b", "a", "b"]
        assert data(await read(log, topics("a"))) == ["a", "a"]


async def test_a_full_disk_refuses_appends_until_it_takes_writes_again(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "log.db") as log:
        ids = await append(log, "a")
        pages = await log.database.read(lambda db: db.pragma("page_count"))
        await log.database.read(lambda db: db.pragma("max_page_count", pages))
        with pytest.raises(Unavailable) as refused:
            for _ in range(10):
                ids += [receipt.id for receipt in await log.append([draft("a", "x" * 5000)])]
        assert refused.value.retry_after_seconds
        assert log.head == ids[-1]
        await log.database.read(lambda db: db.pragma("max_page_count", 1_000_000))
        ids += await append(log, "a")
        assert [event.id for event in (await read(log, topics("a"))).events] == ids
        tail = await log.tail(log.start, max_events=100, max_bytes=1_000_000)
        assert [event.id for event in tail.events] == ids
    async with sqlite_log(tmp_path / "log.db") as log:
        assert [event.id for event in (await read(log, topics("a"))).events] == ids


async def test_a_transaction_that_fails_takes_its_events_and_no_others(tmp_path: Path) -> None:
    """A change of a task that fails after its events were appended leaves none of them."""
    async with sqlite_log(tmp_path / "log.db") as log:
        prepared = Prepared.of([draft("a", "lost", key="k")], "p")

        def fail(db: apsw.Connection) -> None:
            log.append_in(db, prepared)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await log.database.write(fail)
        [receipt] = await log.append([draft("a", "kept", key="k")], publisher="p")
        assert not receipt.duplicate
        assert data(await read(log, ALL)) == ["kept"]


async def test_a_damaged_size_does_not_keep_a_topic_from_being_trimmed(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "log.db", settings=LogSettings(topic_max_events=2)) as log:
        ids = await append(log, "a", "a")
        await execute(log, "UPDATE log_topics SET size = 'x'")
        await execute(log, "UPDATE log_events SET size = 'x'")
        ids += await append(log, "a", "a", "a")
        page = await read(log, topics("a"))
        assert [event.id for event in page.events] == ids[-2:]


async def test_a_damaged_time_counts_as_the_oldest(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "log.db", settings=LogSettings(topic_max_events=2)) as log:
        ids = await append(log, "a", "a")
        await execute(log, "UPDATE log_events SET at = 'x' WHERE id = ?", to_number(ids[1]))
        ids += await append(log, "a")
        await settle(log)
        await settle(log)
        assert [event.id for event in (await read(log, topics("a"))).events] == ids[-1:]
        assert log.statistics() == {"events": 1, "bytes": 9, "topics": 1}


async def test_damaged_records_of_what_was_dropped_do_not_stop_readers(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "log.db", settings=LogSettings(topic_max_events=1)) as log:
        ids = await append(log, "a", "a", "b", "b", "c", "c")
        await settle(log)
        await execute(log, "UPDATE log_dropped SET topic = CAST(x'ff' AS TEXT) WHERE topic = 'a'")
        await execute(log, "UPDATE log_dropped SET id = 'x' WHERE topic = 'b'")
        cursor = to_event_id(1)
        assert (await log.read(pattern("c*"), cursor, **MANY)).gap == log.start
        assert (await log.read(pattern("*"), ids[0], **MANY)).gap == ids[4]
        assert data(await log.read(ALL, ids[0], **MANY)) == ["a", "b", "c"]


async def test_the_fan_out_waits_for_a_disk_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events that do not fit into memory are read from the file; the hub has no answer to an error."""
    monkeypatch.setattr(recent, "_EVENTS_MAX", 2)
    async with sqlite_log(tmp_path / "log.db") as log:
        start = log.head
        ids = await append(log, *"abcd")
        await execute(log, "ALTER TABLE log_events RENAME TO hidden")
        pages: list[Page] = []

        async def tail() -> None:
            pages.append(await log.tail(start, **MANY))

        with structlog.testing.capture_logs() as logged:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tail)
                with trio.fail_after(30):
                    while not logged:
                        await trio.lowlevel.checkpoint()
                await execute(log, "ALTER TABLE hidden RENAME TO log_events")
        assert [event.id for event in pages[0].events] == ids


async def test_a_surplus_that_cannot_be_dropped_is_left_until_the_next_sweep(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "log.db", settings=LogSettings(topic_max_events=2)) as log:
        await append(log, *"aaaabbbb")
        await execute(log, "UPDATE log_topics SET topic = CAST(x'ff' AS TEXT) WHERE topic = 'a'")
        await execute(log, "DELETE FROM log_topics WHERE topic = 'b'")
        with trio.fail_after(10):
            await log.trim()
        await append(log, *"bbb")
        with trio.fail_after(10):
            await log.trim()
        assert data(await log.read(topics("b"), EARLIEST, **MANY)) == ["b", "b"]


async def test_missing_events_that_are_still_counted_do_not_keep_the_log_busy(tmp_path: Path) -> None:
    settings = LogSettings(max_events=3, topic_max_events=3)
    async with sqlite_log(tmp_path / "log.db", settings=settings) as log:
        await append(log, *"abcdefgh")
        await execute(log, "DELETE FROM log_events")
        with trio.fail_after(10):
            await log.trim()
        assert log.statistics()["events"] == 8
