"""The loop of a stream keeps no frame for as long as the stream lasts."""

import gc
import weakref
from collections.abc import Sequence

import trio
import trio.testing

from streamd.broker import Broker, BrokerSettings
from streamd.events import Control, Event, Frame, Selectors
from streamd.events.control import ControlName
from streamd.events.ids import make_event_id
from streamd.hub import DeliveryRecord, SendQueue, Wire
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.transports import StreamRequest
from streamd.transports.asgi import ASGIEventStreamWire
from streamd.transports.stream import admit, run_stream
from tests.support.logs import draft


class WatchedEvent(Event, frozen=True, eq=False, gc=True, weakref=True):
    """An event whose end can be watched."""


class OneFrame:
    """A source of one event, and then of none for a long time."""

    def __init__(self) -> None:
        self._frames: list[Frame] = [WatchedEvent.from_draft(draft("a", "x"), make_event_id(1, 1))]
        self.given: list[weakref.ref[Frame]] = []

    async def receive(self) -> Sequence[Frame]:
        if not self._frames:
            await trio.sleep_forever()
        frames, self._frames = self._frames, []
        self.given += [weakref.ref(frame) for frame in frames]
        return frames

    def write_through(self, wire: Wire | None, sent: DeliveryRecord | None = None) -> None:
        pass


def make_broker() -> Broker:
    return Broker.create(BrokerSettings(), MemoryLog(LogSettings()))


def make_greeting() -> Control:
    return Control(ControlName.CONNECTED, {})


async def test_a_stream_that_waits_keeps_no_frame_that_it_has_written() -> None:
    broker, source, written = make_broker(), OneFrame(), list[bytes]()

    async def send(message: dict[str, bytes]) -> None:
        written.append(message["body"])

    with admit(broker, "sse", StreamRequest(selectors=Selectors()), SendQueue(4, 1000)) as connection:
        async with trio.open_nursery() as nursery:
            wire = ASGIEventStreamWire(send)
            nursery.start_soon(run_stream, broker, connection, source, wire, make_greeting())
            await trio.testing.wait_all_tasks_blocked()
            gc.collect()
            assert len(written) == 2
            [frame] = source.given
            assert frame() is None
            nursery.cancel_scope.cancel()


def test_clients_of_one_topic_share_their_selectors() -> None:
    def parse(*topics: str, pattern: str = "") -> Selectors:
        patterns = [pattern] if pattern else []
        return Selectors.parse(topics, patterns, max_selectors=4, max_topic_bytes=100, max_pattern_bytes=100)

    assert parse("a") is parse("a")
    assert parse(pattern="a/*") is parse(pattern="a/*")
    assert parse("a") == Selectors(["a"])
    assert parse("a/*").topics
    assert parse(pattern="a/*").patterns
    assert parse("a", "b") == parse("b", "a") == Selectors(["a", "b"])
