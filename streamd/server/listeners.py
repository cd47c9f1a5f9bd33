"""Listening sockets with their options; accepted sockets inherit these on Linux."""

import errno
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Final

from hypercorn.config import Config

from ..config import parse_bind, parse_unix_bind, unix_bind
from ..errors import ConfigError
from .settings import ServerSettings
from .unix_sockets import check_unix_path, open_unix_listener

# Practically unlimited: at its limit, Hypercorn closes an HTTP/2 connection under its live streams.
_MAX_REQUESTS: Final = 2**31
_PORT_TRIES: Final = 20  # for a port that is free on all addresses of a name
_MISSING: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}  # such as ::1 on a machine without IPv6

Resolved = tuple[int, Any]  # family and socket address


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
    """Open the listening sockets of each address; on an error, close those that are open already.

    Raises:
        ConfigError: an address cannot be listened on.
    """
    with ExitStack() as on_error:
        sockets: list[socket.socket] = []
        for bind in settings.bind:
            try:
                path = parse_unix_bind(bind)
                opened = _open_tcp(bind, settings) if path is None else [_open_unix(path, settings)]
            except (OSError, UnicodeError) as error:  # UnicodeError: a label of the host name is too long
                raise _refused(bind, error) from error
            for sock in opened:
                on_error.callback(sock.close)
            sockets += opened
        on_error.pop_all()
    return sockets


def adopt_sockets(sockets: Iterable[socket.socket], settings: ServerSettings) -> None:
    """Set the options of listening sockets that another program opened."""
    for sock in sockets:
        _set_options(sock, settings)


def check_addresses(settings: ServerSettings) -> Iterator[ConfigError]:
    """Yield an error for each address that cannot be listened on. Nothing is created.

    One that is in use passes: this may be the server whose configuration is checked. So does one that is no
    address, which the settings report.
    """
    bound: dict[str, list[tuple[int, str, int]]] = {}
    for bind in filter(_is_address, settings.bind):
        try:
            path = parse_unix_bind(bind)
            if path is not None:
                check_unix_path(path)
                continue
            with ExitStack() as opened:
                found = [opened.enter_context(sock) for sock in _bind_all(bind, settings)]
                addresses = [(int(sock.family), *sock.getsockname()[:2]) for sock in found]
        except (OSError, UnicodeError) as error:
            if not (isinstance(error, OSError) and error.errno == errno.EADDRINUSE):
                yield _refused(bind, error)
            continue
        for known, others in bound.items():
            if any(_overlap(one, other) for one in addresses for other in others):
                yield ConfigError(f"server.bind: {bind} is the same address as {known}", field="server.bind")
                break
        bound[bind] = addresses


def _is_address(bind: str) -> bool:
    try:
        if parse_unix_bind(bind) is None:
            parse_bind(bind)
    except ValueError:
        return False
    return True


def _overlap(one: tuple[int, str, int], other: tuple[int, str, int]) -> bool:
    """Return True if the kernel lets only one socket listen on two addresses (family, host, port)."""
    every = {"0.0.0.0", "::"}  # noqa: S104
    return one[::2] == other[::2] and (one[1] == other[1] or bool(every & {one[1], other[1]}))


def address_of(sock: socket.socket, scheme: str) -> str:
    """Return the base URL of a listening socket, such as ``http://127.0.0.1:8080``; or ``unix:/PATH``."""
    if sock.family == socket.AF_UNIX:
        return unix_bind(sock.getsockname())
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def host_and_port(address: Any) -> tuple[str, int] | None:
    """Return the first two parts of an IPv4 or IPv6 socket address; None for a Unix socket's, a path."""
    return address[:2] if isinstance(address, tuple) else None


def _open_tcp(bind: str, settings: ServerSettings) -> list[socket.socket]:
    with ExitStack() as on_error:
        sockets = _bind_all(bind, settings)
        for sock in sockets:
            on_error.callback(sock.close)
        for sock in sockets:
            sock.listen(settings.backlog)
        on_error.pop_all()
    return sockets


def _open_unix(path: str, settings: ServerSettings) -> socket.socket:
    sock = open_unix_listener(path, int(settings.unix_mode, 8), settings.backlog)
    _set_options(sock, settings)
    return sock


def _bind_all(bind: str, settings: ServerSettings) -> list[socket.socket]:
    """Open sockets that are bound to all addresses of a host, on one port, and do not listen yet.

    Where the system chooses the port, it does so for the first address, and again while another one of them
    has that port in use.

    Raises:
        OSError, UnicodeError: an address cannot be bound.
    """
    host, port = parse_bind(bind)
    for _ in range(_PORT_TRIES):
        try:
            return _bind_each(_resolve(host, port), settings)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise
            in_use = error
    raise in_use


def _bind_each(addresses: list[Resolved], settings: ServerSettings) -> list[socket.socket]:
    """Bind a socket to each address that this machine has, those without a port to the port of the first.

    Raises:
        OSError: one of them cannot be bound, or the machine has none of them.
    """
    missing: OSError | None = None
    with ExitStack() as on_error:
        sockets: list[socket.socket] = []
        for family, (host, port, *rest) in addresses:
            chosen = port or (sockets[0].getsockname()[1] if sockets else 0)
            try:
                sock = _bound(family, (host, chosen, *rest), settings)
            except OSError as error:
                if error.errno not in _MISSING:
                    raise
                missing = missing or error
                continue
            on_error.callback(sock.close)
            sockets.append(sock)
        if not sockets and missing is not None:
            raise missing
        on_error.pop_all()
    return sockets


def _resolve(host: str, port: int) -> list[Resolved]:
    """Return the family and the socket address of each address of a host, IPv4 first.

    ``localhost`` is the loopback of both families, whatever the system's table of hosts has (RFC 6761
    section 6.3).
    """
    if host.lower().removesuffix(".") == "localhost":
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port))]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    unique = dict.fromkeys((family, address) for family, _, _, _, address in found)
    return sorted(unique, key=lambda each: each[0] != socket.AF_INET)


def _bound(family: int, address: Any, settings: ServerSettings) -> socket.socket:
    with ExitStack() as on_error:
        sock = socket.socket(family, socket.SOCK_STREAM)
        on_error.callback(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _set_options(sock, settings)
        sock.bind(address)
        on_error.pop_all()
    return sock


def _refused(bind: str, error: OSError | UnicodeError) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else "the name of the host is invalid"
    return ConfigError(f"server.bind: cannot listen on {bind}: {reason}", field="server.bind")


def _set_options(sock: socket.socket, settings: ServerSettings) -> None:
    if settings.send_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer_bytes)
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if settings.tcp_user_timeout_ms:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, settings.tcp_user_timeout_ms)
    if settings.tcp_notsent_lowat_bytes:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, settings.tcp_notsent_lowat_bytes)
