"""The wire of one HTTP/2 stream writes within its window, in order, and only during its lease."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing
from h2.events import DataReceived, ResponseReceived
from hypercorn.config import Config
from hypercorn.typing import ConnectionState

from streamd.events import Batch, Control
from streamd.server.http2 import HTTP2Stream, HTTP2Wire
from streamd.server.hypercorn_internals import HTTP2Protocol, HypercornContext, protocol_arguments, stream_of
from streamd.server.task_group import TaskGroup
from tests.support.http2_client import ManualHTTP2Client
from tests.support.output_rig import PATIENCE_SECONDS, Rig, open_rig

BATCH = Batch([Control("one"), Control("two")])
SECOND = Batch([Control("three", {"data": "x" * 40_000})])  # more than a frame holds
FILLING = Batch(
    [Control("long", {"data": "x" * 40_000})]
)  # leaves room for one frame in the window of 65,535


class HTTP2Pair:
    """An HTTP/2 connection with open streams, their wires, and a client.

    Attributes:
        begun: ASGI ``send`` of each request.
        disconnects: ids of streams whose disconnect was reported, once for each report.
        deferred: actions for the end of the fan-out's turn.
    """

    def __init__(self, nursery: trio.Nursery, rig: Rig) -> None:
        self.rig = rig
        self.client = ManualHTTP2Client(trio.SocketStream(trio.socket.from_stdlib_socket(rig.peer)))
        self.disconnects: list[int] = []
        self.deferred: set[Callable[[], None]] = set()
        self.begun: list[Any] = []
        arguments = protocol_arguments(
            self._run,
            Config(),
            HypercornContext(),
            TaskGroup(nursery, self._run, lambda: None),
            ConnectionState({}),
            self,
            is_tls=False,
            client=None,
            server=None,
        )
        self.protocol = HTTP2Protocol(rig.output, trio.lowlevel.checkpoint, arguments)

    async def _run(self, _scope: Any, _receive: Any, send: Any) -> None:
        self.begun.append(send)
        await trio.sleep_forever()

    async def write(self, data: bytes) -> None:
        with suppress(trio.ClosedResourceError):  # as a connection does it
            await self.rig.output.send(data)

    def set_idle(self, idle: bool) -> None:
        """Do nothing: these connections have no timeouts."""

    async def finish(self) -> None:
        """Do nothing: the test closes the rig."""

    async def listen(self) -> None:
        """Pass the client's bytes to the protocol."""
        while True:
            await trio.lowlevel.wait_readable(self.rig.sock)
            data = self.rig.sock.recv(65_536)
            if not data:
                return
            await self.protocol.receive_data(data)

    async def open(self) -> tuple[int, HTTP2Stream, Any]:
        """Open a stream, and begin its response; return its id, its transport and its ASGI ``send``."""
        stream_id = await self.client.get("/events")
        await trio.testing.wait_all_tasks_blocked()
        send = self.begun[-1]
        transport = HTTP2Stream(self.protocol, stream_of(send), self.rig.output)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return stream_id, transport, send

    def lease(self, stream_id: int, transport: HTTP2Stream) -> HTTP2Wire:
        wire = transport.lease(self.deferred.add, lambda: self.disconnects.append(stream_id))
        assert wire is not None
        return wire

    def end_turn(self) -> None:
        for action in self.deferred:
            action()
        self.deferred.clear()

    async def received(self, stream_id: int, until: bytes) -> bytes:
        while until not in self.client.received.get(stream_id, b""):
            await self.client.read()
        return self.client.received[stream_id]


@asynccontextmanager
async def connected() -> AsyncIterator[HTTP2Pair]:
    with trio.fail_after(PATIENCE_SECONDS), ExitStack() as after_all_tasks:
        async with trio.open_nursery() as nursery:
            connection = HTTP2Pair(nursery, after_all_tasks.enter_context(open_rig(nursery)))
            await connection.protocol.initiate()
            nursery.start_soon(connection.listen)
            yield connection
            nursery.cancel_scope.cancel()


async def check_nothing_is_written(connection: HTTP2Pair, wire: HTTP2Wire) -> None:
    assert wire.write_nowait(BATCH) == 0
    with pytest.raises(trio.ClosedResourceError):
        await wire.write(BATCH)
    assert not connection.deferred
    assert not connection.protocol.connection.data_to_send()
    assert connection.protocol.wires == {}


async def test_streams_send_the_frames_of_a_turn_together_at_its_end() -> None:
    async with connected() as connection:
        streams = [await connection.open() for _ in range(3)]
        wires = [connection.lease(stream_id, transport) for stream_id, transport, _ in streams]
        await trio.testing.wait_all_tasks_blocked()
        connection.client.http.receive_data(connection.rig.available())
        for wire in wires:
            assert wire.write_nowait(BATCH) == len(BATCH.sse)
            assert wire.write_nowait(BATCH) == len(BATCH.sse)
        assert connection.rig.available() == b""
        assert len(connection.deferred) == 1
        connection.end_turn()
        for stream_id, _, _ in streams:
            assert await connection.received(stream_id, BATCH.sse * 2) == BATCH.sse * 2


async def test_heads_and_bodies_of_a_pass_of_the_event_loop_leave_together_behind_it() -> None:
    async with connected() as connection:
        ids = [await connection.client.get("/events") for _ in range(3)]
        await trio.testing.wait_all_tasks_blocked()
        connection.client.http.receive_data(connection.rig.available())
        for send in connection.begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        for send in connection.begun[:2]:  # the third one has no body yet
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        assert connection.rig.available() == b""
        await trio.testing.wait_all_tasks_blocked()
        received = connection.client.http.receive_data(connection.rig.available())
        assert sorted(event.stream_id for event in received if isinstance(event, ResponseReceived)) == ids
        assert len([event for event in received if isinstance(event, DataReceived)]) == 2


async def test_a_batch_larger_than_the_window_is_not_written_and_the_order_holds() -> None:
    async with connected() as connection:
        stream_id, transport, _ = await connection.open()
        wire = connection.lease(stream_id, transport)
        assert wire.write_nowait(FILLING)
        connection.end_turn()
        await connection.received(stream_id, FILLING.sse)  # the socket is free, and the window is unchanged
        await trio.testing.wait_all_tasks_blocked()
        assert wire.write_nowait(SECOND) == 0  # not even a frame of it
        assert await wire.write(SECOND) == len(SECOND.sse)  # into the stream's buffer
        assert wire.write_nowait(BATCH) == 0  # it would overtake the buffered bytes
        connection.client.replenished.add(stream_id)
        await connection.received(stream_id, SECOND.sse)
        await trio.testing.wait_all_tasks_blocked()
        assert wire.write_nowait(BATCH) == len(BATCH.sse)
        connection.end_turn()
        expected = FILLING.sse + SECOND.sse + BATCH.sse
        assert await connection.received(stream_id, BATCH.sse) == expected


async def test_nothing_overtakes_the_buffered_bytes_of_a_stream() -> None:
    async with connected() as connection:
        stream_id, transport, _ = await connection.open()
        wire = connection.lease(stream_id, transport)
        await wire.write(BATCH)  # into the buffer, which another trio task empties
        assert wire.write_nowait(SECOND) == 0
        assert await connection.received(stream_id, BATCH.sse) == BATCH.sse
        await trio.testing.wait_all_tasks_blocked()
        assert wire.write_nowait(SECOND) == len(SECOND.sse)


async def test_after_the_release_nothing_is_written_and_no_disconnect_is_reported() -> None:
    async with connected() as connection:
        stream_id, transport, send = await connection.open()
        wire = connection.lease(stream_id, transport)
        assert wire.write_nowait(BATCH)
        connection.end_turn()
        wire.release()
        await check_nothing_is_written(connection, wire)
        await send({"type": "http.response.body", "body": b"end", "more_body": False})
        assert await connection.received(stream_id, b"end") == BATCH.sse + b"end"
        wire.revoke()
        connection.protocol.revoke()
        transport.abort()
        assert connection.disconnects == []


@pytest.mark.parametrize("revoked_by", ["connection", "abort", "client"])
async def test_after_revocation_nothing_is_written_and_one_disconnect_is_reported(revoked_by: str) -> None:
    async with connected() as connection:
        stream_id, transport, _ = await connection.open()
        wire = connection.lease(stream_id, transport)
        if revoked_by == "connection":
            connection.protocol.revoke()
        elif revoked_by == "abort":
            transport.abort()
        else:
            await connection.client.cancel(stream_id)
        await trio.testing.wait_all_tasks_blocked()
        assert connection.disconnects == [stream_id]
        await check_nothing_is_written(connection, wire)
        wire.revoke()
        wire.release()
        wire.revoke()
        connection.protocol.revoke()
        assert connection.disconnects == [stream_id]


async def test_resetting_one_stream_keeps_the_leases_of_the_others() -> None:
    async with connected() as connection:
        leaving, leaving_transport, _ = await connection.open()
        staying, staying_transport, _ = await connection.open()
        wire = connection.lease(staying, staying_transport)
        connection.lease(leaving, leaving_transport)
        leaving_transport.abort()
        assert connection.disconnects == [leaving]
        assert wire.write_nowait(BATCH)
        connection.end_turn()
        assert await connection.received(staying, BATCH.sse) == BATCH.sse
        assert leaving in connection.client.reset


async def test_a_closed_stream_has_no_lease_and_its_disconnect_is_reported() -> None:
    async with connected() as connection:
        stream_id, transport, _ = await connection.open()
        await connection.client.cancel(stream_id)
        await trio.testing.wait_all_tasks_blocked()
        assert (
            transport.lease(connection.deferred.add, lambda: connection.disconnects.append(stream_id)) is None
        )
        assert connection.disconnects == [stream_id]


async def test_a_watched_stream_reports_that_its_client_has_reset_it() -> None:
    async with connected() as connection:
        stream_id, transport, _ = await connection.open()
        transport.watch(lambda: connection.disconnects.append(stream_id))
        await connection.client.cancel(stream_id)
        await trio.testing.wait_all_tasks_blocked()
        assert connection.disconnects == [stream_id]
        transport.watch(lambda: connection.disconnects.append(-1))
        assert connection.disconnects == [stream_id, -1], "it is over already"


async def test_a_watched_stream_that_was_answered_reports_nothing() -> None:
    async with connected() as connection:
        stream_id, transport, send = await connection.open()
        transport.watch(lambda: connection.disconnects.append(stream_id))
        await send({"type": "http.response.body", "body": b"end", "more_body": False})
        assert await connection.received(stream_id, b"end") == b"end"
        connection.protocol.revoke()
        assert connection.disconnects == []
