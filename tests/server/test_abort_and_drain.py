"""The end of a connection on each wire: abort, drain, reset, and a reused descriptor."""

import importlib
import os
import select
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from streamd.events import Batch, DataEncoding, Event, EventId, Selectors
from streamd.hub import SendQueue
from streamd.hub.settings import HubSettings
from streamd.hub.turn import Turn
from streamd.server.connection import ServerConnection
from streamd.server.http2 import HTTP2Wire
from streamd.server.live import LiveConnections
from streamd.server.settings import ServerSettings
from streamd.server.wires import Lease
from streamd.testing import RunningServer, run_server
from tests.support.waiting import until
from tests.support.wire_clients import HTTP2Client, WebSocketClient, WireClient
from tests.support.wire_kinds import (
    WireKind,
    connect_to,
    on_each_wire,
    reset_connection,
    settings_for,
    socket_of,
    subscribed,
    subscription_of,
)

SECONDS = 60
DRAIN_SECONDS = 1.0
GRACE_SECONDS = 0.5
MARGIN_SECONDS = 5.0  # for a busy machine; a pending write would last for its timeout, an hour
EVENT_BYTES = 20_000
PUBLISHED = 100  # 2 MB in total, far more than the buffers in between
SERVER = ServerSettings(
    send_buffer_bytes=4608,
    drain_seconds=DRAIN_SECONDS,
    grace_seconds=GRACE_SECONDS,
    write_timeout_seconds=3600,  # no timeout may end a connection
    tcp_user_timeout_ms=0,
)
# Subscriptions that the fan-out offers an event before it checks the clock and yields.
BEFORE_A_YIELD = 32

NEXT_ID = EventId(f"{10**13 - 1}-000000")  # after every id of the log

Live = LiveConnections[ServerConnection]


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Live:
    """Return the connections of the test's server."""
    connections = Live()
    # By name, because the package also has a function called `serve`.
    module = importlib.import_module("streamd.server.serve")
    monkeypatch.setattr(module, "LiveConnections", lambda: connections)
    return connections


@asynccontextmanager
async def serving(wire: WireKind, folder: Path, **sections: Any) -> AsyncIterator[RunningServer]:
    with trio.fail_after(SECONDS):
        async with run_server(settings_for(wire, folder, SERVER, **sections)) as server:
            yield server


def active(server: RunningServer) -> int:
    return int(server.streamd.connections.statistics()["active"])


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def stall(server: RunningServer, client_id: str) -> None:
    """Publish until the buffers in between are full, and nothing more is written to the client."""
    for _ in range(PUBLISHED):
        await server.streamd.publish("big", "x" * EVENT_BYTES)
    connection = server.streamd.connections.find(client_id)
    await until(lambda: not subscription_of(server, client_id).live and connection.stalled_since is not None)


async def settled_tasks() -> int:
    """Return the number of trio tasks when all of them wait."""
    await trio.testing.wait_all_tasks_blocked()
    return tasks()


async def check_served(server: RunningServer, client: WireClient, text: str, topic: str = "small") -> None:
    """Publish an event, and check that it is the next that the client receives."""
    number = len(client.events)
    event_id = await server.streamd.publish(topic, text)
    await client.read_until(lambda: len(client.events) > number)
    assert client.events[number:] == [client.encode(event_id, topic, text)]


def address_of(client: WireClient) -> tuple[str, int]:
    host, port = socket_of(client.stream).getsockname()
    return host, port


def server_side_of(live: Live, client: WireClient) -> ServerConnection:
    """Return the server's object for a client's connection."""
    [connection] = [connection for connection in live if connection.address == address_of(client)]
    return connection


def wait_for_reset(connection: ServerConnection) -> None:
    """Block the process until the kernel has received the client's reset; no trio task runs meanwhile."""
    poll = select.poll()
    poll.register(connection._sock, select.POLLERR)
    assert poll.poll(1000 * SECONDS)


def takes_direct_writes(wire: Any) -> bool:
    """Return True once the greeting is written, and the task that wrote it has left the connection's output.

    The client may have the greeting before that. An event is queued until then, and not written.
    """
    return (
        isinstance(wire, Lease)
        and wire._output is not None
        and wire._output.free
        and (not isinstance(wire, HTTP2Wire) or wire._buffer.is_empty)
    )


def check_closing(client: WireClient, reason: str) -> None:
    """Check that the client received the reason, and that its stream was ended properly."""
    assert client.ended
    name, fields = client.controls[-1]
    assert (name, fields["reason"]) == ("closing", reason)
    if isinstance(client, WebSocketClient):
        assert client.close_code == 1012


@on_each_wire
async def test_a_stalled_client_is_aborted_at_once_and_others_are_served(
    wire: WireKind, tmp_path: Path, live: Live
) -> None:
    async with serving(wire, tmp_path) as server, subscribed(server, wire, "small") as other:
        tasks_before = await settled_tasks()
        async with subscribed(server, wire, "big", receive_buffer_bytes=4096, client_id="stalled") as client:
            await stall(server, "stalled")
            await check_served(server, other, "while it is stalled")
            connection = server.streamd.connections.find("stalled")
            connection.abort()
            assert connection.is_disconnected
            assert server.streamd.hub.statistics()["subscriptions"] == 1
            await until(lambda: active(server) == 1)
            if wire.client is HTTP2Client:  # only its stream is reset: the connection goes on once it is read
                assert len(live) == 2
                await client.read_until(lambda: isinstance(client, HTTP2Client) and client.reset)
            else:
                await until(lambda: len(live) == 1)
                await until(lambda: tasks() == tasks_before)
                with pytest.raises(trio.BrokenResourceError):
                    await client.read_until(lambda: client.ended)
            assert len(client.events) < PUBLISHED
            assert not client.ended
        await until(lambda: len(live) == 1)
        await until(lambda: tasks() == tasks_before)
        await check_served(server, other, "and after it is gone")
        assert [name for name, _ in other.controls] == ["connected"]


@on_each_wire
async def test_a_stalled_client_does_not_delay_draining(wire: WireKind, tmp_path: Path, live: Live) -> None:
    async with AsyncExitStack() as clients:
        async with serving(wire, tmp_path) as server:
            enter = clients.enter_async_context
            await enter(subscribed(server, wire, "big", receive_buffer_bytes=4096, client_id="stalled"))
            healthy = await enter(subscribed(server, wire, "small"))
            await stall(server, "stalled")
            await check_served(server, healthy, "before the end")
            assert len(live) == 2
            began = trio.current_time()
            server.stop()
            await healthy.read_until(lambda: healthy.ended)
            check_closing(healthy, "shutdown")
            if not healthy.at_eof:
                await healthy.read_until(lambda: healthy.at_eof)
            assert len(healthy.events) == 1
        assert trio.current_time() - began < DRAIN_SECONDS + GRACE_SECONDS + MARGIN_SECONDS
        assert not live
        assert active(server) == 0


@on_each_wire
async def test_a_cancelled_server_does_not_wait_for_a_stalled_client(
    wire: WireKind, tmp_path: Path, live: Live
) -> None:
    async with AsyncExitStack() as clients:
        async with serving(wire, tmp_path) as server:
            enter = clients.enter_async_context
            await enter(subscribed(server, wire, "big", receive_buffer_bytes=4096, client_id="stalled"))
            await stall(server, "stalled")
        assert not live


@on_each_wire
async def test_a_reset_is_found_by_the_next_write_and_frees_the_subscription_at_once(
    wire: WireKind, tmp_path: Path, live: Live
) -> None:
    async with serving(wire, tmp_path) as server, subscribed(server, wire, "small") as other:
        tasks_before = await settled_tasks()
        async with subscribed(server, wire, "small", client_id="gone") as client:
            connection = server.streamd.connections.find("gone")
            subscription = subscription_of(server, "gone")
            await until(lambda: takes_direct_writes(subscription._wire))
            server_side = server_side_of(live, client)
            reset_connection(client.stream)
            # From here on no other trio task runs: the reader would find the reset, too.
            wait_for_reset(server_side)
            hub = server.streamd.hub
            subscription.offer(Batch([Event(NEXT_ID, ("small",), "message", "x", DataEncoding.TEXT)]))
            hub._turn.end()  # HTTP/2 writes at the end of the fan-out's turn
            assert connection.is_disconnected
            assert hub.statistics()["subscriptions"] == 1
            assert server_side._sock.fileno() == -1
            assert not subscription.live
            await until(lambda: active(server) == 1)
        await until(lambda: len(live) == 1)
        await until(lambda: tasks() == tasks_before)
        await check_served(server, other, "nobody else noticed")


class HeldTurn:
    """Holds the fan-out in its checkpoint between two turns, until ``released`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_armed = False
        self.reached = trio.Event()
        self.released = trio.Event()
        let_others_run = Turn._let_others_run

        async def let_others_run_and_wait(turn: Turn) -> None:
            await let_others_run(turn)
            if self.is_armed:
                self.reached.set()
                await self.released.wait()

        monkeypatch.setattr(Turn, "_let_others_run", let_others_run_and_wait)


def open_null() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def fill_descriptors_below(number: int, stack: ExitStack) -> None:
    """Open descriptors until no number below ``number`` is free."""
    while (descriptor := open_null()) < number:
        stack.callback(os.close, descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("is_behind", [False, True], ids=["level", "behind"])
@on_each_wire
async def test_a_reused_descriptor_receives_nothing_that_was_meant_for_its_former_client(
    wire: WireKind, is_behind: bool, tmp_path: Path, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is aborted in the middle of a fan-out; if it is behind, during a flush of its output."""
    held = HeldTurn(monkeypatch)
    with ExitStack() as stack:
        async with serving(wire, tmp_path, hub=HubSettings(turn_ms=1e-6)) as server:
            hub = server.streamd.hub
            for _ in range(BEFORE_A_YIELD):
                stack.enter_context(hub.subscribe(Selectors(topics=["small"]), None, SendQueue(8, 1000)))
            spare = open_null()
            async with (
                subscribed(server, wire, "big", "small", receive_buffer_bytes=4096, client_id="old") as old,
                subscribed(server, wire, "small") as other,
            ):
                server_side = server_side_of(live, old)
                if is_behind:
                    await server.streamd.publish("big", "x" * 60_000)
                await until(lambda: bool(server_side.output._tail) == is_behind)
                held.is_armed = True
                event_id = await server.streamd.publish("small", "for the others")
                await held.reached.wait()

                number = server_side._sock.fileno()
                assert spare < number
                fill_descriptors_below(number, stack)
                assert subscription_of(server, "old").live
                server.streamd.connections.find("old").abort()
                server_side.abort()  # on HTTP/2, aborting a stream does not do that
                os.close(spare)  # its number goes to the client's end of the new connection
                newcomer = wire.client(await connect_to(server, wire))
                async with newcomer.stream:
                    await until(
                        lambda: {address_of(newcomer), address_of(other)} == {c.address for c in live}
                    )
                    assert server_side_of(live, newcomer)._sock.fileno() == number
                    held.is_armed = False
                    held.released.set()
                    await other.read_until(lambda: bool(other.events))
                    assert other.events == [other.encode(event_id, "small", "for the others")]
                    await until(lambda: hub.position == hub.log.head)

                    await newcomer.open("/events?topic=new", 2**20)
                    await newcomer.read_control("connected")
                    await check_served(server, newcomer, "welcome", "new")
                    assert len(newcomer.events) == len(newcomer.controls) == 1
