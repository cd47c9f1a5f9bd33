"""Accepting connections: some at a time, and none while files have run out."""

import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog
import trio
from hypercorn.utils import parse_socket_addr

from ..config import ServerSettings
from ..metrics import Metrics
from .connection import ListenerInfo, ServerConnection

_log = structlog.get_logger(__name__)

_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_CLOSED: Final = {errno.EBADF, errno.ENOTSOCK}

Accepted = Callable[[ListenerInfo, socket.socket, Any], ServerConnection]


class Listener(trio.abc.Listener[ServerConnection]):
    """A listening socket, for :func:`trio.serve_listeners`.

    Where files have run out it waits a moment and tries again: accepting pauses, those who are
    connected go on, and whoever knocks waits in the kernel's queue. The log says so once, until
    nobody waits there any more.

    Args:
        sock: listening.
        context: for TLS; None for plain TCP.
        accepted: makes the connection of an accepted socket and its peer's address.
        settings: how many are accepted in a row, and how long a pause is.
        metrics: where it counts.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        accepted: Accepted,
        settings: ServerSettings,
        metrics: Metrics,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._entrance = ListenerInfo(context, _address_of_all(sock))
        self._accepted = accepted
        self._metrics = metrics
        self._each_pass = settings.accepts_each_pass
        self._pause_seconds = settings.accept_pause_seconds
        self._in_a_row = 0
        self._is_exhausted = False

    async def accept(self) -> ServerConnection:
        """The next connection.

        Raises:
            trio.ClosedResourceError: the listener is closed.
        """
        while True:
            self._in_a_row = (self._in_a_row + 1) % self._each_pass
            if not self._in_a_row:
                await trio.lowlevel.checkpoint()
            try:
                sock, peer = self._sock.accept()
            except BlockingIOError:
                self._is_exhausted = False
                await trio.lowlevel.wait_readable(self._sock)
            except OSError as error:
                await self._recover(error)
            else:
                return self._accepted(self._entrance, sock, peer)

    async def _recover(self, error: OSError) -> None:
        if error.errno in _CLOSED:
            raise trio.ClosedResourceError from error
        if error.errno in _EXHAUSTED:
            self._metrics.accept_pauses.inc()
            if not self._is_exhausted:
                self._is_exhausted = True
                _log.error("accepting pauses: no files or memory for more connections", error=str(error))
            # Raised, the error would make `serve_listeners` wait as well, and log a traceback each time.
            await trio.sleep(self._pause_seconds)
        # Anything else was about one connection, which is gone already.

    async def aclose(self) -> None:
        with suppress(OSError):
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
        await trio.lowlevel.checkpoint()


def _address_of_all(sock: socket.socket) -> tuple[str, int] | None:
    """Where all connections of a listener arrive; None when it listens on every address there is."""
    address = sock.getsockname()
    return None if address[0] in ("0.0.0.0", "::") else parse_socket_addr(sock.family, address)  # noqa: S104
