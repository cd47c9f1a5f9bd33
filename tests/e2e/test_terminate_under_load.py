"""SIGTERM under load: all clients are notified, no event is lost, and the process ends in time."""

import json
import signal
from collections.abc import Sequence

import attrs
import h2.config
import h2.connection
import h2.events
import trio

from streamd.events.sse import Decoder, ServerSentEvent
from streamd.testing import open_stream
from tests.support.server_process import ServerProcess, server_process
from tests.support.wire_clients import WebSocketClient

SECONDS = 90
DRAIN_SECONDS = 15
MARGIN_SECONDS = 10  # for the process to end on a busy machine
SSE, SOCKETS, STREAMS = 150, 20, 20
CLIENTS = SSE + SOCKETS + STREAMS
TARGET = "/events?topic=load"
EVENTS_A_POST = 5
DATA = "é" * 100
LOADED = 300  # events that each client has received before SIGTERM

Received = list[tuple[str, int]]  # ids and numbers, as one client received them


@attrs.define
class Load:
    """The published events, and the events of each client."""

    server: ServerProcess
    published: dict[str, int] = attrs.field(factory=dict)  # acknowledged: numbers by id
    received: list[Received] = attrs.field(factory=list)
    notified: int = 0  # clients that read `closing`, and then the end of their stream

    def add_client(self) -> Received:
        self.received.append([])
        return self.received[-1]

    def count_closing(self, reason: str) -> None:
        assert reason == "shutdown"
        self.notified += 1


async def publish(load: Load) -> None:
    """Publish as fast as the server answers, until it closes the connection."""
    number = 0
    try:
        async with await trio.open_tcp_stream("127.0.0.1", load.server.port) as stream:
            while True:
                numbers = range(number, number + EVENTS_A_POST)
                await post(stream, [f"{n} {DATA}" for n in numbers])
                ids = await read_ids(stream)
                load.published.update(zip(ids, numbers, strict=True))
                number += EVENTS_A_POST
    except (EOFError, trio.BrokenResourceError):
        assert load.published


async def post(stream: trio.SocketStream, texts: Sequence[str]) -> None:
    body = json.dumps([{"topic": "load", "data": text} for text in texts]).encode()
    head = "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    await stream.send_all(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


async def read_ids(stream: trio.SocketStream) -> list[str]:
    """Read the answer, and return the ids of the published events.

    Raises:
        EOFError: the server has closed the connection.
    """
    answer = b""
    while not answer.endswith(b"]}"):
        data = await stream.receive_some()
        if not data:
            raise EOFError
        answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 "), answer
    return list(json.loads(body)["ids"])


async def follow(load: Load, task_status: trio.TaskStatus[None]) -> None:
    received = load.add_client()
    async with open_stream(load.server.url, topics=["load"]) as reader:
        await reader.next_control("connected")
        task_status.started()
        while isinstance(block := await reader.next_block(), ServerSentEvent) and block.type == "message":
            received.append((block.last_event_id, number_of(block.data)))
        assert isinstance(block, ServerSentEvent)
        assert block.type == "closing"
        assert await reader.next_block() is None
        assert reader.ended
        load.count_closing(json.loads(block.data)["reason"])


async def follow_websocket(load: Load, task_status: trio.TaskStatus[None]) -> None:
    received = load.add_client()
    async with await trio.open_tcp_stream("127.0.0.1", load.server.port) as stream:
        client = WebSocketClient(stream)
        await client.open(TARGET, 0)
        await client.read_control("connected")
        task_status.started()
        while not client.ended:
            await client.read()
            for text in client.events:
                event = json.loads(text)
                received.append((event["id"], number_of(event["data"])))
            client.events.clear()
        assert client.close_code == 1012
        [*_, (name, fields)] = client.controls
        assert name == "closing"
        load.count_closing(fields["reason"])


async def follow_streams(load: Load, task_status: trio.TaskStatus[None]) -> None:
    """Follow twenty streams on one HTTP/2 connection, and decode each as its bytes arrive."""
    http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    http.initiate_connection()
    received: dict[int, Received] = {}
    decoders: dict[int, Decoder] = {}
    open_streams: set[int] = set()
    for _ in range(STREAMS):
        stream_id = http.get_next_available_stream_id()
        head = [(":method", "GET"), (":path", TARGET), (":scheme", "http"), (":authority", "localhost")]
        http.send_headers(stream_id, head, end_stream=True)
        received[stream_id], decoders[stream_id] = load.add_client(), Decoder()
        open_streams.add(stream_id)
    closing: dict[int, str] = {}
    connected: set[int] = set()
    async with await trio.open_tcp_stream("127.0.0.1", load.server.port) as stream:
        while open_streams:
            await stream.send_all(http.data_to_send())
            data = await stream.receive_some()
            assert data, f"{len(open_streams)} streams were cut off"
            for event in http.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
                    decoder = decoders[event.stream_id]
                    decoder.receive_data(event.data or b"")
                    while block := decoder.next_event():
                        assert isinstance(block, ServerSentEvent)
                        assert event.stream_id not in closing
                        if block.type == "message":
                            received[event.stream_id].append((block.last_event_id, number_of(block.data)))
                        elif block.type == "connected":
                            connected.add(event.stream_id)
                            if len(connected) == STREAMS:
                                task_status.started()
                        elif block.type == "closing":
                            closing[event.stream_id] = json.loads(block.data)["reason"]
                elif isinstance(event, h2.events.StreamEnded):
                    open_streams.remove(event.stream_id)
                    load.count_closing(closing[event.stream_id])


def number_of(data: str) -> int:
    number, _, rest = data.partition(" ")
    assert rest == DATA
    return int(number)


def check(load: Load) -> None:
    """Check that each client has a prefix of the events, each once and in order."""
    assert load.notified == len(load.received) == CLIENTS
    ids: dict[int, str] = {number: id for id, number in load.published.items()}
    for received in load.received:
        assert [number for _, number in received] == list(range(len(received)))
        assert sorted(id for id, _ in received) == [id for id, _ in received]
        for id, number in received:  # the last ones may not have been acknowledged
            assert ids.setdefault(number, id) == id


async def test_all_clients_are_notified_and_no_event_is_lost_or_repeated() -> None:
    async with server_process(seconds=SECONDS, server__drain_seconds=DRAIN_SECONDS) as server:
        load = Load(server)
        async with trio.open_nursery() as clients:
            for _ in range(SSE):
                await clients.start(follow, load)
            for _ in range(SOCKETS):
                await clients.start(follow_websocket, load)
            await clients.start(follow_streams, load)
            clients.start_soon(publish, load)
            while min(map(len, load.received)) < LOADED:
                await trio.lowlevel.checkpoint()
            server.program.signal(signal.SIGTERM)
            assert await server.exit_status(DRAIN_SECONDS + MARGIN_SECONDS) == 0
        check(load)
        assert "Traceback" not in await server.program.rest(2)
