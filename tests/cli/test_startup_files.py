"""`streamd config check` looks at the files of the store and the log, and neither creates nor changes one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from streamd.database import Database
from streamd.tasks.store.schema import COMPONENT, MIGRATIONS
from tests.support.config_check import check_refused, run
from tests.support.task_stores import open_database


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, without settings of the environment."""
    for name in os.environ:
        if name.startswith("STREAMD_"):
            monkeypatch.delenv(name)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


# --- the store ------------------------------------------------------------------------------------------


def text_file(folder: Path) -> None:
    (folder / "store.db").write_text("this is no database" * 100)


def directory(folder: Path) -> None:
    (folder / "store.db").mkdir()


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "store.db")


def newer_version(folder: Path) -> None:
    _with_versions(folder, 99)


def unreadable_version(folder: Path) -> None:
    _with_versions(folder, "many")


def negative_version(folder: Path) -> None:
    _with_versions(folder, -1)


def _with_versions(folder: Path, version: Any) -> None:
    connection = apsw.Connection(str(folder / "store.db"))
    connection.execute("CREATE TABLE migrations (component TEXT PRIMARY KEY, version NOT NULL)")
    connection.execute("INSERT INTO migrations VALUES ('tasks', ?)", (version,))
    connection.close()


def other_tables(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "store.db"))
    connection.execute("CREATE TABLE migrations (id INTEGER, app TEXT)")
    connection.close()


def lost_table(folder: Path) -> None:
    database = Database(str(folder / "store.db"))
    database.require(COMPONENT, MIGRATIONS)

    async def create() -> None:
        async with open_database(database):
            pass

    trio.run(create)
    connection = apsw.Connection(str(folder / "store.db"))
    connection.execute("PRAGMA foreign_keys = off; DROP TABLE tasks")
    connection.close()


def damaged(folder: Path) -> None:
    _with_versions(folder, 1)
    with (folder / "store.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 2000)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (text_file, "it is no SQLite database"),
        (directory, "it is not a regular file"),
        (pipe, "it is not a regular file"),
        (newer_version, "made by a newer streamd"),
        (unreadable_version, "the version of the tables of tasks is unreadable: 'many'"),
        (negative_version, "the version of the tables of tasks is unreadable: -1"),
        (other_tables, "no such column"),
        (lost_table, "it lacks the table tasks"),
        (damaged, "it is damaged"),
    ],
)
def test_a_store(folder: Path, make: Callable[[Path], None], text: str) -> None:
    make(folder)
    check_refused({"STREAMD_STORE__URL": f"sqlite:{folder}/store.db"}, "store.url: ", text, folder)


def test_a_store_in_a_folder_that_does_not_exist(folder: Path) -> None:
    environ = {"STREAMD_STORE__URL": f"sqlite:{folder}/missing/store.db"}
    check_refused(environ, "store.url: ", "there is no folder", folder)
    (folder / "file").touch()
    environ = {"STREAMD_STORE__URL": f"sqlite:{folder}/file/store.db"}
    check_refused(environ, "store.url: ", "there is no folder", folder)


def test_a_store_that_the_system_refuses_to_look_up(folder: Path) -> None:
    environ = {"STREAMD_STORE__URL": f"sqlite:{folder}/{'x' * 300}"}
    check_refused(environ, f"store.url: {folder}/xxx", "cannot be used: File name too long", folder)


def test_a_store_in_use_passes_and_is_not_disturbed(folder: Path) -> None:
    path = folder / "store.db"
    connection = apsw.Connection(str(path))
    connection.pragma("locking_mode", "EXCLUSIVE")
    connection.pragma("journal_mode", "WAL")
    connection.execute("CREATE TABLE mine (n)")
    result = run("config", "check", environ={"STREAMD_STORE__URL": f"sqlite:{path}"})
    connection.execute("INSERT INTO mine VALUES (1)")
    connection.close()
    assert result.exit_code == 0, result.output


def test_the_default_store_is_not_created(folder: Path) -> None:
    assert run("config", "check").exit_code == 0
    assert not list((folder / "work").iterdir())
    (folder / "work" / "streamd.db").write_text("this is no database" * 100)
    check_refused({}, "store.url: streamd.db", "it is no SQLite database", folder)


@pytest.mark.parametrize("name", ["missing/log.db", "x" * 300, "text.db"])
def test_a_log_in_a_file_of_its_own(folder: Path, name: str) -> None:
    (folder / "text.db").write_text("no database " * 100)
    environ = {"STREAMD_LOG__URL": f"sqlite:{folder}/{name}", "STREAMD_STORE__URL": "memory:"}
    check_refused(environ, "log.url: ", "cannot be used: ", folder)
