"""Bodies that were received with their head, and leases while nobody reads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from streamd.server.http1.exchange import HTTPExchange
from streamd.server.http1.head import RequestHead
from streamd.server.wires import SocketWire
from tests.support.client_rig import ClientRig, limited, open_client_rig

MAX_BYTES = 1000
HEADERS = [(b"host", b"x")]


@asynccontextmanager
async def opened() -> AsyncIterator[ClientRig]:
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            with open_client_rig(nursery, settings=limited(max_request_head_bytes=MAX_BYTES)) as rig:
                await trio.testing.wait_all_tasks_blocked()  # the watcher has begun
                yield rig
            nursery.cancel_scope.cancel()


def make(rig: ClientRig, content_length: int | None, *, expects_continue: bool = False) -> HTTPExchange:
    head = RequestHead("GET", b"/", list(HEADERS), is_http_1_0=False)
    head.content_length = content_length
    head.expects_continue = expects_continue
    return HTTPExchange(rig.client, head)


@pytest.mark.parametrize(
    ("received", "length", "expects", "taken", "left"),
    [
        (b"", 0, False, b"", b""),
        (b"next", 0, False, b"", b"next"),
        (b"body", 4, False, b"body", b""),
        (b"bodynext", 4, False, b"body", b"next"),
        (b"bod", 4, False, None, b"bod"),
        (b"body", 4, True, None, b"body"),
        (b"4\r\nbody\r\n0\r\n\r\n", None, False, None, b"4\r\nbody\r\n0\r\n\r\n"),
    ],
)
async def test_a_body_is_taken_only_if_it_was_received_whole(
    received: bytes, length: int | None, expects: bool, taken: bytes | None, left: bytes
) -> None:
    async with opened() as rig:
        rig.client.read_ahead = received
        exchange = make(rig, length, expects_continue=expects)
        assert exchange.take_body() == taken
        assert rig.client.read_ahead == left
        assert taken is None or exchange.take_body() is None, "it is taken once"


async def lease(rig: ClientRig, disconnects: list[str]) -> SocketWire:
    exchange = make(rig, 0)
    await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
    wire = exchange.lease(lambda action: None, lambda: disconnects.append("left"))
    assert isinstance(wire, SocketWire)
    return wire


async def test_bytes_behind_a_stream_are_kept_and_its_client_noticed_when_it_leaves() -> None:
    async with opened() as rig:
        disconnects: list[str] = []
        wire = await lease(rig, disconnects)
        for _ in range(3):
            rig.peer.send(b"x" * 300)
            await trio.testing.wait_all_tasks_blocked()
        assert (rig.client.read_ahead, disconnects) == (b"x" * 900, [])
        rig.peer.close()
        await trio.testing.wait_all_tasks_blocked()
        assert disconnects == ["left"]
        assert not wire.is_leased


async def test_a_client_that_sends_too_much_behind_a_stream_is_aborted() -> None:
    async with opened() as rig:
        disconnects: list[str] = []
        await lease(rig, disconnects)
        rig.peer.send(b"x" * MAX_BYTES)
        await trio.testing.wait_all_tasks_blocked()
        assert disconnects == ["left"]
        assert rig.sock.fileno() == -1


async def test_a_client_that_sends_much_while_it_waits_is_not_aborted_and_its_end_is_noticed() -> None:
    async with opened() as rig:
        disconnects: list[str] = []
        make(rig, 0).watch(lambda: disconnects.append("left"))
        rig.peer.send(b"x" * MAX_BYTES * 3)
        await trio.testing.wait_all_tasks_blocked()
        assert disconnects == []
        rig.peer.close()
        await trio.testing.wait_all_tasks_blocked()
        assert disconnects == ["left"]


async def test_a_wait_for_the_clients_end_ends_with_the_response() -> None:
    async with opened() as rig:
        exchange = make(rig, 0)
        messages: list[str] = []

        async def receive() -> None:
            while "http.disconnect" not in messages:
                message = await exchange.receive()
                messages.append(message["type"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            assert messages == ["http.request"]
            await exchange.send({"type": "http.response.start", "status": 204, "headers": []})
            await exchange.send({"type": "http.response.body", "body": b""})
        assert messages == ["http.request", "http.disconnect"]
        assert await exchange.finish(failed=False)


async def test_a_stream_that_begins_behind_too_many_bytes_is_aborted() -> None:
    """A view of an application waits for the client's end, and reads ahead, before it streams."""
    async with opened() as rig:
        disconnects: list[str] = []
        exchange = make(rig, 0)
        await exchange.receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange.receive)
            rig.peer.send(b"x" * MAX_BYTES)
            await trio.testing.wait_all_tasks_blocked()
            assert rig.sock.fileno() >= 0
            await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
            exchange.lease(lambda action: None, lambda: disconnects.append("left"))
            assert disconnects == ["left"]
            assert rig.sock.fileno() == -1
            nursery.cancel_scope.cancel()
