"""The records of drops that readers by pattern search: those of the file, read once and kept up to date."""

import sys
from pathlib import Path

import pytest
import trio

from streamd.log.settings import LogSettings
from streamd.log.sqlite import dropped as dropped_module
from streamd.log.truncation import TruncationRecords
from tests.support.logs import append, pattern, read, settle, sqlite_log

BOUNDS = LogSettings(topic_max_events=1)


async def test_records_are_read_from_the_file_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropped_module, "_READ_AT_ONCE", 3)
    names = [f"t/{number}" for number in range(10)]
    async with sqlite_log(tmp_path / "log.db", settings=BOUNDS) as log:
        [quiet] = await append(log, "quiet")
        first = await append(log, *names)
        await append(log, *names)
        await settle(log)
    async with sqlite_log(tmp_path / "log.db", settings=BOUNDS) as log:
        for name, event_id in zip(names, first, strict=True):
            assert (await log.read(pattern(f"{name}/**"), quiet, max_events=9, max_bytes=999)).gap is None
            page = await log.read(pattern(name), quiet, max_events=9, max_bytes=999)
            assert page.gap == event_id
        assert (await read(log, pattern("t/*"), quiet)).gap == first[-1]


async def test_the_event_loop_takes_over_no_records_that_are_read(tmp_path: Path) -> None:
    names = [f"t/{number}" for number in range(50)]
    async with sqlite_log(tmp_path / "log.db", settings=BOUNDS) as log:
        [quiet] = await append(log, "quiet")
        await append(log, *names)
        await append(log, *names)
        await settle(log)
    async with sqlite_log(tmp_path / "log.db", settings=BOUNDS) as log:
        called = set()
        sys.setprofile(lambda frame, event, _: called.add(frame.f_code))  # of this thread
        try:
            assert (await read(log, pattern("t/*"), quiet)).gap is not None
        finally:
            sys.setprofile(None)
    assert TruncationRecords.find.__code__ in called
    assert TruncationRecords.record.__code__ not in called


async def test_drops_after_the_first_search_are_found(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "log.db", settings=BOUNDS) as log:
        [quiet] = await append(log, "quiet")
        assert (await read(log, pattern("t/*"), quiet)).gap is None
        for _ in range(3):
            [event_id] = await append(log, "t/1")
            await append(log, "t/1")
            page = await read(log, pattern("t/*"), quiet)
            assert page.gap is not None
            assert page.gap >= event_id
            assert (await read(log, pattern("u/*"), quiet)).gap is None


async def test_a_page_and_its_gap_are_of_one_moment(tmp_path: Path) -> None:
    """An event is in the page of a reader that resumes, or reported as a gap, and never both or neither."""
    async with sqlite_log(tmp_path / "log.db", settings=LogSettings(topic_max_events=2)) as log:
        [quiet] = await append(log, "quiet")
        published: list[str] = []
        is_done = False

        async def publish() -> None:
            nonlocal is_done
            for _ in range(30):
                published.extend(await append(log, "t/1"))
                await settle(log)
            is_done = True

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            while not is_done:
                known = list(published)
                page = await log.read(pattern("t/*"), quiet, max_events=99, max_bytes=9999)
                ids = [event.id for event in page.events]
                assert page.gap is None or all(event_id > page.gap for event_id in ids)
                lost = set(known) - set(ids)
                assert not lost or page.gap is not None
                assert all(event_id <= (page.gap or "") for event_id in lost)
