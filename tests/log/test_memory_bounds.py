"""The bounds of the memory log: many events are dropped at once, and their topics count."""

import trio
from trio.testing import MockClock

from streamd.events import EARLIEST, Draft, EventSettings, Selectors
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from tests.support.logs import draft

ALL_OF_A = Selectors(topics=["a"])
TOPICS = 16


def named(number: int, topics: int = TOPICS) -> Draft:
    """Make an event under topics of its own."""
    return Draft.create([f"{number}/{each}" for each in range(topics)], "", limits=EventSettings())


class Passes(trio.abc.Instrument):
    """Counts the passes of the event loop."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_a_full_topic_never_exceeds_its_bound_and_keeps_nearly_all_of_it() -> None:
    log = MemoryLog(LogSettings(topic_max_events=1_000))
    [first] = await log.append([draft("b")])
    kept = []
    for number in range(3_000):
        await log.append([draft("a", str(number))])
        kept.append(log.statistics()["events"] - 1)
    assert kept[:1_000] == list(range(1, 1_001))
    assert max(kept) == 1_000
    assert min(kept[1_000:]) == 1_000 - 7
    page = await log.read(ALL_OF_A, first.id, max_events=5_000, max_bytes=10_000_000)
    assert [event.data for event in page.events] == [str(n) for n in range(3_000 - kept[-1], 3_000)]
    assert page.gap is not None
    assert page.gap < page.events[0].id


async def test_a_full_log_drops_the_oldest_of_all_topics() -> None:
    log = MemoryLog(LogSettings(max_events=1_000))
    for number in range(2_000):
        await log.append([draft(f"t/{number % 300}", str(number))])
    statistics = log.statistics()
    assert 1_000 - 7 <= statistics["events"] <= 1_000
    assert statistics["topics"] == 300
    page = await log.read(Selectors(topics=["t/7"]), EARLIEST, max_events=100, max_bytes=1_000_000)
    assert [event.data for event in page.events] == ["1207", "1507", "1807"]


async def test_one_large_event_takes_the_place_of_as_many_small_ones_as_it_needs() -> None:
    log = MemoryLog(LogSettings(topic_max_bytes=10_000))
    for _ in range(500):
        await log.append([draft("a", "x" * 12)])  # 20 bytes, with topic and type
    assert log.statistics() == {"events": 500, "bytes": 10_000, "topics": 1}
    await log.append([draft("a", "x" * 5_000)])
    statistics = log.statistics()
    assert statistics["bytes"] <= 10_000
    assert statistics["events"] == 500 - 251 - 3 + 1  # three are a 128th of what was kept


async def test_events_that_expire_together_are_dropped_in_pieces(autojump_clock: MockClock) -> None:
    log = MemoryLog(LogSettings(topic_max_age_seconds=10))
    await log.append([draft("a", str(number)) for number in range(5_500)])
    await trio.sleep(11)
    passes = Passes()
    trio.lowlevel.add_instrument(passes)
    page = await log.read(ALL_OF_A, EARLIEST, max_events=9_000, max_bytes=10_000_000)
    assert page.events == []
    assert log.statistics() == {"events": 0, "bytes": 0, "topics": 0}
    assert passes.count >= 5


async def test_the_topics_of_all_events_are_bounded_with_their_number() -> None:
    log = MemoryLog(LogSettings(max_events=100, topic_max_events=100))
    for number in range(300):
        await log.append([named(number)])
    # Three on average besides the first.
    assert log.statistics()["events"] == 20
    assert log.statistics()["topics"] == 20 * TOPICS


async def test_events_of_few_topics_are_kept_up_to_their_number() -> None:
    log = MemoryLog(LogSettings(max_events=100, topic_max_events=100))
    for number in range(3):
        await log.append([named(number)])
    for number in range(300):
        await log.append([named(number, topics=2)])
    assert log.statistics()["events"] == 100
    assert log.statistics()["topics"] == 200
