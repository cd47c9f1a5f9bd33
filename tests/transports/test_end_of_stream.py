"""A stream ends at once when its connection is to end, whatever its loop waits for."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from streamd.broker import Broker, BrokerSettings
from streamd.connections import Connection
from streamd.events import Batch, Control, EventId, Selectors
from streamd.hub import HubSettings, Overflow, Subscription
from streamd.log.memory import MemoryLog
from streamd.log.port import Page
from streamd.log.settings import LogSettings
from streamd.transports import StreamRequest, open_stream
from streamd.transports.generated import GeneratedSource
from streamd.transports.stream import Source, run_stream


class StalledLog(MemoryLog):
    """A log of which a page takes for ever to read."""

    reads = 0

    async def read(self, selectors: Selectors, after: EventId, *, max_events: int, max_bytes: int) -> Page:
        self.reads += 1
        await trio.sleep_forever()


@attrs.define
class RecordingWire:
    """A wire that takes a number of batches, and stalls at the next but ``closing``."""

    taken_at_most: int = 1000
    names: list[str] = attrs.field(factory=list)

    def write_nowait(self, batch: Batch) -> int:
        return 0

    async def write(self, batch: Batch) -> int:
        names = [frame.name if isinstance(frame, Control) else "event" for frame in batch.frames]
        if len(self.names) >= self.taken_at_most and names != ["closing"]:
            await trio.sleep_forever()
        self.names += names
        await trio.lowlevel.checkpoint()
        return 1

    def release(self) -> None:
        pass


async def wait_forever() -> AsyncIterator[str]:
    await trio.Event().wait()
    yield ""


@asynccontextmanager
async def streaming(
    broker: Broker, request: StreamRequest, wire: RecordingWire, *, generates: bool = False
) -> AsyncIterator[tuple[Connection, trio.Event]]:
    """Run a stream until it waits; the event is set when its loop has ended."""
    ended = trio.Event()

    async def run(connection: Connection, source: Source) -> None:
        await run_stream(broker, connection, source, wire, Control("connected"))
        ended.set()

    with open_stream(broker, "sse", request) as (connection, subscription):
        source: GeneratedSource | Subscription = subscription
        if generates:
            source = GeneratedSource(wait_forever(), connection.send_queue)
        async with trio.open_nursery() as nursery:
            if isinstance(source, GeneratedSource):
                nursery.start_soon(source.run)
            nursery.start_soon(run, connection, source)
            await trio.testing.wait_all_tasks_blocked()
            yield connection, ended
            nursery.cancel_scope.cancel()


def make_broker(log: MemoryLog | None = None) -> Broker:
    settings = BrokerSettings(hub=HubSettings(ring_events=1))
    return Broker.create(settings, log or MemoryLog(LogSettings()))


REQUEST = StreamRequest(selectors=Selectors(["a"]))
ENDINGS: list[tuple[Callable[[Connection], None], list[str]]] = [
    (lambda connection: connection.close("tested"), ["closing"]),
    (Connection.mark_disconnected, []),
    (Connection.abort, []),
]
with_endings = pytest.mark.parametrize(("end", "told"), ENDINGS, ids=["close", "mark_disconnected", "abort"])


@with_endings
@pytest.mark.parametrize("overflow", Overflow)
async def test_a_level_stream_ends_at_once(
    end: Callable[[Connection], None], told: list[str], overflow: Overflow
) -> None:
    wire = RecordingWire()
    async with streaming(make_broker(), attrs.evolve(REQUEST, overflow=overflow), wire) as (
        connection,
        ended,
    ):
        end(connection)
        await trio.testing.wait_all_tasks_blocked()
        assert ended.is_set()
        assert wire.names == ["connected", *told]


@with_endings
async def test_a_stream_ends_while_a_page_of_the_log_is_read(
    end: Callable[[Connection], None], told: list[str]
) -> None:
    log = StalledLog(LogSettings())
    broker, wire = make_broker(log), RecordingWire()
    for _ in range(3):
        await broker.hub.publish("a", "x")
    request = attrs.evolve(REQUEST, after=EventId("0000000000001-000000"))
    async with streaming(broker, request, wire) as (connection, ended):
        assert log.reads == 1
        end(connection)
        await trio.testing.wait_all_tasks_blocked()
        assert ended.is_set()
        assert wire.names == ["connected", *told]


@with_endings
@pytest.mark.parametrize("taken", [0, 1], ids=["greeting", "events"])
async def test_a_stream_ends_while_a_write_makes_no_progress(
    end: Callable[[Connection], None], told: list[str], taken: int
) -> None:
    wire = RecordingWire(taken)
    async with streaming(make_broker(), REQUEST, wire) as (connection, ended):
        connection.send(Control("a message"))
        await trio.testing.wait_all_tasks_blocked()
        assert not ended.is_set()
        end(connection)
        await trio.testing.wait_all_tasks_blocked()
        assert ended.is_set()
        assert connection.stalled_since is None
        assert wire.names == ["connected"][:taken] + told


@with_endings
async def test_a_generated_stream_ends_while_its_generator_yields_nothing(
    end: Callable[[Connection], None], told: list[str]
) -> None:
    wire = RecordingWire()
    async with streaming(make_broker(), REQUEST, wire, generates=True) as (connection, ended):
        end(connection)
        await trio.testing.wait_all_tasks_blocked()
        assert ended.is_set()
        assert wire.names == ["connected", *told]


async def test_frames_that_are_queued_when_a_level_stream_ends_are_dropped() -> None:
    wire = RecordingWire()
    async with streaming(make_broker(), REQUEST, wire) as (connection, ended):
        connection.send(Control("a message"))
        connection.close("tested")
        await ended.wait()
        assert wire.names == ["connected", "closing"]


async def test_a_level_stream_has_no_cancel_scope() -> None:
    def count() -> int:
        gc.collect()
        return sum(isinstance(found, trio.CancelScope) for found in gc.get_objects())

    broker, streams = make_broker(), 3

    async def stream() -> None:
        with open_stream(broker, "sse", REQUEST) as (connection, subscription):
            await run_stream(broker, connection, subscription, RecordingWire(), Control("connected"))

    async with trio.open_nursery() as nursery:
        before = count()
        for _ in range(streams):
            nursery.start_soon(stream)
        await trio.testing.wait_all_tasks_blocked()
        assert len(list(broker.connections)) == streams
        assert count() == before
        nursery.cancel_scope.cancel()
