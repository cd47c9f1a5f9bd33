"""The garbage collector is tuned, and has nothing to free: objects of a connection are freed with it."""

import gc
import socket
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import h11
import pytest
import trio
import trio.testing
from h2.settings import SettingCodes
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from streamd.server import tune_collector
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, open_stream, run_server
from tests.support.certificates import trusting, write_certificate
from tests.support.http2_client import ManualHTTP2Client
from tests.support.sockets import connect

SECONDS = 5
CONNECTIONS = 10  # of each kind
# Modules of a connection's objects. Events stay in the log, and the sweeper makes frames at any time.
PARTS = (
    "hypercorn.",
    "streamd.http.",
    "streamd.connections.connection.",
    "streamd.hub.",
    "streamd.server.",
    "streamd.transports.",
)
KEPT = "hpack_encoder._Field"  # of header fields that were sent lately, for all connections: 512 at most


class Cycle:
    """An object that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collector_off() -> Iterator[None]:
    """Disable automatic collection for a test, and restore the settings after it."""
    threshold = gc.get_threshold()
    assert gc.isenabled()
    assert not gc.get_freeze_count()
    gc.collect()
    gc.disable()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()
    gc.enable()


# --- tuning ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("collector_off")
def test_tuning_freezes_existing_objects_and_makes_full_collections_seldom() -> None:
    cycle = weakref.ref(Cycle())
    kept = Cycle()
    before = gc.get_threshold()
    tune_collector(ServerSettings(gc_tuning=True, gc_threshold=12_345))
    assert cycle() is None  # garbage is collected before the rest is frozen
    assert gc.get_freeze_count() > 0
    assert not any(item is kept for item in gc.get_objects())
    youngest, middle, full = gc.get_threshold()
    assert youngest == 12_345
    assert (middle + 1) * (full + 1) > 100 * (before[1] + 1) * (before[2] + 1), "a full one is seldom"


@pytest.mark.usefixtures("collector_off")
def test_a_collection_that_is_not_full_looks_at_ten_thousand_objects_at_most() -> None:
    tune_collector(ServerSettings())
    youngest, middle, _ = gc.get_threshold()
    assert youngest * (middle + 1) <= 10_000  # 5 ms; 40,000 took up to 30


@pytest.mark.usefixtures("collector_off")
def test_without_tuning_nothing_changes() -> None:
    cycle = weakref.ref(Cycle())
    before = gc.get_threshold()
    tune_collector(ServerSettings(gc_tuning=False, gc_threshold=12_345))
    assert cycle() is not None
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before


# --- connections that are opened, served and closed -------------------------------------------------

Visit = Callable[[RunningServer], Awaitable[None]]


async def follow_and_leave(server: RunningServer) -> None:
    async with open_stream(server.url, topics=["a"]) as reader:
        await reader.next_control("connected")
        await server.streamd.publish("a", "one")
        assert await reader.next_event()


async def follow_until_closed(server: RunningServer) -> None:
    async with open_stream(server.url, topics=["a"], client_id="me") as reader:
        await reader.next_control("connected")
        server.streamd.connections.close("me")
        await reader.next_control("closing")
        assert await reader.next_block() is None


async def follow_until_aborted(server: RunningServer) -> None:
    async with open_stream(server.url, topics=["a"], client_id="me") as reader:
        await reader.next_control("connected")
        server.streamd.connections.find("me").abort()
        with pytest.raises(h11.RemoteProtocolError) as cut_off:
            await reader.next_block()
    assert isinstance(cut_off.value.__cause__, trio.BrokenResourceError)


async def stall_until_aborted(server: RunningServer) -> None:
    """Abort a client while a write waits for the socket."""
    stream = await connect(server.url, receive_buffer_bytes=4096)
    async with open_stream(server.url, topics=["a"], stream=stream, client_id="me"):
        connection = server.streamd.connections.find("me")
        while not connection.stalled_since:
            await server.streamd.publish("a", "x" * 100_000)
        connection.abort()


async def request_twice_and_be_rejected(server: RunningServer) -> None:
    stream = await connect(server.url)
    async with stream:
        for target, status in (("/health/live", b"200"), ("/events/poll?topic=a&wait=0", b"200")):
            await ask(stream, b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target.encode(), status)
        await ask(stream, b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n", b"400")
        body = b'{"topic": "a", "data": 1}'
        post = b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        post += b"Content-Length: %d\r\n\r\n" % len(body)
        await ask(stream, post + body, b"201")


async def ask(stream: trio.abc.Stream, request: bytes, status: bytes) -> None:
    """Send a request, and read an answer that ends with a JSON object or a line."""
    await stream.send_all(request)
    answer = b""
    while not answer.endswith((b"}", b"\n")) or b"\r\n\r\n" not in answer[:-4]:
        answer += await stream.receive_some()
    assert answer.split()[1] == status


async def send_invalid_http(server: RunningServer) -> None:
    stream = await connect(server.url)
    async with stream:
        await stream.send_all(b"\x00\x01 nonsense\r\n\r\n")
        while await stream.receive_some():
            pass


async def request_behind_a_stream(server: RunningServer) -> None:
    async with open_stream(server.url, topics=["a"], client_id="me") as reader:
        await reader.next_control("connected")
        await reader.stream.send_all(b"GET /events?topic=a HTTP/1.1\r\nHost: x\r\n\r\n")
        await server.streamd.publish("a", "one")
        assert await reader.next_event()


@asynccontextmanager
async def talking(server: RunningServer) -> AsyncIterator[WebSocketConnection]:
    tcp = await trio.open_tcp_stream(server.host, server.port)
    async with tcp, trio.open_nursery() as nursery:
        websocket = await wrap_client_stream(nursery, tcp, "test", "/events?topic=a&client_id=me")
        await websocket.get_message()
        await websocket.send_message('{"control": "subscribe", "topics": ["b"]}')
        assert "subscribed" in await websocket.get_message()
        await server.streamd.publish("b", "one")
        assert "one" in await websocket.get_message()
        yield websocket
        nursery.cancel_scope.cancel()


async def talk_until_closed(server: RunningServer) -> None:
    async with talking(server) as websocket:
        server.streamd.connections.close("me")
        with pytest.raises(ConnectionClosed):
            while True:
                await websocket.get_message()


async def talk_and_close(server: RunningServer) -> None:
    async with talking(server) as websocket:
        await websocket.aclose()


async def talk_and_leave(server: RunningServer) -> None:
    async with talking(server):
        pass


async def follow_by_http2(server: RunningServer) -> None:
    """Open four streams: ended by the server, aborted, reset by the client, and left open."""
    async with await trio.open_tcp_stream(server.host, server.port) as tcp:
        client = ManualHTTP2Client(tcp)
        names = ("ended", "aborted", "reset", "left")
        streams = {name: await client.get(f"/events?topic=a&client_id={name}") for name in names}
        while not all(b"connected" in client.received.get(number, b"") for number in streams.values()):
            await client.read()
        server.streamd.connections.close("ended")
        server.streamd.connections.find("aborted").abort()
        await client.cancel(streams["reset"])
        while not (streams["aborted"] in client.reset and b"closing" in client.received[streams["ended"]]):
            await client.read()


async def leave_behind_a_closed_window(server: RunningServer) -> None:
    """Leave an HTTP/2 connection whose answers have no window."""
    async with await trio.open_tcp_stream(server.host, server.port) as tcp:
        client = ManualHTTP2Client(tcp)
        client.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        streams = {await client.get(path) for path in ("/health/live", "/openapi.json", "/events?topic=a")}
        while client.begun != streams:
            await client.read()


VISITS: list[Visit] = [
    follow_and_leave,
    follow_until_closed,
    follow_until_aborted,
    stall_until_aborted,
    request_twice_and_be_rejected,
    request_behind_a_stream,
    send_invalid_http,
    talk_until_closed,
    talk_and_close,
    talk_and_leave,
    follow_by_http2,
    leave_behind_a_closed_window,
]


def parts() -> Counter[str]:
    """Count the objects of each class that connections consist of."""
    names = (f"{type(item).__module__}.{type(item).__qualname__}" for item in gc.get_objects())
    return Counter(name for name in names if name.startswith(PARTS) and not name.endswith(KEPT))


async def check_freed(server: RunningServer, visit: Visit) -> None:
    """Check that many connections leave no objects behind."""
    await visit(server)  # makes the objects that are made once
    await all_left(server)
    gc.collect()
    before = parts()
    for _ in range(CONNECTIONS):
        await visit(server)
    await all_left(server)
    with trio.move_on_after(SECONDS):  # the last trio task may still have to run
        while parts() - before:
            await trio.testing.wait_all_tasks_blocked(0.05)
    left = parts() - before
    assert not left, f"left behind by {CONNECTIONS} connections: {left}"


async def all_left(server: RunningServer) -> None:
    with trio.fail_after(SECONDS):
        while server.streamd.connections.statistics()["active"]:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.05)


@pytest.mark.usefixtures("collector_off")
@pytest.mark.parametrize("visit", VISITS)
async def test_connections_are_freed_without_the_collector(visit: Visit) -> None:
    async with run_server() as server:
        await check_freed(server, visit)


@pytest.mark.usefixtures("collector_off")
async def test_connections_over_tls_are_freed_without_the_collector(tmp_path: Path) -> None:
    pem, context = write_certificate(tmp_path), trusting()

    async def follow_by_tls(server: RunningServer) -> None:
        async with open_stream(server.url, topics=["a"], tls=context) as reader:
            await reader.next_control("connected")
            await server.streamd.publish("a", "one")
            assert await reader.next_event()

    async def fail_the_handshake(server: RunningServer) -> None:
        with socket.create_connection((server.host, server.port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    async with run_server(Settings(server=ServerSettings(certfile=pem, keyfile=pem))) as server:
        await check_freed(server, follow_by_tls)
        await check_freed(server, fail_the_handshake)
