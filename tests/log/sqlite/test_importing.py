"""The import of exported events: all of them or none, with their ids, into a log without newer events."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamd.clock import SteadyClock
from streamd.events import EventId
from streamd.log.settings import LogSettings
from streamd.log.sqlite.archive import ArchiveError
from streamd.log.sqlite.importing import BATCH_EVENTS, Import
from tests.support.clocks import WallClock
from tests.support.damage import damage
from tests.support.log_files import events_of, exported, make_file
from tests.support.logs import append, read, sqlite_log, topics

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def import_(path: Path, lines: list[bytes], wall: datetime = NOW) -> Import:
    work = Import(str(path), wall)
    for _ in work.run(lines):
        pass
    return work


async def test_an_import_into_a_new_file_is_the_same_log(tmp_path: Path) -> None:
    count = BATCH_EVENTS + 5
    ids = await make_file(tmp_path / "a.db", count)
    lines = exported(tmp_path / "a.db")
    work = import_(tmp_path / "b.db", lines)
    assert (work.imported, work.skipped) == (count, 0)
    assert exported(tmp_path / "b.db") == lines
    assert [event.json + b"\n" for event in await events_of(tmp_path / "b.db")] == lines
    async with sqlite_log(tmp_path / "b.db") as log:
        for index in (0, 500, count - 1):
            page = await read(log, topics("all"), ids[index])
            assert ([event.id for event in page.events], page.gap) == (ids[index + 1 :], None)
        assert (await append(log, "all"))[0] > ids[-1]
        assert log.statistics()["events"] == count + 1


async def test_an_import_can_be_repeated_and_a_longer_one_go_on(tmp_path: Path) -> None:
    await make_file(tmp_path / "a.db", 10)
    lines = exported(tmp_path / "a.db")
    import_(tmp_path / "b.db", lines[:4])
    work = import_(tmp_path / "b.db", [b"\n", *lines, b" \n", *lines[-2:]])
    assert (work.imported, work.skipped) == (6, 6)
    assert exported(tmp_path / "b.db") == lines


async def test_an_import_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    await make_file(tmp_path / "a.db", 2 * BATCH_EVENTS)
    lines = exported(tmp_path / "a.db")
    with closing(Import(str(path), NOW).run(lines)) as steps:
        assert next(steps) == BATCH_EVENTS
    assert not path.exists(), "a file that it made is deleted"
    await make_file(path, 0)
    with closing(Import(str(path), NOW).run(lines)) as steps:
        next(steps)
    assert exported(path) == []
    import_(path, lines)
    assert exported(path) == lines


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
    await make_file(path, 0)
    async with sqlite_log(path) as log:
        start = log.start
    good = [line(f"1700000000000-{n:06d}") for n in range(1, BATCH_EVENTS + 10)]
    with pytest.raises(ArchiveError, match=rf"^line {len(good) + 1} "):
        import_(path, [*good, wrong])
    assert exported(path) == []
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
        with pytest.raises(ArchiveError, match=text):
            import_(path, lines)
        assert len(exported(path)) == 2
    assert import_(path, [line(third), line("1700000000001-000000")]).imported == 1


async def test_events_that_the_log_has_dropped_do_not_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    import_(path, [line()])
    async with sqlite_log(path) as log:
        await append(log, "a")
    damage(path, "DELETE FROM log_events WHERE id = (SELECT min(id) FROM log_events)")
    with pytest.raises(ArchiveError, match=r"line 1: .*import into an empty log"):
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
    await make_file(path, 1)
    damage(path, "UPDATE migrations SET version = 99 WHERE component = 'log'")
    with pytest.raises(ArchiveError, match="version 99"):
        import_(path, [line()])
