"""Moving what is alive, and freeing what was dropped, loses nothing and brings nothing back."""

from collections.abc import AsyncIterator

import pytest

from streamd.events.topics import ALL
from streamd.log.redis import RedisLog, scripts
from streamd.log.settings import LogSettings
from streamd.redis import RedisLink
from tests.support.logs import IdClock, MakeLog, append, clock, data, make_log, read, settle, topics
from tests.support.redis_links import open_link

__all__ = ["clock", "make_log"]  # the fixtures

pytestmark = pytest.mark.parametrize("make_log", ["redis"], indirect=True)


@pytest.fixture
async def link() -> AsyncIterator[RedisLink]:
    async with open_link() as link:
        yield link


async def open_log(make_log: MakeLog, clock: IdClock, settings: LogSettings) -> RedisLog:
    log = await make_log(settings, clock)
    assert isinstance(log, RedisLog)
    return log


async def move(log: RedisLog, link: RedisLink, stream: int) -> list[int]:
    """Move all entries of a stream, and return the numbers of entries and of freed events."""
    moved: list[int] = await scripts.COMPACT.run(link, log.prefix, stream, 100, "+", 0)
    return moved


async def test_a_batch_without_dropped_events_moves_and_is_announced(
    make_log: MakeLog, clock: IdClock, link: RedisLink
) -> None:
    log = await open_log(make_log, clock, LogSettings())
    ids = await append(log, *["a"] * 5)
    assert await move(log, link, 2) == [1, 0]
    [[moved, _]] = await link.call(b"XRANGE", f"{log.prefix}:log:moved", b"-", b"+")
    assert moved.decode() == "-".join(str(int(part)) for part in ids[-1].split("-"))
    assert await move(log, link, 1) == [1, 0]
    for selectors in (topics("a"), ALL):
        assert [event.id for event in (await read(log, selectors)).events] == ids


async def test_a_topic_whose_record_was_forgotten_does_not_get_dropped_events_back(
    make_log: MakeLog, clock: IdClock, link: RedisLink
) -> None:
    log = await open_log(make_log, clock, LogSettings(topic_max_events=1))
    await append(log, "x", "t", "t", "y")  # one entry: the first t is dropped, and not freed
    await settle(log)
    log.apply_settings(LogSettings(max_events=2, topic_max_events=1))
    await append(log, "x", "y")  # drops the other t as well
    await settle(log)
    await move(log, link, 2)
    log.apply_settings(LogSettings())
    [last] = await append(log, "t")
    await settle(log)
    assert [event.id for event in (await read(log, topics("t"))).events] == [last]
    assert data(await read(log, ALL)) == ["x", "y", "t"]
    assert log.statistics()["events"] == 3
