"""Pages become smaller while reading is slow, and the replay is the same."""

from pathlib import Path

import apsw
import pytest

from streamd.events import EARLIEST
from streamd.log.sqlite.pace import PagePace
from streamd.log.sqlite.reader import PageQuery, RawPage
from tests.support.logs import append, sqlite_log, topics


def test_slow_pages_shrink_and_fast_ones_grow_within_bounds() -> None:
    pace = PagePace()
    sizes = []
    for seconds in [1.0] * 10 + [0.01] * 3 + [0.0] * 10:
        pace.note(pace.max_events, seconds)
        sizes.append(pace.max_events)
    assert sizes[:9] == [2048, 1024, 512, 256, 128, 64, 32, 16, 16]
    assert sizes[10:13] == [16] * 3
    assert sizes[13:] == [32, 64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096]


async def test_a_slow_disk_makes_small_pages_of_the_same_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    read = PageQuery.read

    def read_noted(query: PageQuery, db: apsw.Connection) -> RawPage:
        limits.append(query.max_events)
        return read(query, db)

    monkeypatch.setattr(PageQuery, "read", read_noted)
    monkeypatch.setattr("streamd.log.sqlite.pace._SLOW_SECONDS", -1.0)  # every page is slow
    async with sqlite_log(tmp_path / "log.db") as log:
        published = await append(log, *["a"] * 500)
        ids = []
        cursor = EARLIEST
        while cursor < log.head:
            page = await log.read(topics("a"), cursor, max_events=128, max_bytes=1_000_000)
            ids += [event.id for event in page.events]
            cursor = page.cursor
        assert ids == published
        assert limits[0] == 128
        assert limits[-1] == 16
