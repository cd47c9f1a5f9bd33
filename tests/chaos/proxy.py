"""A TCP proxy between the clients and the server, which cuts and holds connections when it is told to."""

import random
import socket
import struct
from collections.abc import Callable
from typing import Final, NoReturn

import attrs
import trio

_CHUNK_BYTES: Final = 16_384
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER with 0 s: closing sends RST


@attrs.define(eq=False)
class _Relay:
    """One connection of a client, with its connection to the server.

    Attributes:
        bytes_left: the connection is cut after so many bytes to the client; None for no limit.
        is_cut: it ends with a reset.
    """

    client: trio.SocketStream
    upstream: trio.SocketStream
    scope: trio.CancelScope
    bytes_left: int | None = None
    is_cut: bool = False


class Proxy:
    """A proxy on a port of its own.

    Args:
        find_port: returns the server's present port.

    Attributes:
        port: of the proxy, once it runs.
    """

    def __init__(self, find_port: Callable[[], int]) -> None:
        self.port = 0
        self._find_port = find_port
        self._relays: set[_Relay] = set()
        self._flowing = trio.Event()
        self._flowing.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Relay connections until cancelled."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = int(listener.socket.getsockname()[1])
        async with trio.open_nursery() as nursery:
            task_status.started()
            await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)
        raise AssertionError("the proxy runs until it is cancelled")

    # --- faults -------------------------------------------------------------------------------

    def cut(self, rng: random.Random, share: float) -> int:
        """Reset a share of the connections now; return their number."""
        chosen = self._choose(rng, share)
        for relay in chosen:
            relay.is_cut = True
            relay.scope.cancel()
        return len(chosen)

    def cut_later(self, rng: random.Random, share: float, max_bytes: int) -> int:
        """Cut a share of the connections in the middle of what the server sends; return their number."""
        chosen = self._choose(rng, share)
        for relay in chosen:
            relay.bytes_left = rng.randint(0, max_bytes)
        return len(chosen)

    def hold(self) -> None:
        """Let no byte of the server pass, as on a network that is stuck."""
        self._flowing = trio.Event()

    def release(self) -> None:
        """Let bytes pass again."""
        self._flowing.set()

    def _choose(self, rng: random.Random, share: float) -> list[_Relay]:
        # Sorted by port: the order of a set differs between runs.
        relays = sorted(self._relays, key=lambda relay: relay.client.socket.fileno())
        return [relay for relay in relays if rng.random() < share]

    # --- relaying -----------------------------------------------------------------------------

    async def _serve(self, client: trio.SocketStream) -> None:
        with client.socket:
            try:
                upstream = await trio.open_tcp_stream("127.0.0.1", self._find_port())
            except OSError:
                return
            with upstream.socket:
                await self._relay(client, upstream)

    async def _relay(self, client: trio.SocketStream, upstream: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            relay = _Relay(client, upstream, scope)
            self._relays.add(relay)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._relay_requests, relay)
                    nursery.start_soon(self._relay_answers, relay)
            finally:
                self._relays.remove(relay)
                if relay.is_cut:
                    for stream in (client, upstream):
                        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    async def _relay_requests(self, relay: _Relay) -> None:
        try:
            async for data in relay.client:
                await relay.upstream.send_all(data)
            await relay.upstream.send_eof()
        except trio.BrokenResourceError:
            relay.scope.cancel()

    async def _relay_answers(self, relay: _Relay) -> None:
        try:
            while data := await relay.upstream.receive_some(_CHUNK_BYTES):
                await self._flowing.wait()
                if relay.bytes_left is not None:
                    # Decided before the send: the nemesis may set another limit meanwhile.
                    relay.is_cut = relay.bytes_left <= len(data)
                    data = data[: relay.bytes_left]
                    relay.bytes_left -= len(data)
                await relay.client.send_all(data)
                if relay.is_cut:
                    break
        except trio.BrokenResourceError:
            pass
        relay.scope.cancel()
