"""Subscriptions read the log within a budget: in fair order, lagging ones first, and nobody starves."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import trio
import trio.testing

from streamd.events import EARLIEST, Event, EventId, Selectors
from streamd.events.settings import EventSettings
from streamd.hub import Hub, ReplayBudget, SendQueue, Subscription
from streamd.hub.settings import HubSettings
from streamd.log.memory import MemoryLog
from streamd.log.port import Page
from streamd.log.settings import LogSettings
from streamd.metrics import Metrics

TOPIC = Selectors(topics=["a"])
EVENTS = 300
READ_SECONDS = 1.0


class SlowLog(MemoryLog):
    """A log whose pages take a second, and that notes who reads how much."""

    def __init__(self) -> None:
        super().__init__(LogSettings())
        self.reading = 0
        self.most = 0
        self.sizes: list[int] = []

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            await trio.sleep(READ_SECONDS)
            page = await super().read(selectors, after, max_events=max_events, max_bytes=max_bytes)
        finally:
            self.reading -= 1
        self.sizes.append(len(page.events))
        return page


@asynccontextmanager
async def running_hub(**bounds: Any) -> AsyncIterator[tuple[Hub, SlowLog]]:
    """Run a hub with events that are in no ring any more."""
    log = SlowLog()
    settings = HubSettings(ring_events=4, batch_events=4, **bounds)
    hub = Hub(log, settings, EventSettings(), Metrics(max_type_labels=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        for number in range(EVENTS):
            await hub.publish("a", str(number))
        await trio.testing.wait_all_tasks_blocked()
        yield hub, log
        nursery.cancel_scope.cancel()


def follow(hub: Hub) -> Subscription:
    return hub.subscribe(TOPIC, EARLIEST, SendQueue(1000, 1_000_000))


async def read_all(subscription: Subscription) -> list[str]:
    """Receive until the last event, and return the data of all."""
    data: list[str] = []
    while not data or data[-1] != str(EVENTS - 1):
        data += [str(frame.data) for frame in await subscription.receive() if isinstance(frame, Event)]
    return data


async def test_no_more_than_the_budget_read_at_once_and_each_gets_everything(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_hub(replay_reads=3) as (hub, log):
        results: list[list[str]] = []

        async def replay() -> None:
            with follow(hub) as subscription:
                results.append(await read_all(subscription))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(replay)
            await trio.testing.wait_all_tasks_blocked()
            assert (log.reading, hub.replay_budget.waiting) == (3, 17)
        assert log.most == 3
        assert results == [[str(number) for number in range(EVENTS)]] * 20
        assert (hub.replay_budget.kept_bytes, hub.replay_budget.waiting) == (0, 0)


async def take_turns(
    budget: ReplayBudget, name: str, turns: list[str], *, is_lagging: bool, count: int
) -> None:
    for _ in range(count):
        await budget.acquire(is_lagging=is_lagging)
        turns.append(name)
        await trio.sleep(1)
        budget.release()


async def test_replays_take_turns(autojump_clock: trio.testing.MockClock) -> None:
    budget, turns = ReplayBudget(1, 0), list[str]()
    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(_take, budget, name, turns, False, 4)
    assert sorted(turns[:3]) == ["a", "b", "c"]
    assert turns == turns[:3] * 4


async def _take(budget: ReplayBudget, name: str, turns: list[str], is_lagging: bool, count: int) -> None:
    await take_turns(budget, name, turns, is_lagging=is_lagging, count=count)


async def test_lagging_readers_go_first_and_replays_do_not_starve(
    autojump_clock: trio.testing.MockClock,
) -> None:
    budget, turns = ReplayBudget(1, 0), list[str]()
    await budget.acquire(is_lagging=False)
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(_take, budget, f"replay {number}", turns, False, 1)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(8):
            nursery.start_soon(_take, budget, f"lagging {number}", turns, True, 1)
        await trio.testing.wait_all_tasks_blocked()
        budget.release()
    kinds = [turn.partition(" ")[0] for turn in turns]
    assert kinds == [*(["lagging"] * 3 + ["replay"]) * 2, "lagging", "lagging", "replay"]


async def test_a_reader_that_leaves_the_line_takes_no_turn(autojump_clock: trio.testing.MockClock) -> None:
    budget, turns = ReplayBudget(1, 0), list[str]()
    await budget.acquire(is_lagging=False)
    leaving = trio.CancelScope()

    async def leave() -> None:
        with leaving:
            await take_turns(budget, "left", turns, is_lagging=False, count=1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(_take, budget, "stayed", turns, False, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert budget.waiting == 2
        leaving.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert budget.waiting == 1
        budget.release()
    assert turns == ["stayed"]
    assert not await budget.acquire(is_lagging=True)  # the only turn is free again


async def test_a_turn_that_was_given_and_cancelled_is_passed_on() -> None:
    budget = ReplayBudget(1, 0)
    await budget.acquire(is_lagging=False)
    given = trio.CancelScope()
    taken = []

    async def take() -> None:
        with given:
            await budget.acquire(is_lagging=False)
            taken.append(True)
            try:
                await trio.lowlevel.checkpoint()
            finally:
                budget.release()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        budget.release()
        given.cancel()
    assert taken == [True]
    assert not await budget.acquire(is_lagging=False)


async def test_clients_that_do_not_read_leave_the_others_their_turns(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log = SlowLog()
    settings = HubSettings(ring_events=256, batch_events=256, replay_reads=2, replay_bytes=1, ring_bytes=1)
    hub = Hub(log, settings, EventSettings(), Metrics(max_type_labels=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        for number in range(EVENTS):
            await hub.publish("a", str(number))
        await trio.testing.wait_all_tasks_blocked()
        with ExitStack() as stack:
            stalled = [stack.enter_context(follow(hub)) for _ in range(5)]
            for subscription in stalled:
                await subscription.receive()  # the first slice, and never the next
            # The first page was kept; with it the budget is used, and the others hold nothing.
            assert log.sizes == [256, 64, 64, 64, 64]
            kept = hub.replay_budget.kept_bytes
            assert kept > 0
            with follow(hub) as reading:
                assert await read_all(reading) == [str(number) for number in range(EVENTS)]
            assert hub.replay_budget.kept_bytes == kept
        assert hub.replay_budget.kept_bytes == 0
        nursery.cancel_scope.cancel()
