"""An HTTP/2 client that keeps one stream's window closed while 200 MB are published."""

import httpx
import pytest
import trio

from streamd.events.sse import Decoder, ServerSentEvent
from streamd.testing import StreamReader, open_stream
from tests.support.http2_client import ManualHTTP2Client
from tests.support.server_process import ServerProcess, server_process

SECONDS = 240
CLOSED_SECONDS = 30.0
CLOSED_BYTES = 200_000_000
EVENT_BYTES = 200_000
WARM_BYTES = 40_000_000  # fills the log and the hub's ring, and warms up the allocator
GROWTH_BYTES = 20_000_000
NEVER_SECONDS = 3600
WINDOW_BYTES = 2**30
PATH = "/events?topic=big&topic=small"


class Scene:
    """Two streams of one connection, one of them stalled, and a stream of another connection."""

    def __init__(
        self,
        server: ServerProcess,
        http: httpx.AsyncClient,
        client: ManualHTTP2Client,
        neighbour: StreamReader,
    ) -> None:
        self.server = server
        self.client = client
        self.published = 0  # events of `small`, which are numbered, and which the log keeps
        self._http = http
        self._neighbour = neighbour
        self._reading = 0

    async def open_streams(self) -> int:
        """Open both streams, and return the id of the one whose window stays closed."""
        stalled = await self.client.get(PATH)
        self._reading = await self.client.get("/events?topic=small")
        self.client.replenished.add(self._reading)
        for stream in (stalled, self._reading):
            await self.read_until(stream, b"event: connected")
        await self._publish_small()
        await self.read_until(stalled, b"data: 0\n")  # the position to resume from
        return stalled

    async def read_until(self, stream: int, mark: bytes) -> None:
        while mark not in self.client.received.get(stream, b""):
            await self.client.read()

    async def publish_and_check(self) -> None:
        """Publish a large and a small event, and check that the other streams receive the small one."""
        await self._publish("big", "x" * EVENT_BYTES)
        await self._publish_small()

    async def _publish_small(self) -> None:
        await self._publish("small", str(self.published))
        await self.read_until(self._reading, f"data: {self.published}\n".encode())
        event = await self._neighbour.next_event()
        assert event is not None
        assert event.data == str(self.published)
        self.published += 1

    async def _publish(self, topic: str, data: str) -> None:
        answer = await self._http.post("/events", json={"topic": topic, "data": data})
        assert answer.status_code == 201, answer.text

    async def publish_much(self) -> int:
        """Publish for the whole time, and return the growth of the server's memory (bytes)."""
        while self.published * EVENT_BYTES < WARM_BYTES:
            await self.publish_and_check()
        warm_bytes, first, began = self.server.rss_bytes, self.published, trio.current_time()
        while (
            trio.current_time() < began + CLOSED_SECONDS
            or (self.published - first) * EVENT_BYTES < CLOSED_BYTES
        ):
            await self.publish_and_check()
            await trio.sleep(0.01)  # sets the rate of publishing; no check depends on it
        return self.server.rss_bytes - warm_bytes

    async def read_to_the_end(self, stream: int) -> None:
        """Open a stream's window, and read up to the last event."""
        self.client.replenished.add(stream)
        self.client.http.increment_flow_control_window(WINDOW_BYTES, stream)
        await self.client.stream.send_all(self.client.http.data_to_send())
        await self.read_until(stream, f"data: {self.published - 1}\n".encode())


def whole_events(data: bytes) -> list[ServerSentEvent]:
    """Decode the complete events in a part of a stream."""
    decoder = Decoder()
    decoder.receive_data(data)
    events = []
    while (block := decoder.next_event()) is not None:
        if isinstance(block, ServerSentEvent):
            events.append(block)
    return events


def check_whole(events: list[ServerSentEvent], published: int) -> None:
    """Check that no event is repeated or out of order, and that a gap reports the lost ones."""
    others = {event.type for event in events if event.type not in ("message", "connected", "heartbeat")}
    assert others == {"gap"}
    ids = [event.last_event_id for event in events if event.type == "message"]
    assert ids == sorted(set(ids))
    small = [event.data for event in events if event.type == "message" and len(event.data) < EVENT_BYTES]
    assert small == [str(number) for number in range(published)]


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("stale_seconds", [NEVER_SECONDS, 5], ids=["resumed", "reaped"])
async def test_a_closed_window_costs_little_memory_and_others_are_served(stale_seconds: float) -> None:
    async with (
        server_process(
            seconds=SECONDS,
            tuning__connections__unhealthy_seconds=1,
            connections__stale_seconds=stale_seconds,
            log__topic_max_bytes=4_000_000,  # a small part of the events of `big`
        ) as server,
        httpx.AsyncClient(base_url=server.url) as http,
        await trio.open_tcp_stream("127.0.0.1", server.port) as tcp,
        open_stream(server.url, topics=["small"]) as neighbour,
    ):
        await neighbour.next_control("connected")
        client = ManualHTTP2Client(tcp)
        scene = Scene(server, http, client, neighbour)
        stalled = await scene.open_streams()
        grown = await scene.publish_much()
        assert grown < GROWTH_BYTES, f"{grown} bytes more than when warm"
        assert len(client.received[stalled]) <= 65_535  # the initial window
        assert (stalled in client.reset) == (stale_seconds < CLOSED_SECONDS)
        if stalled in client.reset:
            events = whole_events(client.received[stalled])
            resumed = await client.get(f"{PATH}&last_event_id={events[-1].last_event_id}")
            await scene.read_to_the_end(resumed)
            events += whole_events(client.received[resumed])
        else:
            await scene.read_to_the_end(stalled)
            events = whole_events(client.received[stalled])
        check_whole(events, scene.published)
        await scene.publish_and_check()
