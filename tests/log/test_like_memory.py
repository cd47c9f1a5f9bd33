"""Each log keeps, drops and replays exactly what the memory log does."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio
import trio.testing
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from streamd.errors import IdempotencyConflict
from streamd.events import EARLIEST, EventId, Pattern, Selectors
from streamd.events.ids import make_event_id
from streamd.log.port import ExpectedLast, Log
from streamd.log.settings import LogSettings, RetentionRule
from tests.support.logs import LOG_KINDS, NOON_MS, IdClock, draft, open_log, settle

NAMES = ("a", "b", "c/1", "c/2", "d/1")
SETTINGS = LogSettings(
    max_events=12,
    topic_max_events=5,
    max_bytes=500,
    topic_max_bytes=200,
    max_age_seconds=20,
    idempotency_seconds=30,
    max_idempotency_keys=4,
    retention=[
        RetentionRule(pattern="d/*", max_age_seconds=40),
        RetentionRule(pattern="c/1", max_events=2, max_age_seconds=5),
    ],
)
SELECTORS = (
    Selectors(topics=["a"]),
    Selectors(topics=["a", "c/1", "nothing"]),
    Selectors(patterns=[Pattern("c/*")]),
    Selectors(topics=["b"], patterns=[Pattern("d/**")]),
    Selectors(patterns=[Pattern("*")]),
)

appends = st.tuples(
    st.just("append"),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    st.integers(0, 80),
    st.sampled_from([None, None, "k", "l", "m"]),
)
jumps = st.tuples(st.just("jump"), st.floats(0.1, 15), st.integers(-3000, 10_000))
conditions = st.tuples(st.just("expect"), st.sampled_from(NAMES), st.integers(0, 30))
reads = st.tuples(
    st.just("read"), st.sampled_from(SELECTORS), st.integers(0, 40), st.integers(1, 6), st.integers(1, 200)
)


async def read_all(log: Log, selectors: Selectors, after: EventId, max_events: int, max_bytes: int) -> Any:
    """Read page by page to the head; return the ids, and the first page's gap."""
    ids: list[EventId] = []
    gaps = []
    while True:
        page = await log.read(selectors, after, max_events=max_events, max_bytes=max_bytes)
        ids += [event.id for event in page.events]
        gaps.append(page.gap)
        assert page.more == (page.cursor < log.head)
        after = page.cursor
        if not page.more:
            return ids, gaps[0], [gap for gap in gaps[1:] if gap is not None]


class Twins:
    """Logs to which the same is done, and which must answer the same."""

    def __init__(self, logs: list[Log], clock: IdClock, mock_clock: trio.testing.MockClock) -> None:
        self.logs = logs
        self.clock = clock
        self.mock_clock = mock_clock
        self.cursors = [EARLIEST, logs[0].start, make_event_id(NOON_MS - 5, 3), make_event_id(NOON_MS * 2, 0)]

    async def do(self, step: tuple[Any, ...]) -> None:
        answers = [await getattr(self, step[0])(log, *step[1:]) for log in self.logs]
        assert answers == answers[:1] * len(answers), step
        if step[0] == "jump":
            self.mock_clock.jump(step[1])
            self.clock.ms += step[2]
        if step[0] == "append" and answers[0] != IdempotencyConflict:
            self.cursors.append(answers[0][0].id)
        for log in self.logs:
            await settle(log)

    async def append(self, log: Log, names: list[str], size: int, key: str | None) -> Any:
        try:
            return await log.append([draft(names, "x" * size, key=key)], publisher="p")
        except IdempotencyConflict as error:
            return type(error)

    async def jump(self, log: Log, seconds: float, wall_ms: int) -> None:
        pass

    async def expect(self, log: Log, name: str, index: int) -> Any:
        return await log.append([], [ExpectedLast(name, self.cursors[index % len(self.cursors)])])

    async def read(self, log: Log, selectors: Selectors, index: int, max_events: int, max_bytes: int) -> Any:
        return await read_all(log, selectors, self.cursors[index % len(self.cursors)], max_events, max_bytes)


@hypothesis_settings(max_examples=40, deadline=None)
@example(  # what was dropped behind the last event of a full page
    steps=[
        ("append", ["a", "b"], 0, None),
        ("append", ["a", "c/1", "b"], 0, None),
        ("jump", 10.0, 0),
        ("read", SELECTORS[0], 0, 2, 1),
        ("read", SELECTORS[4], 0, 1, 100),
    ]
)
@given(steps=st.lists(st.one_of(appends, appends, appends, jumps, reads, conditions), max_size=40))
def test_all_logs_answer_the_same(steps: list[tuple[Any, ...]]) -> None:
    mock_clock = trio.testing.MockClock()

    async def main() -> None:
        clock = IdClock()
        with TemporaryDirectory() as folder:
            async with trio.open_nursery() as nursery:
                logs = [
                    await open_log(kind, Path(folder) / "log.db", SETTINGS, clock, nursery)
                    for kind in LOG_KINDS
                ]
                twins = Twins(logs, clock, mock_clock)
                for step in steps:
                    await twins.do(step)
                for selectors in SELECTORS:
                    for cursor in range(len(twins.cursors)):
                        await twins.do(("read", selectors, cursor, 100, 100_000))
                nursery.cancel_scope.cancel()

    trio.run(main, clock=mock_clock)
