"""Listening sockets with their options; accepted sockets inherit these on Linux."""

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any, Final

from hypercorn.config import Config

from ..config import parse_bind
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
    """Build Hypercorn's configuration from the settings. TLS is not in it, see :mod:`.tls`.

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
    return config


def open_sockets(settings: ServerSettings) -> list[socket.socket]:
    """Open a listening socket for each address; on an error, close those that are open already.

    Raises:
        ConfigError: an address cannot be listened on.
    """
    with ExitStack() as on_error:
        sockets = []
        for bind in settings.bind:
            sock = _bound(bind, settings)
            on_error.callback(sock.close)
            try:
                sock.listen(settings.backlog)
            except OSError as error:
                raise _refused(bind, error) from error
            sockets.append(sock)
        on_error.pop_all()
    return sockets


def check_addresses(settings: ServerSettings) -> Iterator[ConfigError]:
    """Yield an error for each address that cannot be listened on.

    One that is in use passes: this may be the server whose configuration is checked. So does one that is no
    address, which the settings report.
    """
    bound: dict[str, tuple[int, str, int]] = {}
    for bind in filter(_is_address, settings.bind):
        try:
            with closing(_bound(bind, settings)) as sock:
                address = (sock.family, *sock.getsockname()[:2])
        except ConfigError as error:
            cause = error.__cause__
            if not (isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE):
                yield error
            continue
        if (other := next((known for known in bound if _overlap(address, bound[known])), None)) is not None:
            yield ConfigError(f"server.bind: {bind} is the same address as {other}", field="server.bind")
        bound[bind] = address


def _is_address(bind: str) -> bool:
    try:
        parse_bind(bind)
    except ValueError:
        return False
    return True


def _overlap(one: tuple[int, str, int], other: tuple[int, str, int]) -> bool:
    """Return True if the kernel lets only one socket listen on two addresses (family, host, port)."""
    every = {"0.0.0.0", "::"}  # noqa: S104
    return one[::2] == other[::2] and (one[1] == other[1] or bool(every & {one[1], other[1]}))


def address_of(sock: socket.socket, scheme: str) -> str:
    """Return the base URL of a listening socket, such as ``http://127.0.0.1:8080``."""
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def host_and_port(family: int, address: Any) -> tuple[str, int] | None:
    """Return the first two parts of an IPv4 or IPv6 socket address; None for any other family."""
    return (address[0], address[1]) if family in (socket.AF_INET, socket.AF_INET6) else None


def _bound(bind: str, settings: ServerSettings) -> socket.socket:
    """Open a socket that is bound to an address, and does not listen yet.

    Raises:
        ConfigError: it cannot be bound.
    """
    host, port = parse_bind(bind)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        with ExitStack() as on_error:
            on_error.callback(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _set_options(sock, settings)
            sock.bind(address)
            on_error.pop_all()
    except (OSError, UnicodeError) as error:  # UnicodeError: a label of the host name is too long
        raise _refused(bind, error) from error
    return sock


def _refused(bind: str, error: OSError | UnicodeError) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else "the name of the host is invalid"
    return ConfigError(f"server.bind: cannot listen on {bind}: {reason}", field="server.bind")


def _set_options(sock: socket.socket, settings: ServerSettings) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if settings.tcp_user_timeout_ms:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, settings.tcp_user_timeout_ms)
    if settings.tcp_notsent_lowat_bytes:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, settings.tcp_notsent_lowat_bytes)
    if settings.send_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer_bytes)
