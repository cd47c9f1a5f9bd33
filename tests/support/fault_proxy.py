"""An HTTP/1.1 proxy in a thread, whose faults a test turns on and off.

    client --- head ---> FaultProxy --- head ---> server
                          | answers itself (``rejects``)
                          | holds the body of an event stream (``buffers``)
                          | refuses the upgrade, or cuts after it (``websocket``)
                          | cuts within a response (``cuts``)

Each connection carries one request, so the bytes after its head can be passed on as they are.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal
from urllib.parse import urlsplit

import attrs
import trio

Kind = Literal["sse", "websocket", "poll", "other"]

_READ_BYTES: Final = 65_536
_HEAD_BYTES_MAX: Final = 65_536
_END_OF_HEAD: Final = b"\r\n\r\n"


@attrs.frozen
class ProxiedRequest:
    """A request that has reached the proxy.

    Args:
        kind: the transport that it belongs to.
        head: its request line and fields.
        at: when it came (s of the monotonic clock).
    """

    kind: Kind
    head: str
    at: float

    def field(self, name: str) -> str:
        """Return the value of a field; an empty text without it."""
        for line in self.head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return ""


@attrs.define
class Faults:
    """The faults that the proxy applies to requests from now on; open connections keep theirs.

    Args:
        rejects: the status and further fields of its own answer to requests of a kind.
        buffers: hold the body of an event stream until the server has ended it.
        websocket: pass it, or cut it as soon as the server has accepted it.
        cuts: for each of the next requests, how many bytes of its response pass before the connection is cut.
    """

    rejects: dict[Kind, tuple[int, dict[str, str]]] = attrs.Factory(dict)
    buffers: bool = False
    websocket: Literal["pass", "cut"] = "pass"
    cuts: deque[int] = attrs.Factory(deque)


class FaultProxy:
    """A proxy before one server, on a port of 127.0.0.1. See :func:`fault_proxy`.

    Attributes:
        faults: may be changed from any thread.
        requests: all that have come, in order.
        url: of the proxy.
    """

    def __init__(self, server_url: str) -> None:
        self.faults = Faults()
        self.requests: list[ProxiedRequest] = []
        self.url = ""
        self._server = urlsplit(server_url)
        self._started = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._connections: set[trio.CancelScope] = set()
        self._silenced: set[trio.CancelScope] = set()
        self._thread = threading.Thread(target=trio.run, args=(self._run,))

    def count(self, kind: Kind) -> int:
        """Return the number of requests of a kind."""
        return sum(request.kind == kind for request in self.requests)

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        assert self._token is not None
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join()

    def cut_connections(self) -> None:
        """Break all open connections; new ones are accepted."""
        assert self._token is not None
        trio.from_thread.run_sync(self._cut, trio_token=self._token)

    def silence_connections(self) -> None:
        """Pass nothing from the server on open connections any more, as if the network had lost them."""
        self._silenced |= self._connections

    def _cut(self) -> None:
        for scope in self._connections:
            scope.cancel()

    async def _run(self) -> None:
        with self._scope:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            self._token = trio.lowlevel.current_trio_token()
            self._started.set()
            await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, client: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            async with client:
                try:
                    await self._exchange(client, lambda: scope in self._silenced)
                except (trio.BrokenResourceError, OSError):
                    pass  # one of the two has left, and so does the other
        self._connections.discard(scope)
        self._silenced.discard(scope)

    async def _exchange(self, client: trio.SocketStream, is_silent: Callable[[], bool]) -> None:
        head, rest = await _read_head(client)
        if not head:
            return
        request = ProxiedRequest(_kind_of(head), head, time.monotonic())
        faults = attrs.evolve(self.faults)
        self.requests.append(request)
        if request.kind in faults.rejects:
            await client.send_all(_answer(*faults.rejects[request.kind]))
            return
        server = await trio.open_tcp_stream(self._server.hostname or "", self._server.port or 80)
        async with server, trio.open_nursery() as nursery:
            await server.send_all(_with_one_request(head).encode() + rest)
            nursery.start_soon(_pass, client, server, nursery.cancel_scope)
            if request.kind == "sse" and faults.buffers:
                await _pass_when_complete(server, client)
            elif request.kind == "websocket" and faults.websocket == "cut":
                accepted, _ = await _read_head(server)
                await client.send_all(f"{accepted}\r\n\r\n".encode())
            elif faults.cuts:
                await _pass_part(server, client, faults.cuts.popleft())
            else:
                await _pass(server, client, nursery.cancel_scope, is_silent)
            nursery.cancel_scope.cancel()


def _kind_of(head: str) -> Kind:
    line, _, fields = head.lower().partition("\r\n")
    method, path, _ = line.split(" ")
    if "upgrade: websocket" in fields:
        return "websocket"
    if path.partition("?")[0].endswith("/poll"):
        return "poll"
    return "sse" if method != "options" and "accept: text/event-stream" in fields else "other"


def _with_one_request(head: str) -> str:
    """Return a head after whose response the server closes the connection, unless it is an upgrade."""
    if "upgrade: websocket" in head.lower():
        return head + _END_OF_HEAD.decode()
    lines = [line for line in head.split("\r\n") if not line.lower().startswith("connection:")]
    return "\r\n".join([*lines, "Connection: close", "", ""])


def _answer(status: int, fields: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Proxy", "Content-Length: 0", "Connection: close"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in fields.items()), "", ""]).encode()


async def _read_head(stream: trio.SocketStream) -> tuple[str, bytes]:
    """Return a head without the empty line, and the bytes after it; an empty head at the end."""
    data = b""
    while _END_OF_HEAD not in data:
        part = await stream.receive_some(_READ_BYTES)
        if not part:
            return "", b""
        data += part
        assert len(data) <= _HEAD_BYTES_MAX
    head, _, rest = data.partition(_END_OF_HEAD)
    return head.decode("latin-1"), rest


async def _pass(
    source: trio.SocketStream,
    target: trio.SocketStream,
    scope: trio.CancelScope,
    is_silent: Callable[[], bool] = lambda: False,
) -> None:
    """Pass bytes on until the source ends; then end both directions. While it is silent, drop them."""
    try:
        while data := await source.receive_some(_READ_BYTES):
            if not is_silent():
                await target.send_all(data)
    except trio.BrokenResourceError:
        pass  # as at its end
    scope.cancel()


async def _pass_part(source: trio.SocketStream, target: trio.SocketStream, size: int) -> None:
    """Pass a number of bytes on, or all until the source ends."""
    while size > 0 and (data := await source.receive_some(min(size, _READ_BYTES))):
        await target.send_all(data)
        size -= len(data)


async def _pass_when_complete(server: trio.SocketStream, client: trio.SocketStream) -> None:
    """Pass the head of a response at once, and its body when the server has ended it."""
    head, body = await _read_head(server)
    await client.send_all(head.encode("latin-1") + _END_OF_HEAD)
    while data := await server.receive_some(_READ_BYTES):
        body += data
    await client.send_all(body)


@contextmanager
def fault_proxy(server_url: str) -> Iterator[FaultProxy]:
    """Run a proxy before a server while the block lasts. At first it passes everything on."""
    proxy = FaultProxy(server_url)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
