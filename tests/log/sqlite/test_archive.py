"""The file of a log without a server: statistics, export, import and backup."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from streamd.clock import SteadyClock
from streamd.events import EARLIEST, Event, EventId
from streamd.events.topics import ALL
from streamd.log.settings import LogSettings
from streamd.log.sqlite import archive
from streamd.log.sqlite.schema import to_number
from tests.support.clocks import WallClock
from tests.support.damage import damage
from tests.support.logs import MANY, append, data, draft, read, settle, sqlite_log, topics

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def export(path: Path, after: EventId = EARLIEST) -> list[bytes]:
    return b"".join(page.lines for page in archive.export(str(path), after)).splitlines(keepends=True)


def import_(path: Path, lines: list[bytes], wall: datetime = NOW) -> archive.Import:
    work = archive.Import(str(path), wall)
    for _ in work.run(lines):
        pass
    return work


async def make(path: Path, count: int = 3) -> list[EventId]:
    """Make a log with events of every kind of data, and return their ids."""
    kinds: list[Any] = ["text\nof two lines", b"\xff\x00", {"n": 1.50}, [], None, ""]
    async with sqlite_log(path) as log:
        drafts = [
            draft(["all", f"t/{n % 3}"], kinds[n % 6], type="odd" if n % 2 else None) for n in range(count)
        ]
        return [receipt.id for receipt in await log.append(drafts)] if drafts else []


async def events(path: Path, after: EventId = EARLIEST) -> list[Event]:
    """Read all events as a server does."""
    async with sqlite_log(path) as log:
        page = await log.read(ALL, after, **MANY)
        assert page.gap is None
        return list(page.events)


# --- statistics and export -----------------------------------------------------------------------------


async def test_statistics_of_an_empty_log(tmp_path: Path) -> None:
    await make(tmp_path / "a.db", 0)
    found = archive.statistics(str(tmp_path / "a.db"))
    assert (found.events, found.bytes, found.topics, found.first, found.last, found.largest) == (
        (0, 0, 0, None, None, [])
    )
    assert (found.keys, found.starts) == (0, 1)
    assert export(tmp_path / "a.db") == []


async def test_statistics_count_events_and_list_the_largest_topics(tmp_path: Path) -> None:
    ids = await make(tmp_path / "a.db", 7)
    found = archive.statistics(str(tmp_path / "a.db"), largest=2)
    assert (found.events, found.topics, found.first, found.last) == (7, 4, ids[0], ids[-1])
    assert [(name, count) for name, count, _ in found.largest] == [("all", 7), ("t/0", 3)]
    assert found.bytes == found.largest[0][2]
    assert found.file_bytes >= (tmp_path / "a.db").stat().st_size


async def test_an_export_is_every_event_in_order_across_pages(tmp_path: Path) -> None:
    count = 2 * archive.PAGE_EVENTS + 1
    ids = await make(tmp_path / "a.db", count)
    lines = export(tmp_path / "a.db")
    assert lines == [event.json + b"\n" for event in await events(tmp_path / "a.db")]
    assert len(lines) == archive.count_after(str(tmp_path / "a.db"), EARLIEST) == count
    for index in (0, archive.PAGE_EVENTS - 1, archive.PAGE_EVENTS, count - 2, count - 1):
        assert export(tmp_path / "a.db", ids[index]) == lines[index + 1 :]
    assert export(tmp_path / "a.db", EventId("9999999999999-999999")) == []


async def test_pages_of_an_export_are_bounded_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_PAGE_BYTES", 100)
    await make(tmp_path / "a.db", 20)
    pages = list(archive.export(str(tmp_path / "a.db"), EARLIEST))
    assert len(pages) > 5
    assert b"".join(page.lines for page in pages).count(b"\n") == 20


async def test_damaged_events_are_named_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    ids = await make(path, 4)
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


# --- import --------------------------------------------------------------------------------------------


async def test_an_import_into_a_new_file_is_the_same_log(tmp_path: Path) -> None:
    count = archive.PAGE_EVENTS + 5
    ids = await make(tmp_path / "a.db", count)
    lines = export(tmp_path / "a.db")
    work = import_(tmp_path / "b.db", lines)
    assert (work.imported, work.skipped) == (count, 0)
    assert export(tmp_path / "b.db") == lines
    assert [event.json + b"\n" for event in await events(tmp_path / "b.db")] == lines
    async with sqlite_log(tmp_path / "b.db") as log:
        for index in (0, 500, count - 1):
            page = await log.read(topics("all"), ids[index], **MANY)
            assert ([event.id for event in page.events], page.gap) == (ids[index + 1 :], None)
        assert (await append(log, "all"))[0] > ids[-1]
        assert log.statistics()["events"] == count + 1


async def test_an_import_can_be_repeated_and_a_longer_one_go_on(tmp_path: Path) -> None:
    await make(tmp_path / "a.db", 10)
    lines = export(tmp_path / "a.db")
    import_(tmp_path / "b.db", lines[:4])
    work = import_(tmp_path / "b.db", [b"\n", *lines, b" \n", *lines[-2:]])
    assert (work.imported, work.skipped) == (6, 6)
    assert export(tmp_path / "b.db") == lines


async def test_an_import_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    await make(tmp_path / "a.db", 2 * archive.PAGE_EVENTS)
    lines = export(tmp_path / "a.db")
    with closing(archive.Import(str(path), NOW).run(lines)) as steps:
        assert next(steps) == archive.PAGE_EVENTS
    assert not path.exists(), "a file that it made is deleted"
    await make(path, 0)
    with closing(archive.Import(str(path), NOW).run(lines)) as steps:
        next(steps)
    assert export(path) == []
    import_(path, lines)
    assert export(path) == lines


def line(id: str = "1700000000000-000001", **members: Any) -> bytes:
    known = {"id": id, "type": "message", "topics": ["a"], "data": "x"}
    return msgspec.json.encode({**known, **members}) + b"\n"


@pytest.mark.parametrize(
    "wrong",
    [
        b"{",
        b"no JSON\n",
        b"[]\n",
        b"null\n",
        b"\xff\n",
        b'{"id":"1"}\n',
        line(id="earliest"),
        line(id="0000000000000-000000"),
        line(id="x"),
        line(id="9999999999999-000000"),
        line(topics=[]),
        line(topics=["a", "a"]),
        line(topics=["a\nb"]),
        line(topics=[""]),
        line(type=""),
        line(type="a\nid: 5"),
        line(type="gap"),
        line(retry=-1),
        line(encoding="base64"),
        line(surprise=1),
        b"[" * 100_000 + b"\n",
    ],
)
async def test_a_wrong_line_is_named_and_nothing_is_imported(tmp_path: Path, wrong: bytes) -> None:
    path = tmp_path / "a.db"
    await make(path, 0)
    async with sqlite_log(path) as log:
        start = log.start
    good = [line(f"1700000000000-{n:06d}") for n in range(1, archive.PAGE_EVENTS + 10)]
    with pytest.raises(archive.ArchiveError, match=rf"^line {len(good) + 1} "):
        import_(path, [*good, wrong])
    assert export(path) == []
    async with sqlite_log(path) as log:
        assert log.lost_until(EventId(start[:-1] + "1")) is not None, "the starts are still known"


async def test_events_must_be_newer_than_those_of_the_log_or_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    first, second, third = (f"1700000000000-00000{n}" for n in (1, 2, 3))
    import_(path, [line(first), line(third)])
    for lines, text in (
        ([line(second)], r"line 1: the event .* is not in the log"),
        ([line(third), line(first, data="y")], "line 2: the log has another event"),
        ([line("1700000000001-000000"), line(second)], r"line 2: .* is not in the log"),
    ):
        with pytest.raises(archive.ArchiveError, match=text):
            import_(path, lines)
        assert len(export(path)) == 2
    assert import_(path, [line(third), line("1700000000001-000000")]).imported == 1


async def test_events_that_the_log_has_dropped_do_not_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    import_(path, [line()])
    async with sqlite_log(path) as log:
        await append(log, "a")
    damage(path, "DELETE FROM log_events WHERE id = (SELECT min(id) FROM log_events)")
    with pytest.raises(archive.ArchiveError, match=r"line 1: .*import into an empty log"):
        import_(path, [line()])


@pytest.mark.parametrize("step_days", [-30, 0, 30])
async def test_the_age_of_imported_events_counts_from_the_import_also_after_a_step_of_the_clock(
    tmp_path: Path, step_days: int
) -> None:
    path = tmp_path / "a.db"
    wall = WallClock()
    async with sqlite_log(path, clock=SteadyClock(wall)) as log:
        wall.step(86_400 * step_days)
        await log.database.write(lambda db: None)
    import_(path, [line()], wall())
    for hours, count in ((23.0, 1), (0.000_001, 0)):
        settings = LogSettings(max_age_seconds=3600 * hours, topic_max_age_seconds=3600 * hours)
        async with sqlite_log(path, clock=SteadyClock(wall), settings=settings) as log:
            assert len((await read(log, topics("a"))).events) == count


async def test_a_log_of_a_newer_version_is_not_imported_into(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await make(path, 1)
    damage(path, "UPDATE migrations SET version = 99 WHERE component = 'log'")
    with pytest.raises(archive.ArchiveError, match="version 99"):
        import_(path, [line()])


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
        copy = await events(tmp_path / f"{round}.db")
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
    await make(tmp_path / "a.db", 1)
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
