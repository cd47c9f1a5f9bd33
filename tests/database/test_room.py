"""The room of a storage: what is used, the bound, and what is told about it."""

from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from streamd.database import Database, StorageRoom
from streamd.errors import InsufficientStorage, Unavailable
from tests.support.task_stores import open_database

MB = 1_000_000


def test_a_storage_without_a_bound_has_room() -> None:
    room = StorageRoom("store")
    room.note(10**12)
    room.check()
    assert room.fill == 0


def test_each_refusal_is_counted_and_each_change_is_logged_once() -> None:
    refusals: list[int] = []
    room = StorageRoom("store", 1600)
    room.count_refusal = lambda: refusals.append(1)
    with capture_logs() as lines:
        room.note(1599)
        room.check()
        for used in (1600, 1700, 1600):
            room.note(used)
            with pytest.raises(InsufficientStorage):
                room.check()
        room.note(1599)  # room, and not yet enough of it for another line
        room.check()
        room.note(1600)
        room.note(1400)
        room.check()
    assert [line["event"] for line in lines] == ["storage_full", "storage_has_room_again"]
    assert len(refusals) == 3


def insert(db: apsw.Connection) -> None:
    db.execute("INSERT INTO things VALUES (zeroblob(?))", (MB,))


async def test_the_used_pages_of_a_file_are_known_after_each_transaction(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    database = Database(path)
    database.require("things", ["CREATE TABLE things (value BLOB)"])
    async with open_database(database):
        empty = database.room.used_bytes
        await database.write(insert)
        assert 0.99 * MB <= database.room.used_bytes - empty <= 1.1 * MB
    again = Database(path)
    again.require("things", ["CREATE TABLE things (value BLOB)"])
    async with open_database(again):
        assert again.room.used_bytes - empty >= 0.99 * MB, "from the start"
        await again.write(lambda db: db.execute("DELETE FROM things"))
        assert again.room.used_bytes <= 1.1 * empty, "free pages are room, whatever the size of the file"


async def test_a_write_without_room_changes_nothing_and_stops_no_other(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "a.db"))
    database.require("things", ["CREATE TABLE things (value BLOB)"])

    def insert_with_room(db: apsw.Connection) -> None:
        insert(db)
        database.room.check()

    async with open_database(database):
        database.room.max_bytes = database.room.used_bytes
        with pytest.raises(InsufficientStorage):
            await database.write(insert_with_room)
        assert await database.read(lambda db: db.execute("SELECT count(*) FROM things").get) == 0
        await database.write(insert)
        assert await database.read(lambda db: db.execute("SELECT count(*) FROM things").get) == 1


async def test_a_disk_that_is_full_is_told_as_such(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "a.db"))
    database.require("things", ["CREATE TABLE things (value BLOB)"])
    async with open_database(database):
        await database.run_alone(lambda db: db.pragma("max_page_count", db.pragma("page_count") + 10))
        with pytest.raises(InsufficientStorage) as caught:
            await database.write(insert)
        assert isinstance(caught.value, Unavailable)
        assert caught.value.status == 503
        await database.run_alone(lambda db: db.pragma("max_page_count", 2**30))
        await database.write(insert)
