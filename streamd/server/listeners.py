"""Listening sockets with their options; accepted sockets inherit these on Linux."""

import socket
import ssl
import time
from contextlib import ExitStack
from typing import Any, Final

from hypercorn.config import Config

from ..errors import ConfigError
from .settings import ServerSettings

# Practically unlimited: at its limit, Hypercorn closes an HTTP/2 connection under its live streams.
_MAX_REQUESTS: Final = 2**31


class _Config(Config):
    """Hypercorn's configuration, with response headers that are made once a second (``date``)."""

    def __init__(self) -> None:
        super().__init__()
        self._made_at = 0
        self._made: list[tuple[bytes, bytes]] = []

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        now = int(time.time())
        if now != self._made_at:
            self._made_at = now
            self._made = super().response_headers(protocol)
        return self._made


def make_config(settings: ServerSettings, max_message_bytes: int) -> Config:
    """Build Hypercorn's configuration from the settings.

    Args:
        settings: of the server.
        max_message_bytes: maximum size of a client's WebSocket message (bytes).
    """
    config = _Config()
    config.bind = settings.bind
    config.keep_alive_timeout = settings.keep_alive_seconds
    config.keep_alive_max_requests = _MAX_REQUESTS
    config.ssl_handshake_timeout = settings.tls_handshake_timeout_seconds
    config.h2_max_concurrent_streams = settings.http2_max_concurrent_streams
    config.h11_max_incomplete_size = settings.max_request_head_bytes
    config.h2_max_header_list_size = settings.max_request_head_bytes
    config.websocket_max_message_size = max_message_bytes
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = "-"
    if settings.certfile:
        config.certfile = settings.certfile
        config.keyfile = settings.keyfile
    return config


def open_sockets(
    settings: ServerSettings, config: Config
) -> tuple[list[socket.socket], ssl.SSLContext | None]:
    """Open all listening sockets, and load the certificate if there is one.

    Raises:
        ConfigError: an address cannot be bound, or the certificate cannot be used.
    """
    try:
        context = config.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate cannot be used: {error} ({settings.certfile}, {settings.keyfile})",
            field="server.certfile",
        ) from error
    if context is not None:
        context.options |= ssl.OP_NO_RENEGOTIATION  # a write never has to wait for a read
    return _listen_on_all(settings), context


def address_of(sock: socket.socket, scheme: str) -> str:
    """Return the base URL of a listening socket, such as ``http://127.0.0.1:8080``."""
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def host_and_port(family: int, address: Any) -> tuple[str, int] | None:
    """Return the first two parts of an IPv4 or IPv6 socket address; None for any other family."""
    return (address[0], address[1]) if family in (socket.AF_INET, socket.AF_INET6) else None


def _listen_on_all(settings: ServerSettings) -> list[socket.socket]:
    """Open one socket for each address; on an error, close those that are open already."""
    with ExitStack() as on_error:
        sockets = []
        for bind in settings.bind:
            sock = _listen(bind, settings)
            on_error.callback(sock.close)
            sockets.append(sock)
        on_error.pop_all()
    return sockets


def _listen(bind: str, settings: ServerSettings) -> socket.socket:
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        with ExitStack() as on_error:
            on_error.callback(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _set_options(sock, settings)
            sock.bind(address)
            sock.listen(settings.backlog)
            on_error.pop_all()
    except OSError as error:
        raise ConfigError(f"cannot listen on {bind}: {error}", field="server.bind") from error
    return sock


def _set_options(sock: socket.socket, settings: ServerSettings) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if settings.tcp_user_timeout_ms:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, settings.tcp_user_timeout_ms)
    if settings.tcp_notsent_lowat_bytes:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, settings.tcp_notsent_lowat_bytes)
    if settings.send_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer_bytes)
