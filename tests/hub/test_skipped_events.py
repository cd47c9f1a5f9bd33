"""Events that concern no live subscription: they cost no turn of the fan-out, and nobody misses any."""

import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from streamd.events import Event, EventId, EventSettings, Frame, Pattern, Selectors
from streamd.hub import Hub, SendQueue, Subscription
from streamd.hub.settings import HubSettings
from streamd.log.clock import wall_clock_ms
from streamd.log.port import Log
from streamd.log.settings import LogSettings
from streamd.metrics import Metrics
from tests.support.fan_out import RecordingWire, fan_out
from tests.support.logs import draft, open_log

SECONDS = 60
KINDS = ("memory", "sqlite")  # the log in Redis reads its tail in a trio task of its own
TOPICS = ("a", "b", "c/1", "c/2")
SELECTORS = ("a", "b", "c/1", "c/*", "*/2", "**", "nothing")


def run_with_hub(
    kind: str, main: Callable[[Hub], Awaitable[None]], log: LogSettings | None = None, **bounds: int
) -> None:
    """Run ``main`` beside the fan-out of a hub on a new log."""

    async def run() -> None:
        with TemporaryDirectory() as folder:
            async with trio.open_nursery() as nursery:
                path = Path(folder) / "log.db"
                opened = await open_log(kind, path, log or LogSettings(), wall_clock_ms, nursery)
                hub = Hub(opened, HubSettings(**bounds), EventSettings(), Metrics(max_type_labels=10))
                nursery.start_soon(hub.run)
                await trio.testing.wait_all_tasks_blocked()
                with trio.fail_after(SECONDS):
                    await main(hub)
                nursery.cancel_scope.cancel()

    trio.run(run)


def count_turns(log: Log, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the number of events of each turn of the fan-out is added."""
    turns: list[int] = []
    tail = log.tail

    async def counted(*args: EventId, **options: object) -> object:
        page = await tail(*args, **options)  # type: ignore[arg-type] # as they came
        turns.append(len(page.events))
        return page

    monkeypatch.setattr(log, "tail", counted)
    return turns


def select(texts: set[str]) -> Selectors:
    return Selectors(
        topics=[text for text in texts if "*" not in text],
        patterns=[Pattern(text) for text in texts if "*" in text],
    )


def ids_of(frames: Sequence[Frame]) -> list[EventId]:
    return [frame.id for frame in frames if isinstance(frame, Event)]


async def read_all(subscription: Subscription) -> list[EventId]:
    """Read until level, and return the ids of the events."""
    ids: list[EventId] = []
    while frames := await subscription.receive_ready():
        ids += ids_of(frames)
    return ids


# --- turns ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_without_subscribers_costs_no_turn_of_the_fan_out(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(hub: Hub) -> None:
        with hub.subscribe(select({"a", "c/*"}), None, SendQueue(64, 10_000)) as subscription:
            await hub.publish("a", "the fan-out calls the counted function from its next turn on")
            await trio.testing.wait_all_tasks_blocked()
            turns = count_turns(hub.log, monkeypatch)
            await hub.publish("a", "1")
            await trio.testing.wait_all_tasks_blocked()
            await subscription.receive()
            for number in range(10):
                await hub.publish_drafts([draft("b", str(number)), draft("d", str(number))])
                assert hub.position == hub.log.head  # in the step of the append
                assert hub.statistics()["ahead"] == 0
                assert subscription.level_cursor() == hub.log.head
                await trio.testing.wait_all_tasks_blocked()
            assert not turns
            await hub.publish_drafts([draft("b", "no"), draft("c/1", "yes")])
            [event] = await subscription.receive()
            assert isinstance(event, Event)
            assert event.data == "yes"
            await trio.testing.wait_all_tasks_blocked()
            assert turns == [2]

    run_with_hub(kind, main)


@pytest.mark.parametrize("kind", KINDS)
def test_events_that_are_not_fanned_out_yet_are_never_skipped(kind: str) -> None:
    async def main(hub: Hub) -> None:
        with hub.subscribe(select({"a"}), None, SendQueue(64, 10_000)) as subscription:
            for number in range(20):
                # The fan-out has been woken for "a", and has not run, when "b" is appended.
                ids = [(await hub.publish(topic, str(number))) for topic in ("b", "a", "b", "a", "b")]
                received: list[EventId] = []
                while len(received) < 2:
                    received += ids_of(await subscription.receive())
                assert received == [ids[1], ids[3]]

    run_with_hub(kind, main)


@pytest.mark.parametrize("kind", KINDS)
def test_skipped_events_enter_the_ring_and_push_out_the_oldest(kind: str) -> None:
    async def main(hub: Hub) -> None:
        ids = [await hub.publish("a", str(number)) for number in range(10)]
        for after, is_live in ((ids[4], False), (ids[5], True), (ids[8], True)):
            with hub.subscribe(select({"a"}), after, SendQueue(64, 10_000)) as subscription:
                assert subscription.live is is_live  # at once: no page of the log was read
                assert await read_all(subscription) == ids[ids.index(after) + 1 :]

    run_with_hub(kind, main, ring_events=4, batch_events=4)


def test_a_log_that_drops_what_it_appends_gives_skipped_events_from_the_ring() -> None:
    async def main(hub: Hub) -> None:
        before = hub.log.head
        receipts = await hub.publish_drafts([draft("a", str(number)) for number in range(5)])
        assert hub.position == hub.log.head
        with hub.subscribe(select({"a"}), before, SendQueue(64, 10_000)) as subscription:
            assert ids_of(await subscription.receive()) == [receipt.id for receipt in receipts]

    run_with_hub("memory", main, LogSettings(max_events=2, topic_max_events=2))


async def test_skipped_events_are_counted_as_published() -> None:
    async with fan_out() as out:
        await out.turn()
        await out.publish(("a", "1"), ("a", "2"), type="progress")
        assert out.metric("events_published_total", type="progress") == 2
        assert out.metric("events_delivered_total", type="progress") == 0
        assert out.hub.statistics() == {"subscriptions": 0, "lagging": 0, "ahead": 0}


async def test_events_skipped_before_a_restart_of_the_fan_out_are_not_delivered_after_it() -> None:
    async with fan_out() as out:
        async with trio.open_nursery() as first:
            first.start_soon(out.hub.run)
            await trio.testing.wait_all_tasks_blocked()
            await out.publish(("a", "skipped"))
            first.cancel_scope.cancel()
        wire = RecordingWire()
        out.follow(select({"a"}), wire=wire)
        await out.publish(("a", "1"))
        await out.turn()
        assert wire.data == [["1"]]


# --- joining --------------------------------------------------------------------------------------


class Member:
    """A subscriber that comes and goes, and expects what its selectors match from its cursor on."""

    def __init__(self, hub: Hub, selectors: Selectors, after: EventId, capacity: int) -> None:
        self.selectors = selectors
        self.changed_at = after
        self.subscription = hub.subscribe(selectors, after, SendQueue(capacity, 10_000))
        self.subscription.__enter__()
        self.received: list[EventId] = []
        self.expected: list[EventId] = []

    async def read(self) -> None:
        """Read until level."""
        self.received += await read_all(self.subscription)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.lists(st.sampled_from(TOPICS), min_size=1, max_size=6)),
        st.tuples(st.just("join"), st.sets(st.sampled_from(SELECTORS), min_size=1, max_size=2)),
        st.tuples(st.just("change"), st.sets(st.sampled_from(SELECTORS), min_size=1, max_size=2)),
        st.tuples(st.just("leave"), st.none()),
        st.tuples(st.just("read"), st.none()),
        st.tuples(st.just("rest"), st.none()),
    ),
    min_size=10,
    max_size=60,
)


@pytest.mark.parametrize("kind", KINDS)
@hypothesis_settings(max_examples=60, deadline=None)
@given(
    steps=STEPS,
    seed=st.integers(0, 2**32),
    ring=st.integers(1, 12),
    capacity=st.integers(1, 8),
    batch=st.integers(1, 12),
)
def test_members_that_come_and_go_get_each_matching_event_once_and_in_order(
    kind: str, steps: list[tuple[str, object]], seed: int, ring: int, capacity: int, batch: int
) -> None:
    async def main(hub: Hub) -> None:
        random_ = random.Random(seed)
        members: list[Member] = []
        published: list[tuple[EventId, str]] = []
        cursors = [hub.log.head]

        def expect(member: Member, until: EventId) -> None:
            member.expected += [
                id
                for id, topic in published
                if member.changed_at < id <= until and member.selectors.matches((topic,))
            ]
            member.changed_at = until

        async def check(member: Member) -> None:
            await trio.testing.wait_all_tasks_blocked()
            await member.read()
            expect(member, hub.log.head)
            assert member.received == member.expected
            assert member.subscription.level_cursor() == hub.log.head == hub.position

        for step, argument in steps:
            if step == "publish":
                assert isinstance(argument, list)
                receipts = await hub.publish_drafts([draft(name, name) for name in argument])
                ids = [receipt.id for receipt in receipts]
                published += zip(ids, argument, strict=True)
                cursors += ids
            elif step == "join":
                assert isinstance(argument, set)
                members.append(Member(hub, select(argument), random_.choice(cursors[-15:]), capacity))
            elif step == "rest":
                await trio.testing.wait_all_tasks_blocked()
            elif members:
                member = random_.choice(members)
                if step == "read":
                    await member.read()
                elif step == "change":
                    assert isinstance(argument, set)
                    await check(member)  # level, so that the cursor of the change is the head
                    assert member.subscription.change(select(argument)) == hub.log.head
                    member.selectors = select(argument)
                else:
                    await check(member)
                    member.subscription.close()
                    members.remove(member)
        for member in members:
            await check(member)
        assert hub.statistics()["ahead"] == 0

    run_with_hub(kind, main, ring_events=max(ring, batch), send_queue_events=capacity, batch_events=batch)
