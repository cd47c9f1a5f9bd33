"""Closing: at whatever point a request is left, its connection is closed and nothing is left to collect.

Warnings are errors in these tests, so a generator or a socket that is left behind fails them, too.
"""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
from trio.testing import MockClock

from streamd.outbound import ResponseTooLarge, StreamedResponse, fetch, open_response, with_body
from tests.support.fake_server import Exchange, fake_server, respond

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


class Connection:
    """One connection as its server sees it.

    Attributes:
        reached: set when the server waits for the client.
        closed: set when the client has closed the connection.
    """

    def __init__(self, answer: bytes) -> None:
        self.reached = trio.Event()
        self.closed = trio.Event()
        self._answer = answer

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                await stream.receive_some()
                await stream.send_all(self._answer)
                self.reached.set()
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
            self.closed.set()


@asynccontextmanager
async def connection(answer: bytes) -> AsyncIterator[tuple[Connection, int]]:
    """Run a server for one connection, and yield both with its port.

    It speaks TCP, because the fake HTTP server would wait for a whole request, and a client may be cancelled
    in its TLS handshake.
    """
    one = Connection(answer)
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, one.serve, [listener])
        yield one, listener.socket.getsockname()[1]
        with trio.fail_after(20):
            await one.closed.wait()
        nursery.cancel_scope.cancel()
    gc.collect()


async def read(response: StreamedResponse) -> bytes:
    return await response.read(max_bytes=10_000_000)


async def cancel_when(ready: trio.Event, ask: Callable[[], Awaitable[object]]) -> None:
    """Run a request, and cancel it when the server waits for it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await ready.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()


async def test_cancelled_while_it_connects(client: httpx.AsyncClient, clock: MockClock) -> None:
    """A server that does not answer the TLS handshake."""
    async with connection(b"") as (server, port):
        request = client.build_request("GET", f"https://127.0.0.1:{port}/")
        await cancel_when(server.reached, lambda: fetch(client, request, read))


async def test_cancelled_while_it_sends_the_body(client: httpx.AsyncClient, clock: MockClock) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            sending.set()
            await leave.wait()
            try:
                while await stream.receive_some(1_000_000):
                    pass
            except trio.BrokenResourceError:
                pass
            closed.set()

    sending, leave, closed = trio.Event(), trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        request = client.build_request("POST", f"http://127.0.0.1:{listener.socket.getsockname()[1]}/")
        with_body(request, b"x" * 50_000_000)
        await cancel_when(sending, lambda: fetch(client, request, read))
        leave.set()
        with trio.fail_after(20):
            await closed.wait()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-", HEAD, HEAD + b"x" * 100_000], ids=len
)
@pytest.mark.parametrize("decode", [True, False])
async def test_cancelled_in_the_head_or_the_body(
    client: httpx.AsyncClient, clock: MockClock, answer: bytes, decode: bool
) -> None:
    async with connection(answer) as (server, port):
        request = client.build_request("GET", f"http://127.0.0.1:{port}/")
        await cancel_when(server.reached, lambda: fetch(client, request, read, decode=decode))


@pytest.mark.parametrize("pieces", [0, 1])
async def test_left_before_the_end_of_the_body(
    client: httpx.AsyncClient, clock: MockClock, pieces: int
) -> None:
    async with connection(HEAD + b"x" * 100) as (_, port):
        request = client.build_request("GET", f"http://127.0.0.1:{port}/")
        async with open_response(client, request) as response:
            for _ in range(pieces):
                assert await response.receive_some()


async def test_left_by_an_error_of_the_block(client: httpx.AsyncClient, clock: MockClock) -> None:
    async with connection(HEAD + b"x" * 100) as (_, port):
        request = client.build_request("GET", f"http://127.0.0.1:{port}/")
        with pytest.raises(KeyError):
            async with open_response(client, request) as response:
                await response.receive_some()
                raise KeyError("mine")


async def test_left_in_a_cancelled_scope(client: httpx.AsyncClient, clock: MockClock) -> None:
    """Closing survives the cancellation that caused it."""
    async with connection(HEAD + b"x" * 100) as (_, port):
        request = client.build_request("GET", f"http://127.0.0.1:{port}/")
        with trio.CancelScope() as scope:
            async with open_response(client, request) as response:
                await response.receive_some()
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught


async def test_a_body_beyond_its_limit_is_left(client: httpx.AsyncClient, clock: MockClock) -> None:
    async def read_little(response: StreamedResponse) -> bytes:
        return b"".join([piece async for piece in response.pieces(max_bytes=10)])

    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + b"x" * 100 + b"\r\n"
    async with connection(answer) as (_, port):
        request = client.build_request("GET", f"http://127.0.0.1:{port}/")
        with pytest.raises(ResponseTooLarge):
            await fetch(client, request, read_little)


async def test_a_response_read_to_its_end_leaves_its_connection_for_the_next(
    client: httpx.AsyncClient, clock: MockClock
) -> None:
    ports: list[int] = []

    async def answer(exchange: Exchange) -> None:
        ports.append(exchange.stream.socket.getpeername()[1])
        await respond(200, b"fine")(exchange)

    async with fake_server(answer) as server:
        for _ in range(3):
            assert await fetch(client, client.build_request("GET", server.url), read) == b"fine"
    assert len(ports) == 3
    assert len(set(ports)) == 1
