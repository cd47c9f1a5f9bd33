"""The way from replay to live delivery, without gap or repeat, while events are published."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import trio

from streamd.errors import HubLagging
from streamd.events import EARLIEST, Batch, Control, Draft, Event, Frame, Pattern, Selectors
from streamd.events.settings import EventSettings
from streamd.hub import DeliveryRecord, Hub, LatestSendQueue, Overflow, SendQueue, Subscription
from streamd.hub.settings import HubSettings
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.metrics import Metrics

TOPICS = ("a", "b", "c/1", "c/2")
WANTED = Selectors(topics=["a"], patterns=[Pattern("c/*")])


def make_hub(log: LogSettings | None = None, **bounds: Any) -> Hub:
    memory = MemoryLog(log or LogSettings())
    return Hub(memory, HubSettings(**bounds), EventSettings(), Metrics(max_type_labels=10))


def draft(topic: str, data: object) -> Draft:
    return Draft.create(topic, data, limits=EventSettings())


async def collect(subscription: Subscription, until: str) -> list[Event]:
    """Receive events up to the one with the data ``until``; fail on any other frame."""
    events: list[Event] = []
    while not events or events[-1].data != until:
        for frame in await subscription.receive():
            assert isinstance(frame, Event), frame
            events.append(frame)
    return events


async def test_a_full_send_queue_makes_a_subscription_lag_and_join_again() -> None:
    hub = make_hub(send_queue_events=4)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        with hub.subscribe(WANTED, None, SendQueue(4, 10_000)) as subscription:
            assert hub.statistics()["lagging"] == 0
            await hub.publish_drafts([draft("a", str(n)) for n in range(10)])
            await trio.testing.wait_all_tasks_blocked()
            assert hub.statistics()["lagging"] == 1
            assert [e.data for e in await collect(subscription, "9")] == [str(n) for n in range(10)]
            assert not await subscription.receive_ready()
            assert subscription.live
        nursery.cancel_scope.cancel()
    assert hub.statistics() == {"subscriptions": 0, "lagging": 0, "ahead": 0}


async def test_latest_keeps_the_newest_event_in_its_new_position_and_counts_merges() -> None:
    hub = make_hub()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        queue = LatestSendQueue(16, 10_000)
        with hub.subscribe(WANTED, None, queue, overflow=Overflow.LATEST) as subscription:
            for topic, data in (("a", "1"), ("c/1", "2"), ("a", "3"), ("c/2", "4"), ("a", "5"), ("c/1", "6")):
                await hub.publish(topic, data)
            await trio.testing.wait_all_tasks_blocked()
            events = await subscription.receive()
            assert [event.data for event in events if isinstance(event, Event)] == ["4", "5", "6"]
            assert subscription.merged == 3
        nursery.cancel_scope.cancel()


async def test_a_full_send_queue_disconnects_under_that_policy() -> None:
    hub = make_hub()
    ended = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        queue = SendQueue(2, 10_000)
        with hub.subscribe(
            WANTED, None, queue, overflow=Overflow.DISCONNECT, on_disconnect=ended.set
        ) as subscription:
            await hub.publish_drafts([draft("a", str(n)) for n in range(3)])
            await ended.wait()
            assert not subscription.live
        nursery.cancel_scope.cancel()


async def test_publishing_too_far_ahead_of_delivery_is_rejected_as_a_whole() -> None:
    hub = make_hub(max_lag_events=5)  # and no fan-out runs
    await hub.publish_drafts([draft("a", "x") for _ in range(4)])
    head = hub.log.head
    with pytest.raises(HubLagging):
        await hub.publish_drafts([draft("a", "x") for _ in range(2)])
    assert hub.log.head == head
    await hub.publish("a", "x")


async def test_when_the_hub_falls_behind_the_log_subscriptions_read_on_from_it_after_one_gap() -> None:
    hub = make_hub(LogSettings(max_events=10, topic_max_events=10), batch_events=1)
    async with trio.open_nursery() as nursery:
        with hub.subscribe(WANTED, None, SendQueue(64, 10_000)) as subscription:
            await hub.publish_drafts([draft("a", str(n)) for n in range(30)])
            nursery.start_soon(hub.run)
            frames: list[Frame] = []
            while not (frames and isinstance(frames[-1], Event) and frames[-1].data == "29"):
                frames += await subscription.receive()
            gaps = [frame for frame in frames if isinstance(frame, Control) and frame.name == "gap"]
            assert len(gaps) == 1
            assert [f.data for f in frames if isinstance(f, Event)] == [str(n) for n in range(20, 30)]
        nursery.cancel_scope.cancel()


class TakingWire:
    """A wire that takes frames directly while it is willing."""

    def __init__(self) -> None:
        self.willing = True
        self.written: list[Frame] = []

    def write_nowait(self, batch: Batch) -> int:
        if not self.willing:
            return 0
        self.written += batch.frames
        return len(batch.sse)

    async def write(self, batch: Batch) -> int:
        raise AssertionError("the connection's own trio task is not part of this test")

    def release(self) -> None:
        pass


async def test_direct_writes_and_the_send_queue_keep_one_order() -> None:
    hub = make_hub()
    wire = TakingWire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        with hub.subscribe(WANTED, None, SendQueue(64, 10_000)) as subscription:
            subscription.write_through(wire, DeliveryRecord(0.0))
            await hub.publish("a", "1")
            await trio.testing.wait_all_tasks_blocked()
            wire.willing = False
            await hub.publish("a", "2")
            await trio.testing.wait_all_tasks_blocked()
            assert subscription.level_cursor() is None  # its send queue is not empty
            wire.willing = True
            await hub.publish("a", "3")  # queued behind the other, though the wire would take it
            await trio.testing.wait_all_tasks_blocked()
            queued = await subscription.receive()
            await hub.publish("a", "4")
            await hub.publish("b", "not for us")
            await trio.testing.wait_all_tasks_blocked()
            assert [e.data for e in wire.written if isinstance(e, Event)] == ["1", "4"]
            assert [e.data for e in queued if isinstance(e, Event)] == ["2", "3"]
            assert subscription.level_cursor() == hub.log.head
        nursery.cancel_scope.cancel()


async def test_a_long_fan_out_lets_other_tasks_run() -> None:
    hub = make_hub(turn_ms=0.0001, max_turn_ms=0.0001)  # a slow machine must not lengthen them
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        with ExitStack() as subscriptions:
            for _ in range(2000):
                subscriptions.enter_context(hub.subscribe(WANTED, None, SendQueue(4, 10_000)))
            await hub.publish("a", "x")
            nursery.start_soon(hub.run)
            nursery.start_soon(count)
            while hub.position != hub.log.head:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert turns > 2000 / 64 / 2  # the clock is read at least every 64 offers, and each turn is over by then


async def test_selectors_of_an_open_subscription_can_change() -> None:
    hub = make_hub()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        with hub.subscribe(Selectors(topics=["a"]), None, SendQueue(64, 10_000)) as subscription:
            await hub.publish("b", "before")
            await trio.testing.wait_all_tasks_blocked()
            assert subscription.change(Selectors(topics=["b"])) == hub.log.head
            await hub.publish("a", "no more")
            await hub.publish("b", "end")
            assert [event.data for event in await collect(subscription, "end")] == ["end"]
        nursery.cancel_scope.cancel()


async def test_a_page_is_handed_out_in_slices_and_read_again_for_other_selectors() -> None:
    log = MemoryLog(LogSettings())
    receipts = await log.append([draft(topic, str(n)) for n in range(200) for topic in ("a", "b")])
    hub = Hub(log, HubSettings(), EventSettings(), Metrics(max_type_labels=10))
    with hub.subscribe(Selectors(topics=["a"]), EARLIEST, SendQueue(256, 100_000)) as subscription:
        assert data(await subscription.receive()) == [str(n) for n in range(64)]
        assert subscription.cursor == receipts[126].id
        with trio.CancelScope() as scope:
            scope.cancel()
            await subscription.receive()
        assert scope.cancelled_caught
        assert data(await subscription.receive()) == [str(n) for n in range(64, 128)]
        assert subscription.change(Selectors(topics=["b"])) == receipts[254].id
        assert data(await collect(subscription, "199")) == [str(n) for n in range(127, 200)]
        assert subscription.cursor == receipts[-1].id


def data(frames: Sequence[Frame]) -> list[str]:
    return [event.data for event in frames if isinstance(event, Event)]
