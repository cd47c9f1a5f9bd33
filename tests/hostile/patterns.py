"""Attacks by selectors: patterns, replay, new topics."""

import itertools
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final
from urllib.parse import quote

import trio

from tests.hostile.attack import SMALL_LOG_BYTES, attack
from tests.hostile.target import Target, ask, ask_each, head, post, quietly

_FIRST: Final = "0000000000000-000001"
_TRUNCATED_TOPICS: Final = 5000
_REPLAYED: Final = 6000


def events(topics: Sequence[str], data: object = 1) -> bytes:
    """Build a request that publishes an event on each topic, at most a thousand."""
    return post("/events", json.dumps([{"topic": topic, "data": data} for topic in topics]).encode())


def subscribe(patterns: Sequence[str], cursor: str = "") -> bytes:
    """Build a request for an event stream."""
    query = "&".join(f"pattern={quote(pattern, safe='')}" for pattern in patterns)
    return head("GET", f"/events?{query}" + (f"&last_event_id={cursor}" if cursor else ""))


def _some(count: int, tail: str = "**") -> Iterator[list[str]]:
    """Yield lists of patterns, all of them different."""
    for number in itertools.count():
        yield [f"p{number}/*/{each}/*/{tail}" for each in range(count)]


async def _open_often(target: Target, requests: Iterator[bytes]) -> None:
    for request in requests:
        await quietly(partial(ask, target, request))


async def _hold(target: Target, request: bytes) -> None:
    async with await target.connect() as stream:
        await stream.send_all(request)
        while await stream.receive_some(65_536):
            pass


async def _fill(target: Target, count: int) -> None:
    """Publish events on topics of their own, in arrays of a thousand."""
    for first in range(0, count, 1000):
        await ask(target, events([f"full/{number}" for number in range(first, first + 1000)]))


@attack()
async def new_patterns(target: Target) -> None:
    """Subscribe to 60 new patterns in a URL, again and again."""
    await target.together(4, _open_often, map(subscribe, _some(60)))


@attack()
async def long_patterns(target: Target) -> None:
    """Subscribe to new patterns of 500 segments each."""
    requests = (
        subscribe([f"{number}/" + "*/" * 480 + f"{each}" for each in range(15)])
        for number in itertools.count()
    )
    await target.together(4, _open_often, requests)


@attack()
async def polled_patterns(target: Target) -> None:
    """Poll for 60 new patterns each time."""
    requests = (
        head("GET", "/events/poll?wait=0&" + "&".join(f"pattern={quote(each)}" for each in some))
        for some in _some(60)
    )
    await target.together(4, ask_each, requests)


@attack(seconds=4.0)
async def replay_of_nothing(target: Target) -> None:
    """Resume from the first of 6,000 events with 100 patterns that match none of them."""
    await _fill(target, _REPLAYED)
    await target.together(8, _open_often, (subscribe(each, _FIRST) for each in _some(90)))


@attack(seconds=4.0)
async def polled_replay_of_nothing(target: Target) -> None:
    """Poll 6,000 events with 90 patterns that match none of them."""
    await _fill(target, _REPLAYED)
    requests = (
        head(
            "GET",
            f"/events/poll?wait=0&after={_FIRST}&" + "&".join(f"pattern={quote(each)}" for each in some),
        )
        for some in _some(90)
    )
    await target.together(4, ask_each, requests)


@attack(seconds=4.0, options=("--log", "sqlite:{folder}/events.db", "--store", "sqlite:{folder}/tasks.db"))
async def replay_from_sqlite(target: Target) -> None:
    """Resume from the first of 6,000 events in SQLite with 90 patterns that match none of them."""
    await _fill(target, _REPLAYED)
    await target.together(8, _open_often, (subscribe(each, _FIRST) for each in _some(90)))


@attack(log__max_events=2000, log__topic_max_events=2000, tuning__hub__max_lag_events=2000, seconds=4.0)
async def new_topics(target: Target) -> None:
    """Publish on new topics to 100 subscribers of 90 patterns each."""
    async with trio.open_nursery() as nursery:
        for patterns in itertools.islice(_some(90), 100):
            nursery.start_soon(quietly, partial(_hold, target, subscribe(patterns)))
        await trio.sleep(1.0)
        for number in itertools.count():
            topics = [f"p{each}/a/{number}/b/{each}" for each in range(100)]
            await quietly(partial(ask, target, events(topics)))


@attack()
async def patterns_for_all(target: Target) -> None:
    """Publish to 50 subscribers of 90 patterns each, all of which match every event."""
    patterns = ["/".join(["*"] * count) + "/**" for count in range(1, 30)] + ["**"]
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(quietly, partial(_hold, target, subscribe(patterns)))
        await trio.sleep(0.5)
        for number in itertools.count():
            await quietly(partial(ask, target, events([f"{number}/" + "a/" * 28 + "b"] * 20)))


@attack(log__topic_max_events=1, seconds=4.0)
async def truncated_topics(target: Target) -> None:
    """Resume behind 5,000 topics that each have lost an event, with 90 patterns."""
    await _fill(target, _TRUNCATED_TOPICS)
    await _fill(target, _TRUNCATED_TOPICS)
    await target.together(8, _open_often, (subscribe(each, _FIRST) for each in _some(90)))


@attack(log__max_events=5000, log__topic_max_events=5000, tuning__hub__max_lag_events=5000, seconds=4.0)
async def truncated_log(target: Target) -> None:
    """Resume behind a log that has lost 5,000 topics, with 90 patterns."""
    await _fill(target, _TRUNCATED_TOPICS)
    await _fill(target, _TRUNCATED_TOPICS)
    await target.together(8, _open_often, (subscribe(each, _FIRST) for each in _some(90)))


@attack(log__max_bytes=SMALL_LOG_BYTES)
async def long_topics(target: Target) -> None:
    """Publish on 16 new topics of 1 kB each with every event."""
    for number in itertools.count():
        drafts = [
            {"topics": [f"{number}/{draft}/{each}/" + "t" * 950 for each in range(16)], "data": 1}
            for draft in range(60)
        ]
        await quietly(partial(ask, target, post("/events", json.dumps(drafts).encode())))


@attack()
async def replays(target: Target) -> None:
    """Read 6,000 events from the first on 20 streams at once, again and again."""
    await _fill(target, _REPLAYED)

    async def replay_often(target: Target) -> None:
        while True:
            with trio.move_on_after(0.5):
                await _hold(target, subscribe(["full/**"], _FIRST))

    await target.together(20, replay_often)
