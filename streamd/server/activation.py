"""Listening sockets that the service manager opened: socket activation of systemd (sd_listen_fds(3)).

The manager keeps the sockets while the server restarts, so that clients wait in their queues and are not
refused. They take the place of ``server.bind``.
"""

import os
import socket
from collections.abc import MutableMapping
from contextlib import ExitStack
from typing import Final

from ..config import unix_bind
from ..errors import ConfigError

_FIRST: Final = 3  # SD_LISTEN_FDS_START
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


def take_activated(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Take over the listening sockets that this process was started with; empty if there are none.

    The variables are removed, and the sockets closed on exec(2), so that no program that is started later
    takes them for its own.

    Raises:
        ConfigError: the variables are malformed, or a descriptor is no listening stream socket.
    """
    process, count, names = (environ.pop(name, "") for name in _VARIABLES)
    if not count or process != str(os.getpid()):  # meant for the process that started this one
        return []
    if not (count.isascii() and count.isdigit() and len(count) <= 4):
        raise ConfigError(f"LISTEN_FDS must be a number of sockets, not {count!r}")
    labels = names.split(":") if names else []
    with ExitStack() as on_error:
        sockets = []
        for index in range(int(count)):
            descriptor = _FIRST + index
            label = labels[index] if index < len(labels) else f"number {descriptor}"
            sock = _take(descriptor, label)
            on_error.callback(sock.close)
            sockets.append(sock)
        on_error.pop_all()
    return sockets


def bind_of(sock: socket.socket) -> str:
    """Return the address of a listening socket in the form of ``server.bind``."""
    if sock.family == socket.AF_UNIX:
        return unix_bind(sock.getsockname())
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if sock.family == socket.AF_INET6 else f"{host}:{port}"


def _take(descriptor: int, label: str) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"LISTEN_FDS names a descriptor that is no socket: {label}") from error
    with ExitStack() as on_error:
        on_error.callback(sock.close)
        sock.set_inheritable(False)
        is_listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if sock.family not in _FAMILIES or sock.type != socket.SOCK_STREAM or not is_listening:
            raise ConfigError(
                f"the socket of the service manager is no listening stream socket: {label}; "
                "its unit needs ListenStream= and Accept=no"
            )
        if sock.family == socket.AF_UNIX and not isinstance(sock.getsockname(), str):
            raise ConfigError(f"the socket of the service manager has no path: {label}")
        on_error.pop_all()
    return sock
