"""Ends of a connection, on each wire: aborted, drained, reset; and a descriptor that is used again."""

import importlib
import os
import select
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from streamd.config import HubSettings, ServerSettings
from streamd.events import Batch, Event, EventId, Selectors
from streamd.hub import SendQueue
from streamd.hub.turn import Turn
from streamd.server.connection import ServerConnection
from streamd.server.live import LiveConnections
from streamd.testing import RunningServer, run_server
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
MARGIN_SECONDS = 5.0  # of a busy machine; a write would hold on for its timeout
EVENT_BYTES = 20_000
PUBLISHED = 100  # in all 2 MB, far more than the buffers on the way
SERVER = ServerSettings(
    send_buffer_bytes=4608,
    drain_seconds=DRAIN_SECONDS,
    grace_seconds=GRACE_SECONDS,
    write_timeout_seconds=3600,  # nothing else may end a connection
    tcp_user_timeout_ms=0,
)
# Subscribers that the fan-out offers an event before it looks at the clock, and lets others run.
BEFORE_A_YIELD = 32

NEXT_ID = EventId(f"{10**13 - 1}-000000")  # after all that a log may have

Live = LiveConnections[ServerConnection]


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Live:
    """The connections of the server that the test runs."""
    connections = Live()
    # By its name: the package has a function called `serve`, too.
    module = importlib.import_module("streamd.server.serve")
    monkeypatch.setattr(module, "LiveConnections", lambda: connections)
    return connections


@asynccontextmanager
async def serving(wire: WireKind, folder: Path, **sections: Any) -> AsyncIterator[RunningServer]:
    with trio.fail_after(SECONDS):
        async with run_server(settings_for(wire, folder, SERVER, **sections)) as server:
            yield server


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await trio.lowlevel.checkpoint()


def active(server: RunningServer) -> int:
    return int(server.streamd.connections.statistics()["active"])


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def stall(server: RunningServer, client_id: str) -> None:
    """Publish until a client that does not read is written to no more: the buffers on the way are full."""
    for _ in range(PUBLISHED):
        await server.streamd.publish("big", "x" * EVENT_BYTES)
    connection = server.streamd.connections.find(client_id)
    await until(lambda: not subscription_of(server, client_id).live and connection.stalled_since is not None)


async def settled_tasks() -> int:
    """How many tasks there are when all of them wait."""
    await trio.testing.wait_all_tasks_blocked()
    return tasks()


async def check_served(server: RunningServer, client: WireClient, text: str, topic: str = "small") -> None:
    """The client gets the next event, and nothing else before it."""
    number = len(client.events)
    event_id = await server.streamd.publish(topic, text)
    await client.read_until(lambda: len(client.events) > number)
    assert client.events[number:] == [client.encode(event_id, topic, text)]


def address_of(client: WireClient) -> tuple[str, int]:
    host, port = socket_of(client.stream).getsockname()
    return host, port


def server_side_of(live: Live, client: WireClient) -> ServerConnection:
    """The server's object for a client's connection."""
    [connection] = [connection for connection in live if connection._peer == address_of(client)]
    return connection


def wait_for_reset(connection: ServerConnection) -> None:
    """Wait until the kernel has the client's reset; nothing else of this process runs meanwhile."""
    poll = select.poll()
    poll.register(connection._sock, select.POLLERR)
    assert poll.poll(1000 * SECONDS)


def check_told(client: WireClient, reason: str) -> None:
    """The client was told why, and its stream ended as it should on its wire."""
    assert client.ended
    name, fields = client.controls[-1]
    assert (name, fields["reason"]) == ("closing", reason)
    if isinstance(client, WebSocketClient):
        assert client.close_code == 1012


@on_each_wire
async def test_a_stalled_client_is_aborted_at_once_and_others_are_undisturbed(
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
            if wire.client is HTTP2Client:  # its stream alone: the connection goes on once it is read
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
async def test_draining_is_not_held_up_by_a_stalled_client(
    wire: WireKind, tmp_path: Path, live: Live
) -> None:
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
            check_told(healthy, "shutdown")
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
            await until(lambda: subscription._wire is not None)
            server_side = server_side_of(live, client)
            reset_connection(client.stream)
            # From here on no other task runs: not the reader, which would find the reset as well.
            wait_for_reset(server_side)
            hub = server.streamd.hub
            subscription.offer(Batch([Event(NEXT_ID, ("small",), "message", "x", is_json=False)]))
            hub._turn.run_deferred()  # over HTTP/2 the end of the fan-out's turn writes
            assert connection.is_disconnected
            assert hub.statistics()["subscriptions"] == 1
            assert server_side._sock.fileno() == -1
            assert not subscription.live
            await until(lambda: active(server) == 1)
        await until(lambda: len(live) == 1)
        await until(lambda: tasks() == tasks_before)
        await check_served(server, other, "nobody else noticed")


class HeldTurn:
    """Holds the fan-out in its checkpoint between two turns, until ``go_on`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_armed = False
        self.reached = trio.Event()
        self.go_on = trio.Event()
        let_others_run = Turn._let_others_run

        async def let_others_run_and_wait(turn: Turn) -> None:
            await let_others_run(turn)
            if self.is_armed:
                self.reached.set()
                await self.go_on.wait()

        monkeypatch.setattr(Turn, "_let_others_run", let_others_run_and_wait)


def open_nothing() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def fill_descriptors_below(number: int, stack: ExitStack) -> None:
    """Leave no descriptor free below one that is open."""
    while (descriptor := open_nothing()) < number:
        stack.callback(os.close, descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("is_behind", [False, True], ids=["level", "behind"])
@on_each_wire
async def test_a_descriptor_that_is_used_again_gets_nothing_of_what_was_for_its_former_client(
    wire: WireKind, is_behind: bool, tmp_path: Path, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is aborted in the middle of a fan-out; behind, also with a flush of its output under way."""
    held = HeldTurn(monkeypatch)
    with ExitStack() as stack:
        async with serving(wire, tmp_path, hub=HubSettings(turn_ms=1e-6)) as server:
            hub = server.streamd.hub
            for _ in range(BEFORE_A_YIELD):
                stack.enter_context(hub.subscribe(Selectors(topics=["small"]), None, SendQueue(8, 1000)))
            spare = open_nothing()
            async with (
                subscribed(server, wire, "big", "small", receive_buffer_bytes=4096, client_id="old") as old,
                subscribed(server, wire, "small") as other,
            ):
                server_side = server_side_of(live, old)
                if is_behind:
                    await server.streamd.publish("big", "x" * 60_000)
                await until(lambda: bool(server_side._output._tail) == is_behind)
                held.is_armed = True
                event_id = await server.streamd.publish("small", "for the others")
                await held.reached.wait()

                number = server_side._sock.fileno()
                assert spare < number
                fill_descriptors_below(number, stack)
                assert subscription_of(server, "old").live
                server.streamd.connections.find("old").abort()
                server_side.abort()  # what HTTP/2 does not do for one stream
                os.close(spare)  # which the newcomer's own end takes
                newcomer = wire.client(await connect_to(server, wire))
                async with newcomer.stream:
                    await until(lambda: {address_of(newcomer), address_of(other)} == {c._peer for c in live})
                    assert server_side_of(live, newcomer)._sock.fileno() == number
                    held.is_armed = False
                    held.go_on.set()
                    await other.read_until(lambda: bool(other.events))
                    assert other.events == [other.encode(event_id, "small", "for the others")]
                    await until(lambda: hub.position == hub.log.head)

                    await newcomer.open("/events?topic=new", 2**20)
                    await newcomer.read_control("connected")
                    await check_served(server, newcomer, "welcome", "new")
                    assert len(newcomer.events) == len(newcomer.controls) == 1
