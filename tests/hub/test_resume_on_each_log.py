"""Resuming at any cursor, on every log: each event once and in order, or inside a gap that is one."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from streamd.events import Control, Event, EventId, EventSettings, Pattern, Selectors
from streamd.events.topics import ALL
from streamd.hub import Hub, SendQueue
from streamd.hub.settings import HubSettings
from streamd.log.clock import wall_clock_ms
from streamd.log.settings import LogSettings
from streamd.metrics import Metrics
from tests.support.logs import LOG_KINDS, draft, open_log, read_pages, settle

TOPICS = ("a", "b", "c/1", "c/2")
WANTED = Selectors(topics=["a"], patterns=[Pattern("c/*")])
EXACT = Selectors(topics=["a", "c/1", "c/2"])

EXAMPLES = hypothesis_settings(max_examples=12, deadline=None)


def run_with_hub(
    kind: str, log: LogSettings, bounds: HubSettings, main: Callable[[Hub], Awaitable[None]]
) -> None:
    """Run ``main`` with a hub on a new log."""

    async def run() -> None:
        with TemporaryDirectory() as folder:
            async with trio.open_nursery() as nursery:
                opened = await open_log(kind, Path(folder) / "log.db", log, wall_clock_ms, nursery)
                hub = Hub(opened, bounds, EventSettings(), Metrics(max_type_labels=10))
                nursery.start_soon(hub.run)
                with trio.fail_after(60):
                    await main(hub)
                nursery.cancel_scope.cancel()

    trio.run(run)


class Publishers:
    """Publishes events with random topics, and remembers those that the followers want."""

    def __init__(self, hub: Hub, random_: random.Random) -> None:
        self.hub = hub
        self.random = random_
        self.wanted: list[EventId] = []
        self.cursors = [hub.log.head]

    async def publish(self, max_events: int) -> None:
        names = [self.random.choice(TOPICS) for _ in range(self.random.randint(1, max_events))]
        receipts = await self.hub.publish_drafts([draft(name, name) for name in names])
        self.wanted += [r.id for r, name in zip(receipts, names, strict=True) if name in EXACT.topics]
        self.cursors.append(receipts[-1].id)

    async def end(self) -> None:
        [receipt] = await self.hub.publish_drafts([draft("a", "end")])
        self.wanted.append(receipt.id)


class Follower:
    """A subscriber that pauses at random, and keeps the ids of its events and gaps in their order."""

    def __init__(self, publishers: Publishers, max_pause: int) -> None:
        self.publishers = publishers
        self.after = publishers.random.choice(publishers.cursors)
        self.max_pause = max_pause
        self.received: list[tuple[str, EventId]] = []

    async def follow(self, selectors: Selectors, capacity: int) -> None:
        random_ = self.publishers.random
        with self.publishers.hub.subscribe(
            selectors, self.after, SendQueue(capacity, 10_000)
        ) as subscription:
            while True:
                for frame in await subscription.receive():
                    if isinstance(frame, Event):
                        self.received.append(("event", frame.id))
                        if frame.data == "end":
                            return
                    elif isinstance(frame, Control) and frame.name == "gap":
                        self.received.append(("gap", frame.data["resumed_after"]))
                for _ in range(random_.randrange(self.max_pause)):
                    await trio.lowlevel.checkpoint()

    def check(self, kept: set[EventId]) -> None:
        """Check that what was not delivered lies inside a gap, and that each gap is one.

        The last event of a gap is gone from the log. It may be delivered even so, from the hub's ring.

        Args:
            kept: the events that the log still has.
        """
        wanted = [id for id in self.publishers.wanted if id > self.after]
        events = [id for kind, id in self.received if kind == "event"]
        assert events == sorted(set(events))
        assert set(events) <= set(wanted)
        missed = set(wanted) - set(events)
        position = self.after
        for kind, id in self.received:
            if kind == "gap":
                assert position < id, "it lies before the client"
                assert id in wanted, "its last event is one that the follower wants"
                assert id not in kept, "its last event is gone"
                missed = {other for other in missed if not position < other <= id}
            else:
                position = id
        assert not missed


@pytest.mark.parametrize("kind", LOG_KINDS)
@pytest.mark.parametrize("selectors", [WANTED, EXACT], ids=["patterns", "topics"])
@EXAMPLES
@given(
    seed=st.integers(0, 2**32),
    history=st.integers(0, 40),
    ring=st.integers(1, 40),
    capacity=st.integers(1, 12),
    batch=st.integers(1, 8),
)
def test_resume_from_any_cursor_is_exactly_once(
    kind: str, selectors: Selectors, seed: int, history: int, ring: int, capacity: int, batch: int
) -> None:
    async def main(hub: Hub) -> None:
        publishers = Publishers(hub, random.Random(seed))
        followers = []
        async with trio.open_nursery() as nursery:
            for _ in range(history):
                await publishers.publish(3)
            for _ in range(10):
                follower = Follower(publishers, publishers.random.choice((1, 2, 20)))
                followers.append(follower)
                nursery.start_soon(follower.follow, selectors, capacity)
                await publishers.publish(5)
            await publishers.end()
        for follower in followers:
            wanted = [("event", id) for id in publishers.wanted if id > follower.after]
            assert follower.received == wanted

    bounds = HubSettings(send_queue_events=capacity, ring_events=ring, batch_events=batch)
    run_with_hub(kind, LogSettings(), bounds, main)


@pytest.mark.parametrize("kind", LOG_KINDS)
@pytest.mark.parametrize("selectors", [WANTED, EXACT], ids=["patterns", "topics"])
@EXAMPLES
@given(seed=st.integers(0, 2**32), kept=st.integers(3, 30), capacity=st.integers(1, 12))
def test_what_is_not_delivered_lies_inside_a_gap(
    kind: str, selectors: Selectors, seed: int, kept: int, capacity: int
) -> None:
    async def main(hub: Hub) -> None:
        publishers = Publishers(hub, random.Random(seed))
        followers = []
        async with trio.open_nursery() as nursery:
            for step in range(50):
                if step >= 20 and step % 4 == 0:
                    followers.append(Follower(publishers, publishers.random.choice((1, 2, 40))))
                    nursery.start_soon(followers[-1].follow, selectors, capacity)
                await publishers.publish(4)
                if publishers.random.random() < 0.3:
                    await settle(hub.log)
            await publishers.end()
        page = await read_pages(hub.log, ALL)
        kept = {event.id for event in page.events}
        for follower in followers:
            follower.check(kept)

    bounds = HubSettings(send_queue_events=capacity, ring_events=3, batch_events=4)
    run_with_hub(kind, LogSettings(max_events=4 * kept, topic_max_events=kept), bounds, main)
