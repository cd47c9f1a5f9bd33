"""A reverse proxy between Chromium and streamd, which makes the faults and counts the requests.

It runs trio in a thread of its own, because Playwright blocks. The caller's thread sets its attributes, which
hold for the next requests, and calls `cut` and `freeze` for open connections.
Every response closes its connection, so that one connection carries one request.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import attrs
import trio

from ..peers.base import HOST
from .exchange import Answer, Request, encode_head, read_head

_READ_BYTES: Final = 65_536
_START_SECONDS: Final = 10.0

# Decides what happens to a request: an answer of the proxy's own, or None to pass it on.
Rule = Callable[[Request], Answer | None]


def pass_on(_: Request) -> Answer | None:
    """Pass every request on."""
    return None


@attrs.define(eq=False)
class _Relay:
    """A request that was passed on, with both its connections."""

    request: Request
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    answered: bool = False
    frozen: bool = False


class FaultProxy:
    """The proxy.

    Args:
        files: the proxy's own answers to GET, a media type and content by path.
        upstream_port: of streamd on the loopback interface.

    Attributes:
        rule: is asked about each request but those for files.
        buffers: event streams are held back until they end, as proxies do that buffer responses.
        refuses_websocket: requests for WebSocket are answered with 502.
        requests: all of them in their order, but those for files.
    """

    def __init__(self, files: Mapping[str, tuple[str, bytes]], upstream_port: int) -> None:
        self.rule: Rule = pass_on
        self.buffers = False
        self.refuses_websocket = False
        self.requests: list[Request] = []
        self.port = 0
        self._files = files
        self._upstream_port = upstream_port
        self._relays: set[_Relay] = set()
        self._started = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve for the block."""
        thread = threading.Thread(target=trio.run, args=(self._run,))
        thread.start()
        if not self._started.wait(_START_SECONDS):
            raise RuntimeError("the proxy did not start")
        try:
            yield
        finally:
            self._in_trio(self._scope.cancel)
            thread.join()

    def streams(self) -> list[Request]:
        """Return the requests for a stream whose response is open now, oldest first."""
        found = [relay.request for relay in tuple(self._relays) if relay.request.is_stream and relay.answered]
        return sorted(found, key=lambda request: request.at)

    def cut(self) -> None:
        """Reset all open connections that were passed on."""

        def cancel() -> None:
            for relay in self._relays:
                relay.scope.cancel()

        self._in_trio(cancel)

    def freeze(self) -> None:
        """Deliver nothing more on the present connections, and leave them open."""
        for relay in tuple(self._relays):
            relay.frozen = True

    def _in_trio(self, function: Callable[[], None]) -> None:
        assert self._token is not None
        trio.from_thread.run_sync(function, trio_token=self._token)

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        [listener] = await trio.open_tcp_listeners(0, host=HOST)
        self.port = listener.socket.getsockname()[1]
        self._started.set()
        with self._scope:
            await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, client: trio.SocketStream) -> None:
        try:
            async with client:
                await self._answer(client)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionError):
            pass  # the browser or streamd has closed

    async def _answer(self, client: trio.SocketStream) -> None:
        head, rest = await read_head(client)
        if not head:
            return
        request = Request.parse(head, time.time())
        if request.path in self._files:
            media_type, content = self._files[request.path]
            await Answer(200, {"Content-Type": media_type}, content).send(client)
            return
        self.requests.append(request)
        answer = self.rule(request)
        if answer is None and request.is_websocket and self.refuses_websocket:
            answer = Answer(502)
        if answer is None:
            await self._pass_on(request, rest, client)
        else:
            await answer.send(client)

    async def _pass_on(self, request: Request, rest: bytes, client: trio.SocketStream) -> None:
        """Relay a request and its response until one side closes."""
        relay = _Relay(request)
        try:
            server = await trio.open_tcp_stream(HOST, self._upstream_port)
        except OSError:
            reset(client)
            return
        self._relays.add(relay)
        try:
            async with server:
                await server.send_all(encode_head(request) + rest)
                with relay.scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._pump_until_end, client, server, relay)
                        await self._pump_response(server, client, relay)
                        nursery.cancel_scope.cancel()
        finally:
            self._relays.discard(relay)
        if relay.scope.cancelled_caught:
            reset(client)

    async def _pump_until_end(
        self, client: trio.SocketStream, server: trio.SocketStream, relay: _Relay
    ) -> None:
        """Relay what the client sends; its end ends the relay."""
        while content := await client.receive_some(_READ_BYTES):
            if not relay.frozen:
                await server.send_all(content)
        relay.scope.cancel()

    async def _pump_response(
        self, server: trio.SocketStream, client: trio.SocketStream, relay: _Relay
    ) -> None:
        head, rest = await read_head(server)
        await client.send_all(head)
        relay.answered = True
        held = []
        holds = self.buffers and b"text/event-stream" in head.lower()
        content: bytes | bytearray = rest
        while True:
            if holds:
                held.append(bytes(content))
            elif not relay.frozen:
                await client.send_all(content)
            if not (content := await server.receive_some(_READ_BYTES)):
                break
        await client.send_all(b"".join(held))


def reset(stream: trio.SocketStream) -> None:
    """Close a connection with a reset, as the kernel of a killed process does."""
    # struct linger: on, 0 s
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4))
    stream.socket.close()
