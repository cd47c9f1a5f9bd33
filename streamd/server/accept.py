"""The accept loop: a limited number of connections in a row, and pauses while the process is out of files."""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog
import trio

from ..metrics import Metrics
from .certificates import Certificates
from .connection import ServerConnection
from .context import ListenerInfo
from .listeners import host_and_port
from .settings import ServerSettings

_log = structlog.get_logger(__name__)

_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_CLOSED: Final = {errno.EBADF, errno.ENOTSOCK}
_PAUSE_SECONDS: Final = 0.1  # before the next attempt after EMFILE: short for clients, and no busy loop

Accepted = Callable[[ListenerInfo, socket.socket, Any], ServerConnection]


class Listener(trio.abc.Listener[ServerConnection]):
    """A listening socket.

    After EMFILE or ENFILE it pauses and tries again: open connections go on, and new clients wait in the
    kernel's backlog. It logs the first pause only, until the backlog has been empty.

    Args:
        sock: listening.
        certificates: the context of TLS for each accepted socket; None in it for plain TCP.
        accepted: makes the connection of an accepted socket and its peer's address.
        settings: the maximum number of accepts in a row.
        metrics: counts the pauses.
    """

    def __init__(
        self,
        sock: socket.socket,
        certificates: Certificates,
        accepted: Accepted,
        settings: ServerSettings,
        metrics: Metrics,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._certificates = certificates
        self._address = _fixed_address(sock)
        self._accepted = accepted
        self._metrics = metrics
        self._each_pass = settings.accepts_each_pass
        self._in_a_row = 0
        self._is_exhausted = False

    async def accept(self) -> ServerConnection:
        """Wait for the next connection.

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
                return self._accepted(ListenerInfo(self._certificates.tls_context, self._address), sock, peer)

    async def _recover(self, error: OSError) -> None:
        if error.errno in _CLOSED:
            raise trio.ClosedResourceError from error
        if error.errno in _EXHAUSTED:
            self._metrics.accept_pauses.inc()
            if not self._is_exhausted:
                self._is_exhausted = True
                _log.error("accepting_paused", error=str(error))
            await trio.sleep(_PAUSE_SECONDS)
        # Any other error concerns one connection, which is gone already.

    async def aclose(self) -> None:
        with suppress(OSError):
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
        await trio.lowlevel.checkpoint()


def _fixed_address(sock: socket.socket) -> tuple[str, int] | None:
    """Return the address of all connections of a listener; None if they differ, or have none."""
    own = host_and_port(sock.family, sock.getsockname())
    return None if own is None or own[0] in ("0.0.0.0", "::") else own  # noqa: S104
