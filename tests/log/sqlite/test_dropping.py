"""The log drops what exceeds its bounds in few transactions, however often it is appended to."""

from pathlib import Path

import trio
import trio.testing

from streamd.log.settings import LogSettings
from streamd.log.sqlite import SQLiteLog
from tests.support.logs import MANY, append, draft, sqlite_log, topics


async def until_kept(log: SQLiteLog, events: int, mock_clock: trio.testing.MockClock) -> None:
    """Let the time pass until the log has dropped all but so many events."""
    while log.statistics()["events"] > events:
        await trio.lowlevel.checkpoint()
        mock_clock.jump(0.01)


async def test_single_appends_at_a_bound_share_the_transaction_that_drops(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with (
        sqlite_log(tmp_path / "log.db", settings=LogSettings(topic_max_events=10)) as log,
        trio.open_nursery() as nursery,
    ):
        writes: list[float] = []
        log.database.observe_write = writes.append
        nursery.start_soon(log.run)
        await append(log, *["a"] * 10)
        for _ in range(100):
            await append(log, "a")
        assert log.statistics()["events"] == 110
        assert len(writes) == 101
        await until_kept(log, 10, mock_clock)
        await append(log, "a")
        assert len(writes) == 103
        nursery.cancel_scope.cancel()


async def test_a_large_excess_is_dropped_at_once(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    async with (
        sqlite_log(tmp_path / "log.db", settings=LogSettings(topic_max_events=10)) as log,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(log.run)
        await append(log, *["a"] * 1000)
        while log.statistics()["events"] > 10:  # the clock stands still
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_many_topics_at_their_bound_share_a_transaction(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with (
        sqlite_log(tmp_path / "log.db", settings=LogSettings(topic_max_events=2)) as log,
        trio.open_nursery() as nursery,
    ):
        writes: list[float] = []
        names = [f"t/{number}" for number in range(50)]
        await append(log, *names * 3)
        log.database.observe_write = writes.append
        nursery.start_soon(log.run)
        await until_kept(log, 100, mock_clock)
        await append(log, "a")
        assert len(writes) == 2
        nursery.cancel_scope.cancel()


async def test_an_event_of_two_full_topics_counts_for_both(tmp_path: Path) -> None:
    async with sqlite_log(tmp_path / "log.db", settings=LogSettings(topic_max_events=10)) as log:
        await log.append([draft(["a", "b"])] * 15)
        await log.append([draft("b")])
        await log.trim()
        assert len((await log.read(topics("a"), log.start, **MANY)).events) == 9
        assert len((await log.read(topics("b"), log.start, **MANY)).events) == 10
