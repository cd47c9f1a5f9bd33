"""Publishing to merchants: in order, tried again, given up in the end, and never in anybody's way."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing
from prometheus_client import CollectorRegistry

from streamd.errors import HubLagging, InvalidField, TooLarge
from streamd.services.purchase_orders import MerchantEvents
from streamd.services.purchase_orders.merchant_events import Counters, topics_of
from tests.support.orders_rig import check_payload

IDS: dict[str, Any] = {"stage": "ai_parsing", "po_id": "po-1", "workflow_id": "w-1"}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


class FailingHub:
    """Takes events as the hub does, with its idempotency keys; fails when it is told to.

    Args:
        fails: given the number of the call, from 1, and the event's data, what is raised.
        fails_late: whether a failure comes after the event was taken.
    """

    def __init__(
        self,
        fails: Callable[[int, dict[str, Any]], Exception | None] = lambda call, data: None,
        *,
        fails_late: bool = False,
    ) -> None:
        self.fails = fails
        self.fails_late = fails_late
        self.calls = 0
        self.events: dict[tuple[str, str | None], tuple[str, str | None, dict[str, Any]]] = {}

    async def publish(
        self,
        topics: str | Sequence[str],
        data: Any = "",
        *,
        type: str | None = None,
        retry_ms: int | None = None,
        idempotency_key: str | None = None,
        publisher: str = "",
    ) -> object:
        await trio.lowlevel.checkpoint()
        self.calls += 1
        error = self.fails(self.calls, data)
        if error is None or self.fails_late:
            assert isinstance(topics, str)
            self.events.setdefault((publisher, idempotency_key), (topics, type, data))
        if error is not None:
            raise error
        return "id"

    def of(self, merchant: str) -> list[dict[str, Any]]:
        """What a merchant got, in order."""
        return [data for topic, _, data in self.events.values() if topic in topics_of(merchant)]


class Running:
    def __init__(self, events: MerchantEvents, registry: CollectorRegistry) -> None:
        self.events = events
        self._registry = registry

    def count(self, name: str, **labels: str) -> float:
        return self._registry.get_sample_value(f"streamd_merchant_event{name}_total", labels) or 0.0

    async def say(self, merchant: str, *numbers: int) -> None:
        for number in numbers:
            await self.events.publish_progress(merchant, progress=number, **IDS)


@asynccontextmanager
async def running(hub: FailingHub, *, attempts: int = 4, max_waiting: int = 100) -> AsyncIterator[Running]:
    registry = CollectorRegistry()
    events = MerchantEvents(
        hub, Counters(registry), attempts=attempts, backoff_seconds=0.1, max_waiting=max_waiting
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(events.run)
        yield Running(events, registry)
        nursery.cancel_scope.cancel()


def numbers(data: list[dict[str, Any]]) -> list[int]:
    return [event["progress"] for event in data]


async def test_each_call_is_one_event_with_exactly_its_fields(autojump_clock: trio.testing.MockClock) -> None:
    hub = FailingHub()
    async with running(hub) as made:
        events = made.events
        await events.publish_stage("shop", **IDS)
        await events.publish_progress("shop", progress=33.33, message="a third", **IDS)
        await events.publish_completion("shop", **IDS)
        await events.publish_completion(
            "shop", line_items=0, confidence=99.96, purchase_order_id="p", shopify_order_id="s", **IDS
        )
        await events.publish_error("shop", error="no", **IDS)
        await events.settled()
    published = list(hub.events.values())
    for topic, type, data in published:
        assert type is not None
        assert topic == f"merchant:shop:{type}"
        check_payload(type, data)
    base = {"stage": "ai_parsing", "poId": "po-1", "workflowId": "w-1"}
    assert [data for _, _, data in published] == [
        base | {"status": "started", "message": ""},
        base | {"progress": 33.3, "message": "a third"},
        base,
        base | {"lineItems": 0, "confidence": 100, "purchaseOrderId": "p", "shopifyOrderId": "s"},
        base | {"error": "no"},
    ]
    assert made.count("s_published", type="completion") == 2


@pytest.mark.parametrize("progress", [-1, 101, float("nan"), True])
async def test_wrong_figures_are_refused(progress: float) -> None:
    async with running(FailingHub()) as made:
        with pytest.raises(InvalidField):
            await made.events.publish_progress("shop", progress=progress, **IDS)
        with pytest.raises(InvalidField):
            await made.events.publish_completion("shop", confidence=progress, **IDS)
        with pytest.raises(InvalidField):
            await made.events.publish_error("a:b", error="x", **IDS)


async def test_order_holds_through_failures(autojump_clock: trio.testing.MockClock) -> None:
    hub = FailingHub(lambda call, data: HubLagging("not now") if call % 3 else None)
    async with running(hub) as made:
        await made.say("shop", *range(20))
        await made.events.settled()
    assert numbers(hub.of("shop")) == list(range(20))
    assert made.count("_retries") == 40
    assert hub.calls == 60


async def test_a_failure_after_the_event_was_taken_does_not_double_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub = FailingHub(lambda call, data: OSError("cut off") if call % 2 else None, fails_late=True)
    async with running(hub) as made:
        await made.say("shop", 1, 2, 3)
        await made.events.settled()
    assert numbers(hub.of("shop")) == [1, 2, 3]
    assert hub.calls == 6


async def test_what_fails_for_good_is_given_up_counted_and_does_not_stop_the_rest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    errors = {2: HubLagging("not now"), 3: TooLarge("too large"), 4: RuntimeError("a bug")}
    hub = FailingHub(lambda call, data: errors.get(data["progress"]))
    async with running(hub) as made:
        await made.say("shop", 1, 2, 3, 4, 5)
        await made.events.settled()
    assert numbers(hub.of("shop")) == [1, 5]
    assert hub.calls == 1 + 4 + 1 + 4 + 1, "a request that is wrong is not tried again"
    assert made.count("s_dropped", reason="hub-lagging") == 1
    assert made.count("s_dropped", reason="too-large") == 1
    assert made.count("s_dropped", reason="internal") == 1


async def test_publishing_that_fails_holds_up_nobody(autojump_clock: trio.testing.MockClock) -> None:
    hub = FailingHub(lambda call, data: HubLagging("not now", retry_after_seconds=3))
    async with running(hub) as made:
        started = trio.current_time()
        await made.say("shop", *range(50))
        assert trio.current_time() == started, "what is told of does not wait"


async def test_one_merchants_trouble_is_not_anothers(autojump_clock: trio.testing.MockClock) -> None:
    hub = FailingHub()
    stuck = trio.Event()

    async with running(hub) as made:
        publish = hub.publish

        async def hang(topics: str, data: Any, **options: Any) -> object:
            if topics.startswith("merchant:stuck:"):
                await stuck.wait()
            return await publish(topics, data, **options)

        hub.publish = hang  # type: ignore[assignment,method-assign]
        for number in range(5):
            await made.say("stuck", number)
            await made.say("shop", number)
        await trio.testing.wait_all_tasks_blocked()
        assert numbers(hub.of("shop")) == [0, 1, 2, 3, 4]
        assert hub.of("stuck") == []
        stuck.set()
        await made.events.settled()
    assert numbers(hub.of("stuck")) == [0, 1, 2, 3, 4]


async def test_a_full_queue_drops_the_newest_and_counts_them(autojump_clock: trio.testing.MockClock) -> None:
    hub = FailingHub(lambda call, data: HubLagging("not now") if call == 1 else None)
    async with running(hub, max_waiting=3) as made:
        await made.say("shop", *range(10))
        await made.events.settled()
        await made.say("shop", 99)
        await made.events.settled()
    assert numbers(hub.of("shop")) == [0, 1, 2, 99]
    assert made.count("s_dropped", reason="full") == 7


async def test_what_is_said_before_it_runs_waits_and_what_waits_at_the_end_is_tried_once_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    well = trio.Event()
    hub = FailingHub(lambda call, data: None if well.is_set() else HubLagging("not now"))
    registry = CollectorRegistry()
    events = MerchantEvents(hub, Counters(registry), attempts=9, backoff_seconds=60, max_waiting=9)
    for number in (1, 2, 3):
        await events.publish_progress("shop", progress=number, **IDS)
    assert hub.calls == 0
    with trio.move_on_after(1):
        await events.run()
    assert hub.events == {}
    assert registry.get_sample_value("streamd_merchant_events_dropped_total", {"reason": "shutdown"}) == 3

    well.set()
    with trio.CancelScope() as scope:
        scope.cancel()
        await events.run()
    assert numbers(hub.of("shop")) == [1, 2, 3]
