"""Reconnect storms: while 500 clients connect or leave at once, other clients are served."""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from itertools import pairwise

import attrs
import trio

from streamd.server import raise_open_files
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, StreamReader, open_stream, run_server

SECONDS = 60
CLIENTS = 500
EACH_PASS = 4
# Between two events at the client there are some passes of the event loop, which it shares with the server.
MAX_BETWEEN_EVENTS = 10 * EACH_PASS
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s
REQUEST = b"GET /events?topic=%b HTTP/1.1\r\nHost: x\r\n\r\n"
SETTINGS = Settings(server=ServerSettings(accepts_each_pass=EACH_PASS, arrivals_each_pass=EACH_PASS))


@attrs.frozen
class Scene:
    """A server, and a client that was connected before the storm."""

    server: RunningServer
    reader: StreamReader

    def others(self) -> int:
        """Return the number of further connections."""
        return int(self.server.streamd.connections.statistics()["active"]) - 1

    async def read_one(self, data: str) -> None:
        await self.server.streamd.publish("a", data)
        event = await self.reader.next_event()
        assert event is not None
        assert event.data == data

    async def events_until(self, is_over: Callable[[int], bool]) -> list[int]:
        """Publish and read event after event; return the number of other connections at each."""
        others = [self.others()]
        while not is_over(others[-1]):
            await self.read_one(f"event {len(others)}")
            others.append(self.others())
        return others


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    raise_open_files()
    with trio.fail_after(SECONDS):
        async with run_server(SETTINGS) as server, open_stream(server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
            there = Scene(server, reader)
            await there.read_one("before")
            yield there


def connect_all(server: RunningServer, stack: ExitStack, topic: bytes) -> list[socket.socket]:
    """Connect clients and send their requests, all in one pass of the event loop."""
    clients = []
    for _ in range(CLIENTS):
        client = stack.enter_context(socket.create_connection((server.host, server.port)))
        client.sendall(REQUEST % topic)
        clients.append(client)
    return clients


async def check_served(client: socket.socket, last: str) -> None:
    """Check that a client is connected, and received the event published after the storm."""
    data = b""
    while last.encode() not in data:
        await trio.lowlevel.wait_readable(client)
        part = client.recv(65_536)
        assert part, data
        data += part
    assert b"event: connected" in data


async def test_while_many_clients_connect_at_once_others_receive_events() -> None:
    async with scene() as there:
        with ExitStack() as stack:
            clients = connect_all(there.server, stack, b"a")
            others = await there.events_until(lambda count: count == CLIENTS)
            assert max(after - before for before, after in pairwise(others)) <= MAX_BETWEEN_EVENTS, others
            await there.read_one("the last")
            for client in clients:
                await check_served(client, "the last")


async def test_while_many_clients_leave_at_once_others_receive_events() -> None:
    async with scene() as there:
        with ExitStack() as stack:
            connect_all(there.server, stack, b"b")
            await there.events_until(lambda count: count == CLIENTS)
        others = await there.events_until(lambda count: count == 0)
        assert max(before - after for before, after in pairwise(others)) <= MAX_BETWEEN_EVENTS, others


async def test_while_writes_to_many_clients_fail_others_receive_events() -> None:
    async with scene() as there:
        with ExitStack() as stack:
            clients = connect_all(there.server, stack, b"b")
            await there.events_until(lambda count: count == CLIENTS)
            for client in clients:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await there.server.streamd.publish("b", "to clients that have left")
        others = await there.events_until(lambda count: count == 0)
        assert max(before - after for before, after in pairwise(others)) <= MAX_BETWEEN_EVENTS, others
