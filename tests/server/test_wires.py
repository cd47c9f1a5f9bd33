"""Wires past ASGI are leases: after the end of a lease nothing is written by its wire."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any, Protocol

import attrs
import pytest
import trio
import trio.testing
import wsproto
from hypercorn.config import Config
from hypercorn.protocol.events import Event, Request
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import ConnectionState
from wsproto.events import CloseConnection, Message, Ping, TextMessage

from streamd.events import Batch, Control
from streamd.server.http1.handshake import Handshake
from streamd.server.http1.head import RequestHead
from streamd.server.http1.websocket import WebSocketExchange
from streamd.server.hypercorn_internals import HypercornContext, is_streaming
from streamd.server.task_group import TaskGroup
from streamd.server.wires import SocketWire, WebSocketWire
from tests.support.client_rig import HANDSHAKE, ClientRig, open_client_rig
from tests.support.output_rig import BIG, PATIENCE_SECONDS, Rig, open_rig

BATCH = Batch([Control("one"), Control("two")])
LONG = Batch([Control("long", {"data": "x" * BIG})])
CHUNK = attrgetter("chunk")
WEBSOCKET = attrgetter("websocket")
Send = Callable[[Event], Awaitable[None]]


@attrs.define
class Calls:
    """Counts the calls of ``on_disconnect``."""

    count: int = 0

    def __call__(self) -> None:
        self.count += 1


class Stream(Protocol):
    async def handle(self, event: Event) -> None: ...


def parts(nursery: trio.Nursery, send: Send) -> tuple[Any, ...]:
    """Build the arguments of Hypercorn's streams, with an application that does nothing."""

    async def idle(_scope: Any, _receive: Any, _send: Any) -> None:
        await trio.sleep_forever()

    return (
        idle,
        Config(),
        HypercornContext(),
        TaskGroup(nursery, idle, lambda: None),
        False,
        None,
        None,
        send,
        1,
    )


async def begin(stream: Stream, method: str, headers: list[tuple[bytes, bytes]]) -> None:
    await stream.handle(
        Request(
            stream_id=1,
            headers=headers,
            http_version="1.1",
            method=method,
            raw_path=b"/events",
            state=ConnectionState({}),
        )
    )


async def drop(_event: Event) -> None:
    pass


# --- responses that can be leased -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status", "headers", "expected"),
    [
        ("GET", 200, [], True),
        ("GET", 200, [(b"content-type", b"text/event-stream")], True),
        ("HEAD", 200, [], False),
        ("POST", 200, [], False),
        ("GET", 204, [], False),
        ("GET", 304, [], False),
        ("GET", 206, [], False),
        ("GET", 200, [(b"Content-Length", b"7")], False),
        ("GET", 200, [(b"x", b"y"), (b"content-length", b"7")], False),
    ],
)
async def test_only_the_body_of_a_200_response_to_a_get_is_streaming(
    method: str, status: int, headers: list[tuple[bytes, bytes]], expected: bool
) -> None:
    async with trio.open_nursery() as nursery:
        stream = HTTPStream(*parts(nursery, drop))
        await begin(stream, method, [(b"host", b"test")])
        assert not is_streaming(stream)  # the response has not begun
        await stream.app_send({"type": "http.response.start", "status": status, "headers": headers})
        assert is_streaming(stream) is expected
        await stream.app_send({"type": "http.response.body", "body": b"", "more_body": False})
        assert not is_streaming(stream)
        nursery.cancel_scope.cancel()


# --- the lease ------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["sse", "chunk", "websocket"])
async def test_a_wire_writes_its_own_encoding_and_returns_the_size(encoding: str) -> None:
    encode: Callable[[Batch], bytes] = attrgetter(encoding)
    async with trio.open_nursery() as nursery:
        with open_rig(nursery) as rig:
            wire = SocketWire(rig.output, encode, Calls())
            assert wire.write_nowait(BATCH) == len(encode(BATCH))
            assert await wire.write(BATCH) == len(encode(BATCH))
            assert rig.available() == encode(BATCH) * 2


async def test_a_wire_that_would_block_writes_nothing_and_keeps_the_order() -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery) as rig:
                wire = SocketWire(rig.output, CHUNK, Calls())
                assert wire.write_nowait(LONG) == len(LONG.chunk)
                assert wire.write_nowait(BATCH) == 0
                async with trio.open_nursery() as writing:
                    writing.start_soon(wire.write, BATCH)
                    expected = LONG.chunk + BATCH.chunk
                    assert await rig.read(len(expected)) == expected


async def check_nothing_is_written(rig: Rig, wire: SocketWire) -> None:
    rig.available()
    assert wire.write_nowait(BATCH) == 0
    with pytest.raises(trio.ClosedResourceError):
        await wire.write(BATCH)
    assert rig.available() == b""
    assert rig.is_free()  # the lease has ended, not the output


async def test_after_the_release_nothing_is_written_and_no_disconnect_is_reported() -> None:
    disconnects = Calls()
    async with trio.open_nursery() as nursery:
        with open_rig(nursery) as rig:
            wire = SocketWire(rig.output, CHUNK, disconnects)
            wire.write_nowait(BATCH)
            wire.release()
            await check_nothing_is_written(rig, wire)
            wire.revoke()
            wire.release()
            await check_nothing_is_written(rig, wire)
    assert disconnects.count == 0


async def test_after_revocation_nothing_is_written_and_one_disconnect_is_reported() -> None:
    async with trio.open_nursery() as nursery:
        with open_rig(nursery) as rig:
            disconnects = Calls()
            wire = SocketWire(rig.output, CHUNK, disconnects)
            wire.revoke()
            assert disconnects.count == 1
            await check_nothing_is_written(rig, wire)
            wire.revoke()
            wire.release()
            wire.revoke()
            assert disconnects.count == 1


async def test_a_revoked_lease_has_ended_before_the_disconnect_is_reported() -> None:
    seen: list[int] = []
    async with trio.open_nursery() as nursery:
        with open_rig(nursery) as rig:
            wire = SocketWire(rig.output, CHUNK, lambda: seen.append(wire.write_nowait(BATCH)))
            wire.revoke()
            assert seen == [0]
            assert rig.available() == b""


async def test_a_pending_write_raises_when_the_output_is_closed() -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery) as rig:
                wire = SocketWire(rig.output, CHUNK, Calls())

                async def write() -> None:
                    with pytest.raises(trio.ClosedResourceError):
                        await wire.write(LONG)

                async with trio.open_nursery() as writing:
                    writing.start_soon(write)
                    await trio.testing.wait_all_tasks_blocked()
                    rig.close()
                    wire.revoke()


# --- WebSocket ------------------------------------------------------------------------------------


class WebSocketPair:
    """An accepted WebSocket, its wire, and a client."""

    def __init__(self, rig: ClientRig) -> None:
        self.rig = rig
        fields = [(name.lower().encode(), value.encode()) for name, value in HANDSHAKE.items()]
        head = RequestHead("GET", b"/", fields, is_http_1_0=False)
        self.exchange = WebSocketExchange(rig.client, head, Handshake.of(head))
        self.client = wsproto.connection.Connection(wsproto.ConnectionType.CLIENT)
        self.wire: WebSocketWire
        self.messages: list[Any] = []

    async def accept(self) -> None:
        await self.exchange.send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        assert self.rig.available().startswith(b"HTTP/1.1 101 ")
        wire = self.exchange.lease(lambda action: None, Calls())
        assert isinstance(wire, WebSocketWire)
        self.wire = wire

    async def listen(self) -> None:
        """Receive messages, as an application does."""
        while True:
            message = await self.exchange.receive()
            self.messages.append(message)
            if message["type"] == "websocket.disconnect":
                return

    async def send_from_client(self, event: wsproto.events.Event) -> None:
        """Send an event of the client, and wait until the exchange has processed it."""
        self.rig.peer.send(self.client.send(event))
        await trio.testing.wait_all_tasks_blocked()

    def received(self) -> list[wsproto.events.Event]:
        self.client.receive_data(self.rig.available())
        return list(self.client.events())


@asynccontextmanager
async def accepted(max_message_bytes: int = 1000) -> AsyncIterator[tuple[ClientRig, WebSocketPair]]:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_client_rig(nursery, max_message_bytes=max_message_bytes) as rig:
                socket = WebSocketPair(rig)
                await socket.accept()
                nursery.start_soon(socket.listen)
                yield rig, socket
                nursery.cancel_scope.cancel()


async def test_event_frames_are_sent_in_order_with_frames_of_the_protocol() -> None:
    async with accepted() as (_, socket):
        assert socket.wire.write_nowait(BATCH) == len(BATCH.websocket)
        await socket.send_from_client(Ping(b"are you there"))
        assert await socket.wire.write(BATCH) == len(BATCH.websocket)
        first, second, pong, *rest = socket.received()
        texts = [event.data for event in (first, second, *rest) if isinstance(event, Message)]
        assert texts == [frame.text for frame in BATCH.frames] * 2
        assert isinstance(pong, wsproto.events.Pong)


@pytest.mark.parametrize("closed_by", ["server", "client", "message too big"])
async def test_nothing_follows_a_close_frame(closed_by: str) -> None:
    async with accepted(max_message_bytes=10) as (rig, socket):
        assert socket.wire.write_nowait(BATCH)
        if closed_by == "server":
            await socket.exchange.send({"type": "websocket.close", "code": 1012, "reason": None})
        elif closed_by == "client":
            await socket.send_from_client(CloseConnection(1000))
        else:
            await socket.send_from_client(TextMessage("x" * 11))
        *texts, close = socket.received()
        assert [event.data for event in texts if isinstance(event, Message)] == [
            frame.text for frame in BATCH.frames
        ]
        assert isinstance(close, CloseConnection)
        assert close.code == {"server": 1012, "client": 1000, "message too big": 1009}[closed_by]
        await check_nothing_is_written(rig, socket.wire)


async def test_a_closing_client_receives_nothing_before_the_answer_to_its_close_frame() -> None:
    """The state changes when its frame is read, although the answer may be queued behind other frames."""
    async with accepted() as (rig, socket):
        assert socket.wire.write_nowait(LONG)
        await socket.send_from_client(CloseConnection(1000))
        with pytest.raises(trio.ClosedResourceError):
            await socket.wire.write(BATCH)
        socket.client.receive_data(await rig.read(len(LONG.websocket)))
        list(socket.client.events())
        await trio.testing.wait_all_tasks_blocked()
        assert [type(event) for event in socket.received()] == [CloseConnection]


async def test_a_client_that_leaves_ends_the_lease_also_while_the_application_reads_nothing() -> None:
    async with trio.open_nursery() as nursery:
        with open_client_rig(nursery) as rig:
            socket = WebSocketPair(rig)
            await socket.accept()
            rig.peer.close()
            await trio.testing.wait_all_tasks_blocked()
            assert not socket.wire.is_leased
        nursery.cancel_scope.cancel()
