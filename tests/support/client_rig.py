"""A client's socket as the server has it, with an application of the test behind it."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import attrs
import trio
from hypercorn.config import Config
from hypercorn.typing import ConnectionState

from streamd.metrics import Metrics
from streamd.proxies import TrustedProxies
from streamd.server.address_slots import AddressSlots
from streamd.server.client_socket import ClientSocket
from streamd.server.context import ServerContext
from streamd.server.hypercorn_internals import HypercornContext
from streamd.server.live import LiveConnections
from streamd.server.loop_passes import LoopPassLimiter
from streamd.server.settings import ServerSettings
from streamd.server.timeouts import ConnectionTimeouts
from streamd.server.watcher import DisconnectWatcher
from tests.support.output_rig import Rig

HANDSHAKE = {
    "Host": "x",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def no_application(_scope: Any, _receive: Any, _send: Any) -> None:
    """Fail: the test has no application."""
    raise AssertionError


class ConnectionNursery:
    """The nursery of a connection, whose trio tasks run in that of the test, and whose scope is its own.

    Args:
        nursery: of the test.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.start_soon = nursery.start_soon
        self.cancel_scope = trio.CancelScope()


class ClientRig(Rig):
    """A client's socket, and the client's end.

    Attributes:
        client: the server's object.
    """

    def __init__(self, nursery: trio.Nursery, server: ServerContext) -> None:
        super().__init__(nursery, *socket.socketpair(), timeout_seconds=server.settings.write_timeout_seconds)
        self.client = ClientSocket(server, cast(Any, ConnectionNursery(nursery)), self.sock, None)
        self.output = self.client.output

    def close(self) -> None:
        self.client.abort()


@contextmanager
def open_client_rig(
    nursery: trio.Nursery,
    app: Any = no_application,
    settings: ServerSettings | None = None,
    max_message_bytes: int = 1_000_000,
) -> Iterator[ClientRig]:
    """Open a client's socket for the block. Its watcher and flushes run in the nursery, until cancelled."""
    settings = settings or ServerSettings()
    with closing(DisconnectWatcher(settings.arrivals_each_pass)) as watcher:
        limiter = LoopPassLimiter(settings.arrivals_each_pass)
        nursery.start_soon(watcher.run)
        timeouts = ConnectionTimeouts()
        nursery.start_soon(limiter.run)
        nursery.start_soon(timeouts.run)
        trusted = TrustedProxies.create([])
        server = ServerContext(
            app=app,
            config=Config(),
            hypercorn=HypercornContext(),
            state=ConnectionState(cast(Any, {})),
            live=LiveConnections(),
            settings=settings,
            limiter=limiter,
            slots=AddressSlots(trusted, settings.max_connections_per_address, Metrics(max_type_labels=1)),
            trusted=trusted,
            max_message_bytes=max_message_bytes,
            watcher=watcher,
            timeouts=timeouts,
        )
        rig = ClientRig(nursery, server)
        try:
            yield rig
        finally:
            rig.close()
            rig.peer.close()


def limited(**changes: Any) -> ServerSettings:
    """Return the default settings with changes."""
    return attrs.evolve(ServerSettings(), **changes)
