"""The log in SQLite over the end of its process: what is kept, and which cursors get a gap."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from streamd.errors import ConfigError
from streamd.events import EARLIEST, EventId
from streamd.events.ids import make_event_id, split_event_id
from streamd.events.topics import ALL
from streamd.log.boundaries import Boundaries, Boundary
from streamd.log.settings import LogSettings
from streamd.log.sqlite.schema import COMPONENT, to_event_id, to_number
from tests.support.logs import MANY, NOON_MS, IdClock, append, data, draft, read, settle, sqlite_log, topics


def later(event_id: EventId, ms: int = 1) -> EventId:
    """Return an id that was never given out, some milliseconds after another."""
    return make_event_id(split_event_id(event_id)[0] + ms, 7)


async def test_events_are_read_after_a_restart_from_any_cursor(tmp_path: Path) -> None:
    clock, path = IdClock(), tmp_path / "log.db"
    async with sqlite_log(path, clock) as log:
        before = [log.start, *await append(log, "a", "b", "a")]
    clock.ms += 5000
    async with sqlite_log(path, clock) as log:
        assert log.start == log.head > before[-1]
        assert (await log.read(ALL, log.head, **MANY)).events == []
        after = await append(log, "a")
        for index, cursor in enumerate([EARLIEST, *before]):
            page = await read(log, ALL, cursor)
            assert [event.id for event in page.events] == [*before[max(index, 1) :], *after]
            assert page.gap is None
        assert data(await read(log, topics("a"), before[1])) == ["a", "a"]


async def test_a_cursor_between_the_last_event_and_the_start_gets_a_gap(tmp_path: Path) -> None:
    clock, path = IdClock(), tmp_path / "log.db"
    async with sqlite_log(path, clock) as log:
        [last] = await append(log, "a")
    clock.ms += 5000
    async with sqlite_log(path, clock) as log:
        start = log.start
        lost = later(last)
        assert last < lost < start
        for _ in range(2):  # also when the log has gone on, and the cursor is not beyond its head any more
            page = await read(log, topics("a"), lost)
            assert page.gap == start
            assert (await read(log, topics("a"), last)).gap is None
            assert (await read(log, topics("a"), start)).gap is None
            await append(log, "a")
    clock.ms += 5000
    async with sqlite_log(path, clock) as log:  # an older boundary is known, too
        assert (await read(log, topics("a"), lost)).gap == start
        assert (await read(log, topics("a"), last)).gap is None
        assert data(await read(log, topics("a"), lost)) == ["a", "a"]


@pytest.mark.parametrize("set_by_ms", [0, -3_600_000, 1])
async def test_new_ids_follow_the_last_one_whatever_the_clock_says(tmp_path: Path, set_by_ms: int) -> None:
    clock, path = IdClock(), tmp_path / "log.db"
    ids: list[EventId] = []
    for _ in range(4):
        async with sqlite_log(path, clock) as log:
            ids += [log.start, *await append(log, "a", "a")]
        clock.ms += set_by_ms
    assert ids == sorted(set(ids))


async def test_a_file_restored_from_a_backup_reports_a_gap_to_those_who_saw_more(tmp_path: Path) -> None:
    clock, path = IdClock(), tmp_path / "log.db"
    async with sqlite_log(path, clock) as log:
        [kept] = await append(log, "a")
    shutil.copy(path, tmp_path / "backup.db")
    clock.ms += 1000
    async with sqlite_log(path, clock) as log:
        [lost] = await append(log, "a")
    shutil.copy(tmp_path / "backup.db", path)
    clock.ms += 1000
    async with sqlite_log(path, clock) as log:
        await append(log, "a")
        assert (await read(log, topics("a"), lost)).gap == log.start
        page = await read(log, topics("a"), kept)
        assert (len(page.events), page.gap) == (1, None)


async def test_keys_records_and_ends_of_appends_outlive_the_process(tmp_path: Path) -> None:
    clock, path = IdClock(), tmp_path / "log.db"
    settings = LogSettings(topic_max_events=2)
    async with sqlite_log(path, clock, settings) as log:
        [first] = await log.append([draft("a", 1, key="k")], publisher="p")
        dropped = await append(log, "a", "a", "a")
        await settle(log)
    async with sqlite_log(path, clock, settings) as log:
        [again] = await log.append([draft("a", 1, key="k")], publisher="p")
        assert (again.id, again.duplicate) == (first.id, True)
        assert (await read(log, topics("a"), first.id)).gap == dropped[0]
        assert await log.end_of_append(dropped[1]) == dropped[2]
        assert log.statistics() == {"events": 2, "bytes": 2 * 9, "topics": 1}


async def test_expiry_goes_on_after_a_restart(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    settings = LogSettings(max_age_seconds=60)
    path = tmp_path / "log.db"
    async with sqlite_log(path, settings=settings) as log:
        await append(log, "a")
        mock_clock.jump(30)
        await append(log, "b")
    async with sqlite_log(path, settings=settings) as log:
        assert data(await read(log, ALL)) == ["a", "b"]
        mock_clock.jump(40)
        assert data(await read(log, ALL)) == ["b"]


async def test_fewer_events_are_kept_when_the_bounds_shrink_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with sqlite_log(path) as log:
        ids = await append(log, *["a"] * 2000, "b")
    async with sqlite_log(path, settings=LogSettings(topic_max_events=10)) as log:
        assert len((await read(log, topics("a"))).events) == 10
        assert (await read(log, topics("a"), ids[0])).gap == ids[1989]
        assert (await read(log, topics("b"), ids[0])).gap is None


async def test_a_log_of_a_newer_version_is_refused_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with sqlite_log(path) as log:
        await append(log, "a")
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE migrations SET version = 99 WHERE component = ?", (COMPONENT,))
        db.commit()
    with pytest.raises(ConfigError, match="newer") as caught:
        try:
            async with sqlite_log(path, setting="log.url"):
                pass
        except* ConfigError as group:
            raise group.exceptions[0] from None
    assert caught.value.field == "log.url"


# --- boundaries -----------------------------------------------------------------------------------------


def at(ms: int, sequence: int = 0) -> EventId:
    return make_event_id(NOON_MS + ms, sequence)


def test_boundaries_tell_lost_cursors_from_sound_ones() -> None:
    boundaries = Boundaries([Boundary(at(20), at(10)), Boundary(at(0), EARLIEST)])
    boundaries.add(Boundary(at(40), at(30, 5)))
    head = at(50)
    for cursor, lost in (
        (EARLIEST, None),
        (EventId("0000000000000-000001"), at(0)),
        (at(-1), at(0)),
        (at(0), None),
        (at(5), None),
        (at(10), None),
        (at(10, 1), at(20)),
        (at(19, 999_999), at(20)),
        (at(20), None),
        (at(30, 5), None),
        (at(30, 6), at(40)),
        (at(40), None),
        (at(50), None),
        (at(50, 1), at(40)),
    ):
        assert boundaries.lost_until(cursor, head) == lost, cursor
    assert boundaries.start == at(40)


@pytest.mark.parametrize("event_id", [EARLIEST, at(0), at(3, 999_999), make_event_id(8_000_000_000_000, 0)])
def test_numbers_stand_for_ids_in_the_same_order(event_id: EventId) -> None:
    assert to_event_id(to_number(event_id)) == event_id
    assert to_number(event_id) < to_number(make_event_id(*(part + 1 for part in split_event_id(event_id))))
