"""Full and broken disks, migrations, and the lock of the file."""

import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
import trio
import trio.testing

from streamd.clock import BootTime, SteadyClock
from streamd.database import MEMORY, Database
from streamd.errors import ConfigError, InsufficientStorage, InvalidField, Unavailable
from tests.support.clocks import WallClock, at
from tests.support.number_store import TABLE, Writes, insert, make_database, numbers
from tests.support.task_stores import open_database


@pytest.fixture(params=["memory", "file"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    path = MEMORY if request.param == "memory" else str(tmp_path / "numbers.db")
    async with open_database(make_database(path)) as database:
        yield database


# --- disks ----------------------------------------------------------------------------------------------


def fill_up(db: apsw.Connection) -> None:
    pages = db.pragma("page_count")
    db.pragma("max_page_count", pages + 2)


async def test_a_full_disk_rolls_back_the_whole_batch_and_fails_each_of_its_writes(
    database: Database,
) -> None:
    """SQLite may end the transaction by itself; later writes must not be committed without it."""
    await database.write(insert(0))
    await database.read(fill_up)
    outcomes = await Writes(database).together(insert(1), insert(2, padding=500_000), insert(3))
    assert outcomes == [InsufficientStorage] * 3
    assert await numbers(database) == [0]
    assert await database.write(insert(4)) == 4
    await database.read(lambda db: db.pragma("max_page_count", 1_000_000))
    assert await database.write(insert(5, padding=500_000)) == 5
    assert await numbers(database) == [0, 4, 5]


async def test_work_that_catches_the_error_of_a_full_disk_cannot_split_the_batch(database: Database) -> None:
    await database.read(fill_up)

    def hide(db: apsw.Connection) -> str:
        try:
            insert(2, padding=500_000)(db)
        except apsw.FullError:
            pass
        return "fine"

    def other(db: apsw.Connection) -> None:
        hide(db)
        raise ZeroDivisionError

    assert await Writes(database).together(insert(1), hide, insert(3)) == [Unavailable] * 3
    assert await Writes(database).together(insert(1), other, insert(3)) == [Unavailable] * 3
    assert await numbers(database) == []


async def test_a_failing_commit_fails_all_its_writes(database: Database) -> None:
    fails: list[bool] = [True]
    await database.read(lambda db: db.set_commit_hook(lambda: fails[0]))
    assert await Writes(database).together(insert(1), insert(2)) == [Unavailable] * 2
    fails[0] = False
    assert await numbers(database) == []
    assert await database.write(insert(3)) == 3


async def test_errors_of_the_disk_are_answered_as_unavailable(database: Database) -> None:
    await database.write(insert(1))
    await database.read(lambda db: db.pragma("query_only", True))
    with pytest.raises(Unavailable) as caught:
        await database.write(insert(2))
    assert isinstance(caught.value.__cause__, apsw.ReadOnlyError)
    assert caught.value.retry_after_seconds
    assert "readonly" not in caught.value.detail
    with pytest.raises(Unavailable):
        await database.read(lambda db: db.execute("SELECT * FROM nothing").fetchall())
    assert await numbers(database) == [1]


async def test_an_exception_of_a_read_reaches_its_caller(database: Database) -> None:
    def read(db: apsw.Connection) -> None:
        raise InvalidField("no", field="n")

    with pytest.raises(InvalidField):
        await database.read(read)


# --- opening ------------------------------------------------------------------------------------------------


async def test_migrations_are_applied_once_and_in_order(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers.db")
    scripts = [TABLE, "INSERT INTO numbers (n) VALUES (1); INSERT INTO numbers (n) VALUES (2)"]
    for known, expected in ((scripts[:1], []), (scripts, [1, 2]), (scripts, [1, 2])):
        database = Database(path)
        database.require("test", known)
        database.require("other", ["CREATE TABLE others (n)"])
        async with open_database(database):
            assert await numbers(database) == expected


async def rejection(database: Database) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        try:
            async with open_database(database):
                pass
        except* ConfigError as group:
            raise group.exceptions[0] from None
    assert caught.value.field == "store.url"
    return caught.value


async def test_a_file_of_a_newer_version_is_rejected_unchanged(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers.db")
    newer = Database(path)
    newer.require("test", [TABLE, "INSERT INTO numbers (n) VALUES (1)"])
    async with open_database(newer):
        pass
    assert "newer" in (await rejection(make_database(path))).detail
    newer = Database(path)
    newer.require("test", [TABLE, "INSERT INTO numbers (n) VALUES (1)"])
    async with open_database(newer):
        assert await numbers(newer) == [1]


async def test_a_failing_migration_is_rolled_back(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers.db")
    broken = Database(path)
    broken.require("test", [TABLE, "INSERT INTO nothing VALUES (1)"])
    assert path in (await rejection(broken)).detail
    async with open_database(make_database(path)) as database:
        assert await numbers(database) == []


async def test_a_second_database_is_rejected_while_the_first_has_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers.db")
    async with open_database(make_database(path)) as first:
        await first.write(insert(1))
        assert "another process" in (await rejection(Database(path, busy_timeout_ms=20))).detail
        await first.write(insert(2))
    async with open_database(make_database(path)) as second:
        assert await numbers(second) == [1, 2]


async def test_every_name_of_the_file_has_the_same_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "numbers.db"
    (tmp_path / "link.db").symlink_to(path)
    (tmp_path / "folder").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    async with open_database(make_database(str(path))):
        for name in ("link.db", "folder/numbers.db", "./numbers.db", "numbers.db"):
            assert "another process" in (await rejection(Database(name, busy_timeout_ms=20))).detail
    async with open_database(make_database("link.db")) as linked:
        assert "another process" in (await rejection(Database(str(path), busy_timeout_ms=20))).detail
        assert await linked.write(insert(1)) == 1


async def test_the_error_for_an_unusable_file_names_the_file(tmp_path: Path) -> None:
    missing = str(tmp_path / "no" / "folder" / "numbers.db")
    assert missing in (await rejection(make_database(missing))).detail
    text = tmp_path / "text.db"
    text.write_text("this is no database" * 1000)
    assert str(text) in (await rejection(make_database(str(text)))).detail


async def test_a_process_that_ends_leaves_the_file_to_one_that_waits(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers.db")
    async with trio.open_nursery() as nursery:
        first, second = make_database(path), make_database(path)
        ending = trio.CancelScope()

        async def run_first(task_status: trio.TaskStatus[None]) -> None:
            with ending:
                await first.run(task_status=task_status)

        await nursery.start(run_first)
        opened = trio.Event()

        async def open_second() -> None:
            await nursery.start(second.run)
            opened.set()

        nursery.start_soon(open_second)
        await trio.testing.wait_all_tasks_blocked()
        assert not opened.is_set()
        ending.cancel()
        with trio.fail_after(30):
            await opened.wait()
        nursery.cancel_scope.cancel()


async def test_another_process_reads_the_file_while_it_is_written(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers.db")
    program = (
        "import apsw, sys\n"
        "reader = apsw.Connection(sys.argv[1], flags=apsw.SQLITE_OPEN_READONLY)\n"
        "print(reader.execute('SELECT n FROM numbers').fetchall())\n"
    )
    async with open_database(make_database(path)) as database:
        await database.write(insert(1))
        done = await trio.run_process([sys.executable, "-c", program, path], capture_stdout=True)
        await database.write(insert(2))
    assert done.stdout == b"[(1,)]\n"


# --- the record of the clock --------------------------------------------------------------------------------


async def test_steady_time_goes_on_in_a_reopened_file(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    path, wall = str(tmp_path / "numbers.db"), WallClock()
    async with open_database(make_database(path, SteadyClock(wall))) as database:
        await database.write(insert(1))
        mock_clock.jump(30)
        await database.write(insert(2))
        wall.step(-3600)
        await database.write(insert(3))
    mock_clock.jump(20)
    wall.step(-3600)
    database = make_database(path, SteadyClock(wall))
    async with open_database(database):
        assert database.clock.now() == at(30)
        assert await numbers(database) == [1, 2, 3]


async def test_a_step_of_the_wall_clock_before_the_end_is_no_downtime(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    path, wall = str(tmp_path / "numbers.db"), WallClock()
    async with open_database(make_database(path, SteadyClock(wall))) as database:
        await database.write(insert(1))
        wall.step(3600)  # nothing is written after it
    database = make_database(path, SteadyClock(wall))
    async with open_database(database):
        assert database.clock.now() == at(0)


@pytest.mark.parametrize("knows_boot", [True, False])
async def test_a_process_that_was_killed_right_after_a_step_counts_it_as_no_downtime(
    tmp_path: Path, mock_clock: trio.testing.MockClock, knows_boot: bool
) -> None:
    path, wall, elapsed = str(tmp_path / "numbers.db"), WallClock(), 100

    def clock() -> SteadyClock:
        return SteadyClock(wall, lambda: BootTime("boot", timedelta(seconds=elapsed)))

    def forget_boot(db: apsw.Connection) -> None:
        db.execute("UPDATE clock SET steady_us = steady_us + 1")  # as by a version that knows nothing of it

    async with open_database(make_database(path, clock())) as database:
        await database.write(insert(1))
        if not knows_boot:
            await database.write(forget_boot)
    wall.step(3600 + 20)  # the record does not show it, as if the process had been killed
    elapsed += 20
    database = make_database(path, clock())
    async with open_database(database):
        assert abs(database.clock.now() - at(20 if knows_boot else 3620)) <= timedelta(microseconds=1)


async def test_without_a_readable_record_steady_time_begins_with_the_wall_clock(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    path = str(tmp_path / "numbers.db")

    def damage(db: apsw.Connection) -> None:
        db.execute("INSERT OR REPLACE INTO clock VALUES (1, 'noon', x'00')")

    async with open_database(make_database(path)) as database:
        await database.write(damage)
    database = make_database(path, SteadyClock(WallClock()))
    async with open_database(database):
        assert database.clock.now() == at(0)
