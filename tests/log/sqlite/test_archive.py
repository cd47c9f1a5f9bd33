"""The file of a log without a server: statistics, export and backup."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest

from streamd.events import EARLIEST, EventId
from streamd.log.sqlite import archive
from streamd.log.sqlite.schema import to_number
from tests.support.damage import damage
from tests.support.log_files import events_of, exported, make_file
from tests.support.logs import MANY, append, data, read, settle, sqlite_log, topics

NOW = datetime(2030, 1, 1, tzinfo=UTC)


# --- statistics and export -----------------------------------------------------------------------------


async def test_statistics_of_an_empty_log(tmp_path: Path) -> None:
    await make_file(tmp_path / "a.db", 0)
    found = archive.statistics(str(tmp_path / "a.db"))
    assert (found.events, found.bytes, found.topics, found.first, found.last, found.largest) == (
        (0, 0, 0, None, None, [])
    )
    assert (found.keys, found.starts) == (0, 1)
    assert exported(tmp_path / "a.db") == []


async def test_statistics_count_events_and_list_the_largest_topics(tmp_path: Path) -> None:
    ids = await make_file(tmp_path / "a.db", 7)
    found = archive.statistics(str(tmp_path / "a.db"), largest=2)
    assert (found.events, found.topics, found.first, found.last) == (7, 4, ids[0], ids[-1])
    assert [(name, count) for name, count, _ in found.largest] == [("all", 7), ("t/0", 3)]
    assert found.bytes == found.largest[0][2]
    assert found.file_bytes >= (tmp_path / "a.db").stat().st_size


async def test_an_export_is_every_event_in_order_across_pages(tmp_path: Path) -> None:
    count = 2 * archive.PAGE_EVENTS + 1
    ids = await make_file(tmp_path / "a.db", count)
    lines = exported(tmp_path / "a.db")
    assert lines == [event.json + b"\n" for event in await events_of(tmp_path / "a.db")]
    assert len(lines) == archive.count_after(str(tmp_path / "a.db"), EARLIEST) == count
    for index in (0, archive.PAGE_EVENTS - 1, archive.PAGE_EVENTS, count - 2, count - 1):
        assert exported(tmp_path / "a.db", ids[index]) == lines[index + 1 :]
    assert exported(tmp_path / "a.db", EventId("9999999999999-999999")) == []


async def test_pages_of_an_export_are_bounded_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_PAGE_BYTES", 100)
    await make_file(tmp_path / "a.db", 20)
    pages = list(archive.export(str(tmp_path / "a.db"), EARLIEST))
    assert len(pages) > 5
    assert b"".join(page.lines for page in pages).count(b"\n") == 20


async def test_damaged_events_are_named_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    ids = await make_file(path, 4)
    for each in (ids[1], ids[3]):
        statement = "UPDATE log_events SET body = CAST(x'ff' AS TEXT), size = 'x' WHERE id = ?"
        damage(path, statement, to_number(each))
    damage(path, "UPDATE log_topics SET topic = CAST(x'ff' AS TEXT) WHERE topic = 't/1'")
    [page] = archive.export(str(path), EARLIEST)
    assert (page.count, page.damaged, page.last) == (2, [ids[1], ids[3]], ids[3])
    found = archive.statistics(str(path))
    assert found.events == 4
    assert "\ufffd" in [name for name, _, _ in found.largest]


async def test_only_a_log_of_this_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with pytest.raises(archive.ArchiveError, match="there is no file"):
        archive.check(str(path))
    path.write_bytes(b"no database " * 100)
    with pytest.raises(archive.ArchiveError, match="cannot be read"):
        archive.check(str(path))
    path.unlink()
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE migrations (component TEXT PRIMARY KEY, version INTEGER NOT NULL)")
    with pytest.raises(archive.ArchiveError, match="holds no event log"):
        archive.check(str(path))
    damage(path, "INSERT INTO migrations VALUES ('log', 99)")
    with pytest.raises(archive.ArchiveError, match="version 99"):
        archive.check(str(path))


# --- backup --------------------------------------------------------------------------------------------


async def test_a_backup_while_events_are_appended_is_a_prefix_of_the_log(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "a.db") as log:
        ids = []
        for round in range(5):
            ids += await append(log, *["a"] * 100)
            archive.back_up(log.database.path, str(tmp_path / f"{round}.db"))
        await settle(log)
        assert len(data(await read(log, topics("a")))) == 500
    for round in range(5):
        copy = await events_of(tmp_path / f"{round}.db")
        assert [event.id for event in copy] == ids[: 100 * (round + 1)]


async def test_a_cursor_beyond_a_restored_backup_gets_a_gap(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "a.db") as log:
        await append(log, "a")
        archive.back_up(log.database.path, str(tmp_path / "b.db"))
        [lost] = await append(log, "a")
    async with sqlite_log(tmp_path / "b.db") as log:
        page = await log.read(topics("a"), lost, **MANY)
        assert (page.events, page.gap) == ([], log.start)


async def test_a_backup_leaves_an_existing_target_and_no_part_of_its_own(tmp_path: Path) -> None:
    await make_file(tmp_path / "a.db", 1)
    target = tmp_path / "b.db"
    target.write_text("mine")
    with pytest.raises(archive.ArchiveError, match=r"b\.db cannot be created: File exists"):
        archive.back_up(str(tmp_path / "a.db"), str(target))
    assert target.read_text() == "mine"
    with pytest.raises(archive.ArchiveError, match="cannot be created: No such file"):
        archive.back_up(str(tmp_path / "a.db"), str(tmp_path / "no" / "b.db"))
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(archive.ArchiveError, match="File exists"):
        archive.back_up(str(tmp_path / "a.db"), str(tmp_path / "dangling"))
    with (tmp_path / "a.db").open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 4096)
    with pytest.raises(archive.ArchiveError):
        archive.back_up(str(tmp_path / "a.db"), str(tmp_path / "c.db"))
    assert not (tmp_path / "c.db").exists()
