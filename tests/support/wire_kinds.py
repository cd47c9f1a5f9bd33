"""All kinds of wires, settings of a server for each, and subscribers on it."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs
import pytest
import trio

from streamd.hub import Subscription
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import RunningServer
from tests.support.certificates import trusting, write_certificate
from tests.support.plain import NO_SERVICES
from tests.support.sockets import connect
from tests.support.wire_clients import HTTP2Client, HTTP10Client, HTTP11Client, WebSocketClient, WireClient

_WIDE_WINDOW_BYTES = 2**30  # a flow-control window that never fills


@attrs.frozen
class WireKind:
    """A protocol, with or without TLS."""

    name: str
    client: type[WireClient]
    tls: bool = False


WIRES = (
    WireKind("HTTP/1.1", HTTP11Client),
    WireKind("HTTP/1.0", HTTP10Client),
    WireKind("WebSocket", WebSocketClient),
    WireKind("HTTP/2", HTTP2Client),
    WireKind("HTTP/1.1 over TLS", HTTP11Client, tls=True),
    WireKind("WebSocket over TLS", WebSocketClient, tls=True),
    WireKind("HTTP/2 over TLS", HTTP2Client, tls=True),
)
on_each_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)


def settings_for(wire: WireKind, folder: Path, server: ServerSettings, **sections: Any) -> Settings:
    """Build the settings of a server for a wire; its certificate is written to ``folder``."""
    if wire.tls:
        pem = write_certificate(folder)
        server = attrs.evolve(server, certfile=pem, keyfile=pem)
    return Settings(server=server, **NO_SERVICES, **sections)


async def connect_to(
    server: RunningServer, wire: WireKind, receive_buffer_bytes: int | None = None
) -> trio.abc.Stream:
    """Open a connection, and agree on the wire's protocol."""
    if not wire.tls:
        return await connect(server.url, receive_buffer_bytes=receive_buffer_bytes)
    tls = trusting(wire.client.alpn)
    stream = await connect(server.url, tls=tls, receive_buffer_bytes=receive_buffer_bytes)
    assert isinstance(stream, trio.SSLStream)
    assert stream.selected_alpn_protocol() == wire.client.alpn
    return stream


@asynccontextmanager
async def subscribed(
    server: RunningServer,
    wire: WireKind,
    *topics: str,
    receive_buffer_bytes: int | None = None,
    window_bytes: int = _WIDE_WINDOW_BYTES,
    **query: str,
) -> AsyncIterator[WireClient]:
    """Subscribe, and read up to ``connected`` and no further."""
    stream = await connect_to(server, wire, receive_buffer_bytes)
    try:
        client = wire.client(stream)
        pairs = [*(("topic", topic) for topic in topics), *query.items()]
        await client.open("/events?" + urlencode(pairs), window_bytes)
        await client.read_control("connected")
        yield client
    finally:
        await trio.aclose_forcefully(stream)


def subscription_of(server: RunningServer, client_id: str) -> Subscription:
    """Return the subscription of a connected client."""
    subscription: Any = server.streamd.connections.find(client_id).subscription
    assert isinstance(subscription, Subscription)
    return subscription


def socket_of(stream: trio.abc.Stream) -> trio.socket.SocketType:
    """Return the socket below a stream, with or without TLS."""
    tcp = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    assert isinstance(tcp, trio.SocketStream)
    return tcp.socket


def reset_connection(stream: trio.abc.Stream) -> None:
    """Close a client's socket with a reset (SO_LINGER, 0 s)."""
    sock = socket_of(stream)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
