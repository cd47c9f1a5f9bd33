"""The parts of a server that its connections share."""

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from hypercorn.config import Config
from hypercorn.typing import ConnectionState

from ..proxies import TrustedProxies
from .address_slots import AddressSlots
from .certificates import Certificates
from .hypercorn_internals import HypercornContext
from .live import LiveConnections
from .loop_passes import LoopPassLimiter
from .settings import ServerSettings
from .timeouts import ConnectionTimeouts
from .watcher import DisconnectWatcher


@attrs.frozen
class ServerContext:
    """The parts that all connections of a server share."""

    app: Callable[[Any, Any, Any], Awaitable[None]]  # ASGI
    config: Config
    hypercorn: HypercornContext
    state: ConnectionState  # each request gets a copy
    live: LiveConnections[Any]
    settings: ServerSettings
    limiter: LoopPassLimiter
    slots: AddressSlots
    trusted: TrustedProxies
    max_message_bytes: int  # of a WebSocket client
    watcher: DisconnectWatcher
    timeouts: ConnectionTimeouts

    @property
    def keeps_alive(self) -> bool:
        """Connections are reused; False once the server is draining."""
        return self.hypercorn.keeps_alive


@attrs.frozen
class ListenerInfo:
    """The listener that accepted a connection."""

    certificates: Certificates
    address: tuple[str, int] | None  # None: it differs by connection

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The context of TLS for connections that begin now; None for plain TCP."""
        return self.certificates.tls_context
