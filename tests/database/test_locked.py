"""A file that another process has locked for writing, such as a shell with an open transaction."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest
import trio
import trio.testing

from streamd.database import Database, StoreProbe
from streamd.errors import Unavailable
from tests.support.number_store import Hold, Writes, insert, make_database, numbers
from tests.support.task_stores import open_database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(make_database(str(tmp_path / "numbers.db"))) as database:
        yield database


@pytest.fixture
async def waits(database: Database) -> list[int]:
    """Count the times that the writer finds the file locked; it does not wait."""
    waits: list[int] = []

    def give_up(attempt: int) -> bool:
        waits.append(attempt)
        return False

    await database.read(lambda db: db.set_busy_handler(give_up))
    return waits


@contextmanager
def locked(path: Path | str) -> Iterator[None]:
    """Keep a transaction of another connection open that may write."""
    with closing(apsw.Connection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_batch_waits_once_for_the_lock_and_fails_as_a_whole(database: Database) -> None:
    waits: list[int] = []
    hold = Hold()

    def wait_and_give_up(attempt: int) -> bool:
        waits.append(attempt)
        if len(waits) == 1:
            hold()
        return False

    await database.read(lambda db: db.set_busy_handler(wait_and_give_up))
    writes = Writes(database)
    with locked(database.path):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writes.write, 0, insert(0))
            await hold.begun.wait()
            for n in range(1, 50):
                nursery.start_soon(writes.write, n, insert(n))
            await trio.testing.wait_all_tasks_blocked()
            hold.release()
    assert set(writes.outcomes.values()) == {Unavailable}
    assert len(writes.outcomes) == 50
    assert len(waits) == 2, "one for the write that held up the others, and one for their batch"
    assert await database.write(insert(1)) == 1
    assert await numbers(database) == [1]


async def test_a_write_that_reads_first_is_not_overtaken_by_another_process(database: Database) -> None:
    refused: list[bool] = []

    def read_then_write(db: apsw.Connection) -> int:
        [[count]] = db.execute("SELECT count(*) FROM numbers")
        with closing(apsw.Connection(database.path)) as other:
            try:
                other.execute("INSERT INTO numbers VALUES (7, NULL)")
            except apsw.BusyError:
                refused.append(True)
        return insert(count)(db)

    assert await database.write(read_then_write) == 0
    assert refused == [True]


async def test_free_pages_are_given_back_later(database: Database, waits: list[int]) -> None:
    await database.write(insert(1, padding=8_000_000))
    await database.write(lambda db: db.execute("DELETE FROM numbers").fetchall())
    with locked(database.path), pytest.raises(Unavailable):
        await database.reclaim()
    pages = await database.read(lambda db: db.pragma("page_count"))
    await database.reclaim()
    assert await database.read(lambda db: db.pragma("page_count")) < pages


async def test_the_probe_says_that_the_file_is_locked(
    database: Database, waits: list[int], mock_clock: trio.testing.MockClock
) -> None:
    probe = StoreProbe(database)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(probe.run)
        with locked(database.path), pytest.raises(Unavailable, match="another process has locked it"):
            await probe.check()
        mock_clock.jump(1)
        await probe.check()
        nursery.cancel_scope.cancel()
