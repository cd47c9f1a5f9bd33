"""The live set: cursors that may join, the events they are given, and the reset of the ring."""

from collections.abc import Sequence

from streamd.events import Batch, Draft, Event, EventId, EventSettings, Selectors
from streamd.events.ids import make_event_id
from streamd.hub import HubSettings, SendQueue
from streamd.hub.live_set import LiveSet
from streamd.log.memory import MemoryLog
from streamd.log.port import Page
from streamd.log.scan_time import ScanTime
from streamd.log.settings import LogSettings
from streamd.metrics import Metrics

START_MS = 1_700_000_000_000
BEFORE = make_event_id(START_MS - 1, 0)
RING_EVENTS = 4


class FakeSubscription:
    """A subscriber to the topic ``a`` that records a fall behind the log."""

    def __init__(self, cursor: EventId) -> None:
        self.selectors = Selectors(topics=["a"])
        self.cursor = cursor
        self.live = False
        self.fell_behind = False

    def wants(self, event: Event) -> bool:
        return self.selectors.matches(event.topics)

    def offer(self, batch: Batch) -> bool:
        return False

    def fall_behind(self) -> None:
        self.fell_behind = True


class Rig:
    """A live set whose log and ring have the events of ``topics``, one after the other."""

    def __init__(
        self, topics: Sequence[str], *, ring_events: int = RING_EVENTS, scan_time: ScanTime | None = None
    ) -> None:
        self.log = MemoryLog(LogSettings(), now_ms=lambda: START_MS)
        self.metrics = Metrics(max_type_labels=5)
        settings = HubSettings(ring_events=ring_events, send_queue_events=8)
        self.live_set = LiveSet(self.log, settings, self.metrics, scan_time)
        self.topics = topics
        self.ids: list[EventId] = []
        self.events: list[Event] = []

    async def publish(self) -> None:
        drafts = [Draft.create(topic, topic, limits=EventSettings()) for topic in self.topics]
        receipts = await self.log.append(drafts)
        self.ids = [receipt.id for receipt in receipts]
        self.events = [Event.from_draft(draft, id) for draft, id in zip(drafts, self.ids, strict=True)]
        self.live_set.advance(Page(self.events, self.ids[-1], more=False))

    def overflows(self) -> float:
        name, labels = "streamd_subscription_overflows_total", {"policy": "catch-up"}
        return self.metrics.registry.get_sample_value(name, labels) or 0


async def make_rig(topics: Sequence[str]) -> Rig:
    rig = Rig(topics)
    await rig.publish()
    return rig


def queued_ids(queue: SendQueue) -> list[EventId]:
    return [frame.id for frame in queue.drain() if isinstance(frame, Event)]


async def test_a_cursor_in_the_ring_joins_with_the_missed_events() -> None:
    rig = await make_rig("aaba")
    subscription, queue = FakeSubscription(rig.ids[0]), SendQueue(8, 1000)
    assert rig.live_set.join(subscription, queue)
    assert subscription.live
    assert queued_ids(queue) == [rig.ids[1], rig.ids[3]]
    assert subscription.cursor == rig.ids[3]
    assert rig.live_set.find(["a"]) == [subscription]
    assert not rig.live_set.find(["b"])


async def test_a_ring_that_takes_long_to_search_is_not_searched_to_its_end() -> None:
    seconds = 0.0

    class SlowSubscription(FakeSubscription):
        def wants(self, event: Event) -> bool:
            nonlocal seconds
            seconds += 0.001
            return False

    rig = Rig("b" * 1000, ring_events=1000, scan_time=ScanTime(lambda: seconds))
    await rig.publish()
    subscription, queue = SlowSubscription(BEFORE), SendQueue(8, 1000)
    subscription.cursor = rig.ids[0]
    assert not rig.live_set.join(subscription, queue)
    assert (subscription.live, subscription.cursor) == (False, rig.ids[0])
    assert seconds < 0.02
    subscription.cursor = rig.ids[-10]  # the pages of the log have brought it here
    assert rig.live_set.join(subscription, queue)


async def test_a_level_cursor_joins_without_events() -> None:
    rig = await make_rig("aaba")
    subscription, queue = FakeSubscription(rig.log.head), SendQueue(8, 1000)
    assert rig.live_set.join(subscription, queue)
    assert not queue.waiting


async def test_a_cursor_before_the_ring_or_beyond_the_head_does_not_join() -> None:
    rig = await make_rig("a" * (RING_EVENTS + 2))
    for cursor in (BEFORE, rig.ids[0], make_event_id(START_MS + 1, 0)):
        subscription, queue = FakeSubscription(cursor), SendQueue(8, 1000)
        assert not rig.live_set.join(subscription, queue)
        assert not subscription.live
        assert (subscription.cursor, queue.waiting) == (cursor, 0)
    assert rig.live_set.join(FakeSubscription(rig.ids[1]), SendQueue(8, 1000))  # the floor of the ring


async def test_when_the_queue_is_too_small_the_cursor_stands_behind_the_queued_events() -> None:
    rig = await make_rig("aaaa")
    subscription, queue = FakeSubscription(rig.ids[0]), SendQueue(2, 1000)
    assert not rig.live_set.join(subscription, queue)
    assert not subscription.live
    assert queued_ids(queue) == rig.ids[1:3]
    assert subscription.cursor == rig.ids[2]


async def test_a_subscription_that_leaves_is_counted_and_may_join_again() -> None:
    rig = await make_rig("a")
    subscription, queue = FakeSubscription(rig.log.head), SendQueue(8, 1000)
    rig.live_set.add(subscription, queue)
    assert rig.live_set.statistics() == {"subscriptions": 1, "lagging": 0}
    rig.live_set.leave(subscription, "catch-up")
    assert rig.live_set.statistics() == {"subscriptions": 1, "lagging": 1}
    assert not rig.live_set.find(["a"])
    assert rig.overflows() == 1
    assert rig.live_set.join(subscription, queue)
    rig.live_set.remove(subscription)
    assert rig.live_set.statistics() == {"subscriptions": 0, "lagging": 0}
    assert not rig.live_set.find(["a"])
    assert rig.overflows() == 1


async def test_a_reset_makes_live_subscriptions_fall_behind_and_moves_the_floor() -> None:
    rig = await make_rig("aaaa")
    live, lagging = FakeSubscription(rig.log.head), FakeSubscription(BEFORE)
    for subscription in (live, lagging):
        rig.live_set.add(subscription, SendQueue(8, 1000))
    rig.live_set.reset(rig.ids[2])
    assert (live.fell_behind, lagging.fell_behind) == (True, False)
    assert not rig.live_set.join(FakeSubscription(rig.ids[1]), SendQueue(8, 1000))


async def test_after_a_gap_a_cursor_before_it_does_not_join_although_older_events_are_in_the_ring() -> None:
    rig = await make_rig("a" * (RING_EVENTS + 2))
    rig.live_set.reset(rig.ids[4])  # a page has what the log still keeps of the events before the gap, too
    rig.live_set.advance(Page(rig.events, rig.ids[-1], more=False))
    assert not rig.live_set.join(FakeSubscription(rig.ids[2]), SendQueue(8, 1000))
    assert rig.live_set.join(FakeSubscription(rig.ids[4]), SendQueue(8, 1000))
