"""Joining the live set with a send queue that is too small for the missed events keeps their order."""

import pytest
import trio

from streamd.events import Event, Selectors
from streamd.events.settings import EventSettings
from streamd.hub import Hub, LatestSendQueue, SendQueue
from streamd.hub.settings import HubSettings
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.metrics import Metrics

SECONDS = 20
EVENTS = 20
EVENT_BYTES = 1000
QUEUE_BYTES = 5 * EVENT_BYTES  # room for some of the events, far from all


@pytest.mark.parametrize("kind", [SendQueue, LatestSendQueue])
async def test_events_that_do_not_fit_come_after_those_that_do(kind: type[SendQueue]) -> None:
    settings = HubSettings(batch_events=3, ring_events=100)
    hub = Hub(MemoryLog(LogSettings()), settings, EventSettings(), Metrics(max_type_labels=10))
    start = hub.log.head
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            ids = [
                await hub.publish("a", "x" * EVENT_BYTES, type=f"type {number}") for number in range(EVENTS)
            ]
            while hub.position < ids[-1]:  # all of them are in the ring
                await trio.lowlevel.checkpoint()
            queue = kind(EVENTS, QUEUE_BYTES)
            received: list[str] = []
            with hub.subscribe(Selectors(topics=["a"]), start, queue) as subscription:
                while not received or received[-1] != ids[-1]:
                    frames = await subscription.receive()
                    received += [frame.id for frame in frames if isinstance(frame, Event)]
            nursery.cancel_scope.cancel()
    assert received == ids
