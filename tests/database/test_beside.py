"""Reads beside the writer, the order of what is committed, checkpoints, and the size of the file."""

from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import apsw
import pytest
import structlog.testing
import trio
import trio.testing

from streamd.database import Database
from streamd.errors import Unavailable
from tests.support.number_store import Hold, Writes, insert, make_database, numbers
from tests.support.task_stores import open_database

BLOB_BYTES = 200_000


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(make_database(str(tmp_path / "numbers.db"))) as database:
        yield database


def read_numbers(db: apsw.Connection) -> list[int]:
    return [n for (n,) in db.execute("SELECT n FROM numbers ORDER BY n")]


def grow(db: apsw.Connection) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS blobs (b)")
    db.execute("INSERT INTO blobs VALUES (zeroblob(?))", (BLOB_BYTES,))


async def test_a_read_beside_sees_what_was_committed_and_nothing_of_a_transaction_that_runs(
    database: Database,
) -> None:
    await database.write(insert(1))
    hold = Hold()

    def half(db: apsw.Connection) -> None:
        insert(2)(db)
        hold(db)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, half)
        await hold.begun.wait()
        assert await database.read_beside(read_numbers) == [1]
        hold.release()
    assert await database.read_beside(read_numbers) == [1, 2]


async def test_the_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.read_beside(insert(1))
    assert await numbers(database) == []


async def test_committed_results_are_announced_in_order_before_any_caller_wakes(database: Database) -> None:
    stored: list[int] = []
    announced: list[int] = []
    woken: list[list[int]] = []

    async def write(n: int) -> None:
        def work(db: apsw.Connection) -> int:
            stored.append(n)
            return insert(n)(db)

        await database.write(work, committed=announced.append)
        woken.append(list(announced))

    hold = Hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, hold)
        await hold.begun.wait()
        for n in range(20):
            nursery.start_soon(write, n)
        await trio.testing.wait_all_tasks_blocked()
        hold.release()
    assert sorted(announced) == list(range(20))
    assert announced == stored
    assert woken == [announced] * 20


async def test_a_reader_knows_nothing_that_is_not_announced(database: Database) -> None:
    """Trio wakes tasks in any order, also one that has seen a transaction before the one that made it."""
    announced: set[int] = set()

    async def read() -> None:
        seen = await numbers(database)
        assert announced.issuperset(seen)

    for n in range(200):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(database.write, insert(n), committed=announced.add))
            for _ in range(3):
                nursery.start_soon(read)


async def test_a_failed_write_announces_nothing_and_one_whose_caller_was_cancelled_does(
    database: Database,
) -> None:
    announced: list[int] = []
    await database.write(insert(1), committed=announced.append)
    with pytest.raises(Unavailable):
        await database.write(insert(1), committed=announced.append)
    assert announced == [1]
    hold = Hold()

    def work(db: apsw.Connection) -> int:
        hold(db)
        return insert(2)(db)

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def write() -> None:
            with scope:
                await database.write(work, committed=announced.append)

        nursery.start_soon(write)
        await hold.begun.wait()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        hold.release()
    assert announced == [1, 2]


async def test_the_write_ahead_log_stays_small_while_reads_never_pause(
    database: Database, tmp_path: Path
) -> None:
    """A reader at every moment would keep the log from starting again, and it would grow with each write."""
    wal = tmp_path / "numbers.db-wal"
    written = 0
    async with trio.open_nursery() as nursery:

        async def read_on() -> None:
            while True:
                await database.read_beside(lambda db: db.execute("SELECT sum(n) FROM numbers").fetchall())

        for _ in range(3):
            nursery.start_soon(read_on)
        while written < 100_000_000:
            await Writes(database).together(*[grow] * 10)
            written += 10 * BLOB_BYTES
            await database.write(lambda db: db.execute("DELETE FROM blobs").fetchall())
        nursery.cancel_scope.cancel()
    assert wal.stat().st_size < 20_000_000


async def test_a_reader_of_another_process_delays_the_checkpoint_and_nothing_else(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "numbers.db"
    await database.write(insert(1))
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as other:
        with other:
            assert read_numbers(other) == [1]
            for _ in range(50):
                await database.write(grow)
            await database.write(insert(2))
            assert read_numbers(other) == [1]
        assert read_numbers(other) == [1, 2]
    assert await numbers(database) == [1, 2]
    assert (tmp_path / "numbers.db-wal").stat().st_size > 50 * BLOB_BYTES
    for _ in range(100):
        await database.write(grow)
        await database.write(lambda db: db.execute("DELETE FROM blobs").fetchall())
    assert path.stat().st_size < 15_000_000  # the pages of the log were copied, and used again


async def test_a_log_that_another_process_lets_grow_is_reported_at_64_mb_and_then_doubled(
    database: Database,
) -> None:
    async def write_megabytes(count: int) -> list[int]:
        with structlog.testing.capture_logs() as logged:
            for _ in range(count):
                await Writes(database).together(*[grow] * 5)
        return [entry["pages"] for entry in logged if entry["event"] == "write_ahead_log_grows"]

    await database.write(insert(1))
    with closing(apsw.Connection(database.path, flags=apsw.SQLITE_OPEN_READONLY)) as other:
        with other:
            assert read_numbers(other) == [1]
            assert await write_megabytes(60) == []
            first, second = await write_megabytes(90)
            assert 16_384 <= first < 20_000
            assert 2 * first <= second < 2.5 * first
    assert await write_megabytes(10) == []


async def test_the_file_shrinks_in_steps_when_much_of_it_is_free(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "numbers.db"
    for _ in range(100):
        await database.write(grow)
    await database.write(lambda db: db.execute("DELETE FROM blobs").fetchall())
    pages = [await database.read(lambda db: db.pragma("page_count"))]
    while len(pages) < 3 or pages[-1] < pages[-2]:
        await database.reclaim()
        pages.append(await database.read(lambda db: db.pragma("page_count")))
    assert pages[0] - pages[1] <= 512
    assert pages[-1] < 1100
    await database.run_alone(lambda db: db.wal_checkpoint())
    assert path.stat().st_size < 5_000_000


async def test_a_file_of_an_earlier_version_shrinks_too(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers.db")
    with closing(apsw.Connection(path)) as old:
        old.pragma("journal_mode", "WAL")
        old.execute("CREATE TABLE blobs (b)")
        old.execute("INSERT INTO blobs VALUES (zeroblob(20000000))")
        old.execute("DELETE FROM blobs")
    async with open_database(make_database(path)) as database:
        assert await database.read(lambda db: db.pragma("auto_vacuum")) == 2
        assert await database.read(lambda db: db.pragma("page_count")) < 100


async def test_a_defect_in_an_announcement_stops_the_database_and_no_caller_waits_for_ever(
    tmp_path: Path,
) -> None:
    def fail(_: int) -> None:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True), trio.fail_after(30):
        async with open_database(make_database(str(tmp_path / "numbers.db"))) as database:
            await database.write(insert(1), committed=fail)


async def test_a_read_gives_way_to_a_transaction_of_ordinary_length(
    database: Database, mock_clock: trio.testing.MockClock
) -> None:
    hold = Hold()
    order: list[str] = []

    async def read() -> None:
        await database.read_beside(read_numbers)
        order.append("read")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(database.write, hold, committed=lambda _: order.append("committed")))
        await hold.begun.wait()
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        hold.release()
    assert order == ["committed", "read"]
