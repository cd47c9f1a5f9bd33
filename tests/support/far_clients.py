"""Clients with addresses of their own at accept, which all come over loopback."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import trio

from streamd.metrics import Metrics
from streamd.server import ServerSettings, serve
from tests.support.echo_server import EchoServer

SECONDS = 30
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class FarListener(socket.socket):
    """A listening socket that reports other peers than it has.

    Attributes:
        peers: the addresses of the next ones, in order; the last is that of all further ones.
    """

    peers: list[str]

    def accept(self) -> tuple[socket.socket, Any]:
        accepted, _ = super().accept()
        address = self.peers.pop(0) if len(self.peers) > 1 else self.peers[0]
        return accepted, (address, 50_000)


@attrs.frozen
class FarServer:
    """A server, and its clients' end."""

    listener: FarListener
    metrics: Metrics

    async def connect(self, request: bytes = REQUEST) -> trio.SocketStream:
        """Connect, and send a request."""
        stream = await trio.open_tcp_stream(*self.listener.getsockname())
        await stream.send_all(request)
        return stream

    async def ask(self, request: bytes = REQUEST) -> tuple[trio.SocketStream, bytes]:
        """Connect, send a request, and read the beginning of the answer; empty if there is none."""
        stream = await self.connect(request)
        try:
            return stream, bytes(await stream.receive_some())
        except trio.BrokenResourceError:
            return stream, b""

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a counter."""
        return self.metrics.registry.get_sample_value(f"streamd_{name}_total", labels) or 0.0


@asynccontextmanager
async def serving_far(*peers: str, **settings: Any) -> AsyncIterator[FarServer]:
    """Run a server for the block, whose peers have these addresses.

    Args:
        peers: see :class:`FarListener`.
        settings: of the server.
    """
    opened = socket.create_server(("127.0.0.1", 0))
    listener = FarListener(opened.family, opened.type, opened.proto, fileno=opened.detach())
    listener.peers = list(peers)
    metrics = Metrics(max_type_labels=1)
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            running = partial(
                serve, EchoServer(), ServerSettings(**settings), sockets=[listener], metrics=metrics
            )
            await nursery.start(running)
            yield FarServer(listener, metrics)
            nursery.cancel_scope.cancel()
