"""An HTTP/1.1 server on a real socket that gives scripted answers and records its requests.

An answer is an async function of one :class:`Exchange`. Most come from :func:`respond`, :func:`raw`,
:func:`hang` and :func:`hang_up`; a test writes its own where the answer depends on the request, or waits for
the test. Delays are of trio's clock, virtual or real.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import attrs
import h11
import msgspec
import trio
import trio.testing

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
RECEIVE_BYTES: Final = 65_536


@attrs.frozen
class Request:
    """A request as it was received.

    Attributes:
        headers: with names in lower case.
        body: all of it, without its transfer coding.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Exchange:
    """One request, and the means to answer it.

    The connection is kept for the next request unless the answer is incomplete, raw or hung up.
    """

    def __init__(self, request: Request, stream: trio.SocketStream, http: h11.Connection) -> None:
        self.request = request
        self.stream = stream
        self._http = http

    async def head(self, status: int = 200, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Send the head of the answer; the body is sent in chunks unless a header gives its length."""
        reason = HTTPStatus(status).phrase.encode()
        await self._send(h11.Response(status_code=status, headers=list(headers.items()), reason=reason))

    async def data(self, data: bytes) -> None:
        """Send a piece of the body, as one chunk where there are chunks."""
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """End the body."""
        await self._send(h11.EndOfMessage())

    async def raw(self, data: bytes) -> None:
        """Send bytes past the HTTP encoder."""
        await self.stream.send_all(data)

    async def hang_up(self) -> None:
        """Close the connection, in the middle of the answer or before it."""
        await self.stream.aclose()

    async def wait_for_close(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            while await self.stream.receive_some(RECEIVE_BYTES):
                pass
        except trio.BrokenResourceError:
            pass  # a reset is a close as well

    async def _send(self, event: h11.Event) -> None:
        await self.stream.send_all(self._http.send(event) or b"")


Answer = Callable[[Exchange], Awaitable[None]]


def respond(
    status: int = 200,
    body: bytes | Sequence[bytes | float] = b"",
    headers: Mapping[str, str] = NO_HEADERS,
    *,
    content_length: int | None = None,
) -> Answer:
    """Make an answer that is sent as it is.

    Args:
        status: of the answer.
        body: sent whole with its length; or pieces, each of which is sent as a chunk, and delays (s) between
            them. The answer to HEAD has no body.
        headers: further headers.
        content_length: announced in place of the body's own length. The connection is closed behind the body.
    """
    pieces = [body] if isinstance(body, bytes) else body
    if isinstance(body, bytes):
        headers = {**headers, "Content-Length": str(len(body) if content_length is None else content_length)}

    async def answer(exchange: Exchange) -> None:
        await exchange.head(status, headers)
        for piece in pieces if exchange.request.method != "HEAD" else ():
            if isinstance(piece, bytes):
                await exchange.data(piece)
            else:
                await trio.sleep(piece)
        if content_length is None:
            await exchange.end()
        else:
            await exchange.hang_up()

    return answer


def raw(data: bytes) -> Answer:
    """Make an answer of exactly these bytes, after which the connection is closed."""

    async def answer(exchange: Exchange) -> None:
        await exchange.raw(data)
        await exchange.hang_up()

    return answer


async def hang(exchange: Exchange) -> None:
    """Send no answer: wait until the client gives up."""
    await exchange.wait_for_close()


async def hang_up(exchange: Exchange) -> None:
    """Send no answer: close the connection at once."""
    await exchange.hang_up()


class FakeServer:
    """A server that gives its answers one after the other, and the last one again and again.

    Attributes:
        requests: in the order of their ends.
        port: of the loopback interface; the same after a restart.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.requests: list[Request] = []
        self.port = 0
        self.changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Accept connections again after :meth:`stop`, on the same port."""
        assert self._nursery is not None, "made by fake_server() or running()"
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        self._scope = trio.CancelScope()
        self._nursery.start_soon(self._listen, listeners, self._scope)

    async def stop(self) -> None:
        """Close the listener and every connection, as ``kill -9`` does."""
        self._scope.cancel()
        await trio.testing.wait_all_tasks_blocked()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds, which is looked at after each change of the server."""
        while not holds():
            await self.changed.wait()

    async def wait_for_requests(self, count: int) -> list[Request]:
        """Wait until the server has received this number of requests, and return all of them."""
        await self.until(lambda: len(self.requests) >= count)
        return self.requests

    def note_change(self) -> None:
        """Wake the tasks in :meth:`until`."""
        self.changed.set()
        self.changed = trio.Event()

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request, which is the last of ``requests``."""
        await self.answers[min(len(self.requests), len(self.answers)) - 1](exchange)

    async def _listen(self, listeners: list[trio.SocketListener], scope: trio.CancelScope) -> None:
        with scope:
            await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                http = h11.Connection(h11.SERVER)
                while (request := await _read_request(stream, http)) is not None:
                    self.requests.append(request)
                    self.note_change()
                    await self.answer(Exchange(request, stream, http))
                    if http.our_state is not h11.DONE:
                        return
                    http.start_next_cycle()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass  # the client has left, or the answer hung up


async def _read_request(stream: trio.SocketStream, http: h11.Connection) -> Request | None:
    """Read one request; return None when the client closes the connection instead."""
    head: h11.Request | None = None
    body = bytearray()
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive_some(RECEIVE_BYTES))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            return None
    assert head is not None
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return Request(head.method.decode(), head.target.decode(), headers, bytes(body))


S = TypeVar("S", bound=FakeServer)


@asynccontextmanager
async def running(server: S) -> AsyncIterator[S]:
    """Run a server while the block lasts."""
    async with trio.open_nursery() as nursery:
        server._nursery = nursery
        await server.start()
        yield server
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def fake_server(*answers: Answer) -> AsyncIterator[FakeServer]:
    """Run a server that gives these answers while the block lasts."""
    async with running(FakeServer(*answers)) as server:
        yield server
