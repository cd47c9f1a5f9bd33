"""A slow client receives exactly the published events, byte for byte, on each wire.

The kernel's buffers are tiny, so that most writes are partial. The client reads in pieces of odd sizes while
events and control frames are sent, falls behind, and catches up.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from streamd.connections.settings import ConnectionSettings
from streamd.events import Batch, Control, Draft
from streamd.events.control import heartbeat
from streamd.events.settings import EventSettings
from streamd.hub.settings import HubSettings
from streamd.server.http2 import HTTP2Wire
from streamd.server.output import Output
from streamd.server.settings import ServerSettings
from streamd.server.wires import SocketWire
from streamd.testing import RunningServer, run_server
from tests.support.waiting import until
from tests.support.wire_clients import HTTP2Client, HTTP11Client, WireClient
from tests.support.wire_kinds import WireKind, on_each_wire, settings_for, subscribed, subscription_of

SECONDS = 60
SEND_BUFFER_BYTES = 4608  # the minimum of Linux
RECEIVE_BUFFER_BYTES = 4096
WINDOW_BYTES = 30_000  # of an HTTP/2 stream: smaller than some events
TOPICS = ("a", "b")
LARGEST_BYTES = 40_000
CONNECTIONS = ConnectionSettings(heartbeat_seconds=300)  # the test sends them instead
HUB = HubSettings(send_queue_events=8, batch_events=4, ring_events=16)
ALPHABET = 'abc "\\/<&é€漢🦊\t\u2028'
ROUNDS = 30  # of publishing and reading a little
PIECES = (1, 2, 3, 7, 61, 509, 1021, 4093, 8191)  # maximum size of a read (bytes)


@attrs.define
class Writes:
    """Counts the direct writes of the fan-out."""

    direct: int = 0  # batches that a wire accepted
    partial: int = 0  # direct writes that left bytes in the tail


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    counted = Writes()

    def count(wire: type[Any]) -> None:
        write_nowait = wire.write_nowait

        def counting(self: Any, batch: Batch) -> int:
            written: int = write_nowait(self, batch)
            counted.direct += bool(written)
            return written

        monkeypatch.setattr(wire, "write_nowait", counting)

    def look_at_tail(output: Output) -> None:
        counted.partial += bool(output._tail)

    write_nowait, put = Output.write_nowait, Output.put

    def write_and_look(self: Output, data: bytes) -> bool:
        if taken := write_nowait(self, data):
            look_at_tail(self)
        return taken

    def put_and_look(self: Output, data: bytes) -> None:
        put(self, data)
        look_at_tail(self)

    count(SocketWire)
    count(HTTP2Wire)
    monkeypatch.setattr(Output, "write_nowait", write_and_look)
    monkeypatch.setattr(Output, "put", put_and_look)
    return counted


@attrs.define
class Publisher:
    """Publishes events of all sizes to one client, with control frames in between.

    Attributes:
        events: expected events, as encoded on the client's wire.
        controls: names of the expected control frames.
    """

    server: RunningServer
    encode: Callable[[str, str, str], bytes]
    random: random.Random
    events: list[bytes] = attrs.field(factory=list)
    controls: list[str] = attrs.field(factory=list)

    async def publish(self, *texts: str) -> None:
        """Publish texts in one call, each on a random topic."""
        pairs = [(self.random.choice(TOPICS), text) for text in texts]
        drafts = [Draft.create(topic, text, limits=EventSettings()) for topic, text in pairs]
        receipts = await self.server.streamd.hub.publish_drafts(drafts)
        for receipt, (topic, text) in zip(receipts, pairs, strict=True):
            self.events.append(self.encode(receipt.id, topic, text))
        await self.server.streamd.publish("c", "for nobody")

    async def publish_some(self) -> None:
        """Publish one to four events of any size, and perhaps send a control frame to the client."""
        await self.publish(*(self.text() for _ in range(self.random.randint(1, 4))))
        frame = self.random.choice((None, heartbeat(datetime.now(UTC)), Control("mark", {"text": "é\n"})))
        if frame is not None and self.server.streamd.connections.send("slow", frame):
            self.controls.append(str(frame.name))

    def text(self) -> str:
        """Make a text of up to 40 kB, of one line or several, some of them empty."""
        letters = self.random.choices(ALPHABET, k=self.random.choice((0, 1, 5, 5, 120, 500, 6000)))
        text = "".join(letters) * self.random.choice((1, 1, 3))
        if self.random.random() < 0.4:
            text = "\n".join((text, "", *text.split("/"), text[:50]))
        return (text or "x").encode()[:LARGEST_BYTES].decode(errors="ignore")


def is_live(server: RunningServer) -> bool:
    return subscription_of(server, "slow").live


def overflows(server: RunningServer) -> float:
    """Return the number of times that the client left the live set."""
    name, labels = "streamd_subscription_overflows_total", {"policy": "catch-up"}
    return server.streamd.runtime.broker.metrics.registry.get_sample_value(name, labels) or 0


def is_level(server: RunningServer) -> bool:
    """Return True if a direct write is possible: no queued frame, no buffered byte, an open window."""
    subscription = subscription_of(server, "slow")
    wire = subscription._wire
    if subscription.level_cursor() is None or wire is None:
        return False
    assert isinstance(wire, SocketWire | HTTP2Wire)
    if wire._output is None or not wire._output.free:
        return False
    if isinstance(wire, HTTP2Wire):
        return wire._protocol.connection.local_flow_control_window(1) == WINDOW_BYTES
    return True


async def read_direct(publisher: Publisher, client: WireClient, writes: Writes) -> None:
    """Check that a level client is written to directly: small events whole, large ones in part."""
    for size in (2, 20_000, 126, 64, 25_000):
        await until(partial(is_level, publisher.server))
        before = attrs.evolve(writes)
        await publisher.publish("é" * (size // 2))
        await client.read_until(lambda: len(client.events) == len(publisher.events), 1021)
        assert writes.direct == before.direct + 1, size
        assert writes.partial == before.partial + (size >= 20_000), size


async def fall_behind(publisher: Publisher) -> None:
    """Publish until the client lags, which reads nothing, and then some more."""
    while is_live(publisher.server):
        await publisher.publish_some()
    for _ in range(5):
        await publisher.publish_some()


async def read_slowly(publisher: Publisher, client: WireClient) -> None:
    """Read a little after each publish."""
    for _ in range(ROUNDS):
        await publisher.publish_some()
        for _ in range(publisher.random.randrange(20)):
            if len(client.events) < len(publisher.events):  # there is more to read
                await client.read(publisher.random.choice(PIECES))


async def read_all(publisher: Publisher, client: WireClient) -> None:
    while len(client.events) < len(publisher.events) or len(client.controls) <= len(publisher.controls):
        await client.read(publisher.random.choice(PIECES))


def check(publisher: Publisher, client: WireClient) -> None:
    """Check that each event and control frame was received once, in order, in its exact encoding."""
    for number, (received, published) in enumerate(zip(client.events, publisher.events, strict=True)):
        assert received == published, number
    assert [name for name, _ in client.controls] == ["connected", *publisher.controls]


@on_each_wire
@pytest.mark.parametrize("seed", range(2))
async def test_a_slow_client_receives_exactly_the_published_events(
    wire: WireKind, seed: int, tmp_path: Path, writes: Writes
) -> None:
    settings = settings_for(
        wire, tmp_path, ServerSettings(send_buffer_bytes=SEND_BUFFER_BYTES), hub=HUB, connections=CONNECTIONS
    )
    with trio.fail_after(SECONDS):
        async with (
            run_server(settings) as server,
            subscribed(
                server,
                wire,
                *TOPICS,
                receive_buffer_bytes=RECEIVE_BUFFER_BYTES,
                window_bytes=WINDOW_BYTES,
                client_id="slow",
            ) as client,
        ):
            publisher = Publisher(server, wire.client.encode, random.Random(seed))
            await read_direct(publisher, client, writes)
            for times in (1, 2):
                await fall_behind(publisher)
                assert overflows(server) >= times
                await read_slowly(publisher, client)
                await read_all(publisher, client)
                await until(partial(is_live, server))
                await read_direct(publisher, client, writes)
            check(publisher, client)
            await check_end(server, client)


async def check_end(server: RunningServer, client: WireClient) -> None:
    """Check that the stream is ended properly, with nothing after it."""
    server.streamd.connections.close("slow")
    await client.read_until(lambda: client.ended)
    assert client.controls[-1] == ("closing", {"reason": "closed"})
    if type(client) is HTTP11Client:  # the connection goes on: the next response follows immediately
        await client.stream.send_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join([bytes(part) async for part in client.stream])
        assert answer.startswith(b"HTTP/1.1 200 ")
    elif not isinstance(client, HTTP2Client):
        await client.read_until(lambda: client.at_eof)
