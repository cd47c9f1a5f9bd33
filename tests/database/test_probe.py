"""The probe of the store: failures with their reason, recovery by itself, and a bounded rate."""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog.testing
import trio
import trio.testing

from streamd.database import MEMORY, Database, StoreProbe
from streamd.errors import Unavailable
from tests.support.number_store import Hold, insert, make_database, numbers
from tests.support.task_stores import open_database

Clock = trio.testing.MockClock


@asynccontextmanager
async def probing(database: Database) -> AsyncIterator[StoreProbe]:
    """Run a database and its probe for as long as the block lasts."""
    probe = StoreProbe(database)
    async with open_database(database), trio.open_nursery() as nursery:
        nursery.start_soon(probe.run)
        yield probe
        nursery.cancel_scope.cancel()


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return MEMORY if request.param == "memory" else str(tmp_path / "numbers.db")


async def reason(probe: StoreProbe, clock: Clock) -> str:
    """Return the reason for which the store is unusable, from a new probe; empty if it works."""
    clock.jump(1)
    try:
        await probe.check()
    except Unavailable as error:
        return error.detail.removeprefix("the store cannot be used: ")
    return ""


async def test_a_working_store_passes_and_keeps_its_content(path: str, mock_clock: Clock) -> None:
    database = make_database(path)
    async with probing(database) as probe:
        await database.write(insert(1))
        for _ in range(3):
            assert await reason(probe, mock_clock) == ""
        assert await numbers(database) == [1]
        assert await database.read(lambda db: db.execute("SELECT count(*) FROM migrations").get) == 1


async def test_a_disk_that_does_not_answer_is_reported_until_it_does(
    tmp_path: Path, mock_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with probing(make_database(str(tmp_path / "numbers.db"))) as probe:
        with monkeypatch.context() as patch:
            patch.setattr(os, "statvfs", fail)
            assert await reason(probe, mock_clock) == "its disk fails"
        assert await reason(probe, mock_clock) == ""


async def test_a_full_disk_is_reported_until_it_has_room(path: str, mock_clock: Clock) -> None:
    database = make_database(path)
    async with probing(database) as probe:
        await database.write(insert(1))
        await database.read(lambda db: db.pragma("max_page_count", db.pragma("page_count") + 2))
        assert await reason(probe, mock_clock) == "its disk is full"
        assert await database.write(insert(2)) == 2, "a write that fits is not disturbed by the probe"
        await database.read(lambda db: db.pragma("max_page_count", 1_000_000))
        assert await reason(probe, mock_clock) == ""
        assert await numbers(database) == [1, 2]


async def test_a_store_that_cannot_be_written_is_reported_until_it_can(path: str, mock_clock: Clock) -> None:
    database = make_database(path)
    async with probing(database) as probe:
        await database.read(lambda db: db.pragma("query_only", True))
        with structlog.testing.capture_logs() as logs:
            assert (
                await reason(probe, mock_clock)
                == await reason(probe, mock_clock)
                == "it cannot be written to"
            )
        assert [entry["event"] for entry in logs] == ["store_unusable"], "only the change is logged"
        await database.read(lambda db: db.pragma("query_only", False))
        assert await reason(probe, mock_clock) == ""


async def test_a_store_that_cannot_be_read_is_reported(path: str, mock_clock: Clock) -> None:
    database = make_database(path)
    async with probing(database) as probe:
        await database.write(lambda db: db.execute("ALTER TABLE migrations RENAME TO hidden"))
        assert await reason(probe, mock_clock) == "its disk fails"
        await database.write(lambda db: db.execute("ALTER TABLE hidden RENAME TO migrations"))
        assert await reason(probe, mock_clock) == ""


async def test_a_file_that_was_moved_or_replaced_is_reported(tmp_path: Path, mock_clock: Clock) -> None:
    path, aside = tmp_path / "numbers.db", tmp_path / "aside.db"
    async with probing(make_database(str(path))) as probe:
        assert await reason(probe, mock_clock) == ""
        path.rename(aside)
        assert await reason(probe, mock_clock) == "its file was moved or deleted"
        path.write_bytes(b"another")
        assert await reason(probe, mock_clock) == "its file was replaced"
        path.unlink()
        aside.rename(path)
        assert await reason(probe, mock_clock) == ""


async def test_a_store_that_does_not_answer_is_reported_in_time(path: str, mock_clock: Clock) -> None:
    database = make_database(path)
    refused = trio.Event()
    async with probing(database) as probe:

        async def expect_no_answer() -> None:
            assert await reason(probe, mock_clock) == "it does not answer"
            refused.set()

        hold = Hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.write, hold)
            await hold.begun.wait()
            nursery.start_soon(expect_no_answer)
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(2)  # the time that a check waits
            await refused.wait()
            hold.release()
        assert await reason(probe, mock_clock) == ""


async def test_many_checks_share_one_probe_a_second(path: str, mock_clock: Clock) -> None:
    database = make_database(path)
    async with probing(database) as probe:
        statements: list[str] = []

        def trace(_cursor: object, statement: str, _bindings: object) -> bool:
            statements.append(statement)
            return True

        await database.read(lambda db: db.set_exec_trace(trace))
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(probe.check)
        for _ in range(100):
            await probe.check()
        assert sum("zeroblob" in statement for statement in statements) == 1


async def test_the_log_names_the_file_and_the_client_does_not(tmp_path: Path, mock_clock: Clock) -> None:
    path = tmp_path / "numbers.db"
    async with probing(make_database(str(path))) as probe:
        path.rename(tmp_path / "aside.db")
        with structlog.testing.capture_logs() as logs:
            assert str(tmp_path) not in await reason(probe, mock_clock)
        assert (logs[0]["path"], logs[0]["log_level"]) == (str(path), "error")
