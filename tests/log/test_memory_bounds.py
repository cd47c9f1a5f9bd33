"""The log in memory bounds what its events take beside their text, too."""

from streamd.events import Draft, EventSettings
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings

TOPICS = 16


def named(number: int) -> Draft:
    """Make an event under topics of its own."""
    return Draft.create([f"{number}/{each}" for each in range(TOPICS)], "", limits=EventSettings())


async def test_the_topics_of_all_events_are_bounded_with_their_number() -> None:
    log = MemoryLog(LogSettings(max_events=100, topic_max_events=100))
    for number in range(300):
        await log.append([named(number)])
    assert log.statistics()["topics"] == 400
    assert log.statistics()["events"] == 25


async def test_events_of_few_topics_are_kept_up_to_their_number() -> None:
    log = MemoryLog(LogSettings(max_events=100, topic_max_events=100))
    for number in range(3):
        await log.append([named(number)])
    for number in range(300):
        await log.append([Draft.create([f"{number}/a", f"{number}/b"], "", limits=EventSettings())])
    assert log.statistics()["events"] == 100
    assert log.statistics()["topics"] == 200
