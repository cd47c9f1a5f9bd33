"""The batching writer: atomicity of each write, and cancellation."""

import gc
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
import trio.testing

from streamd.database import MEMORY, Database
from streamd.errors import InvalidField, Unavailable
from tests.support.number_store import Hold, Writes, insert, make_database, numbers
from tests.support.task_stores import open_database
from tests.support.waiting import until


@pytest.fixture(params=["memory", "file"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    path = MEMORY if request.param == "memory" else str(tmp_path / "numbers.db")
    async with open_database(make_database(path)) as database:
        yield database


# --- batches --------------------------------------------------------------------------------------


async def test_concurrent_writes_share_one_transaction_in_call_order(database: Database) -> None:
    committed: list[int] = []

    def count_commits(db: apsw.Connection) -> None:
        def committing() -> bool:
            committed.append(1)
            return False

        db.set_commit_hook(committing)

    await database.write(count_commits)
    committed.clear()
    seen: list[int] = []

    def insert_and_note(n: int) -> Callable[[apsw.Connection], int]:
        def work(db: apsw.Connection) -> int:
            seen.append(n)
            return insert(n)(db)

        return work

    writes = Writes(database)
    assert await writes.together(*(insert_and_note(n) for n in range(50))) == list(range(50))
    assert seen == list(range(50)) == await numbers(database)
    assert len(committed) == 2  # one of them for the write that held up the others


async def test_a_failing_write_does_not_roll_back_the_others_of_its_batch(database: Database) -> None:
    def half_done(db: apsw.Connection) -> None:
        insert(100)(db)
        raise InvalidField("no", field="n")

    def surprise(db: apsw.Connection) -> None:
        insert(101)(db)
        raise ZeroDivisionError

    outcomes = await Writes(database).together(
        insert(1), half_done, insert(2), insert(1), surprise, insert(3)
    )
    assert outcomes == [1, InvalidField, 2, Unavailable, ZeroDivisionError, 3]
    assert await numbers(database) == [1, 2, 3]


@pytest.mark.parametrize("kind", [InvalidField, apsw.IOError])
async def test_what_a_failed_write_would_have_stored_is_freed_at_once(
    database: Database, kind: type[Exception]
) -> None:
    class Document:
        pass

    def refuse(_: apsw.Connection) -> None:
        raise kind("no")

    async def store(document: Document) -> None:
        await database.write(refuse)

    document = Document()
    freed = weakref.ref(document)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises((InvalidField, Unavailable)):
            await store(document)
        del document
        await until(lambda: freed() is None)
    finally:
        gc.enable()


async def test_work_may_nest_transactions(database: Database) -> None:
    def work(db: apsw.Connection) -> str:
        insert(1)(db)
        with pytest.raises(ZeroDivisionError), db:
            insert(2)(db)
            raise ZeroDivisionError
        return "continued"

    assert await database.write(work) == "continued"
    assert await numbers(database) == [1]


async def test_reads_and_writes_see_every_earlier_write(database: Database) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(
                database.write,
                lambda db: db.execute(
                    "INSERT INTO numbers (n) SELECT coalesce(max(n), 0) + 1 FROM numbers"
                ).fetchall(),
            )
    assert await numbers(database) == list(range(1, 51))


async def test_the_time_of_each_write_is_observed(database: Database) -> None:
    took: list[float] = []
    database.observe_write = took.append
    await database.write(insert(1))
    assert len(took) == 1
    assert took[0] > 0


# --- cancellation and shutdown ----------------------------------------------------------------------


async def test_cancelling_a_queued_write_discards_it(database: Database) -> None:
    hold = Hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, hold)
        await hold.begun.wait()
        with trio.move_on_after(0.01) as scope:
            await database.write(insert(1))
        assert scope.cancelled_caught
        hold.release()
    await database.write(insert(2))
    assert await numbers(database) == [2]


async def test_a_write_that_has_begun_is_committed_and_returns_when_cancelled(
    database: Database,
) -> None:
    hold = Hold()
    results: list[Any] = []

    def work(db: apsw.Connection) -> int:
        hold(db)
        return insert(1)(db)

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def write() -> None:
            with scope:
                results.append(await database.write(work))

        nursery.start_soon(write)
        await hold.begun.wait()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert results == []
        hold.release()
    assert (results, await numbers(database)) == ([1], [1])


async def test_queued_writes_are_committed_at_shutdown(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers.db")
    database = make_database(path)
    results: list[int] = []
    async with trio.open_nursery() as writers:
        async with trio.open_nursery() as nursery:
            await nursery.start(database.run)
            hold = Hold()
            writers.start_soon(database.write, hold)
            await hold.begun.wait()

            async def write(n: int) -> None:
                results.append(await database.write(insert(n)))

            for n in range(600):  # more than one batch
                writers.start_soon(write, n)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            hold.release()
    assert sorted(results) == list(range(600))
    async with open_database(make_database(path)) as database:
        assert await numbers(database) == list(range(600))


async def test_a_closed_database_rejects_writes_and_reads() -> None:
    database = make_database()
    async with open_database(database):
        await database.write(insert(1))
    with pytest.raises(Unavailable):
        await database.write(insert(2))
    with pytest.raises(Unavailable):
        await numbers(database)


async def test_writes_and_reads_wait_until_the_database_is_open() -> None:
    database = make_database()
    results: list[Any] = []

    async def write_and_read() -> None:
        results.append(await database.write(insert(1)))
        results.append(await numbers(database))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_and_read)
        await trio.testing.wait_all_tasks_blocked()
        assert results == []
        async with open_database(database):
            while len(results) < 2:
                await trio.testing.wait_all_tasks_blocked()
    assert results == [1, [1]]
