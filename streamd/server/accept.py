"""The accept loop: connections in turns, limited by address, and room for newcomers when files run short.

::

    accept ── reset by its client already ───────────────── closed
      │ ───── the address has its maximum of connections ── 429, closed
      │ ───── open files run short ── the connection that has been idle for longest is ended, and:
      v
    served

Files are short when the new socket's descriptor is near the limit: the kernel gives out the lowest free one.
So there are always some left for the newcomer, the storage and outgoing requests. Only connections without a
request in progress are ended: those that are kept alive, that have sent nothing, or not a whole request head,
and that linger. Where there is none, accepting pauses after EMFILE.
"""

import errno
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import structlog
import trio

from ..errors import TooManyForCaller
from ..metrics import Metrics
from .address_slots import AddressSlots, open_files_max
from .certificates import Certificates
from .context import ListenerInfo
from .http1.response import ResponseHead
from .listeners import host_and_port
from .refusals import RequestRefused
from .settings import ServerSettings
from .timeouts import ConnectionTimeouts

_log = structlog.get_logger(__name__)

_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_CLOSED: Final = {errno.EBADF, errno.ENOTSOCK}
_PAUSE_SECONDS: Final = 0.1  # before the next attempt after EMFILE: short for clients, and no busy loop
_SPARE_FILES: Final = 32  # for the storage and outgoing requests; less where few files are allowed
_SPARE_PART: Final = 16  # of the limit
_ENDED_AT_ONCE: Final = 4  # idle connections after EMFILE
_RESET_IN_A_ROW: Final = 64  # connections that are gone already, at some microseconds each
_DISCARDED_BYTES: Final = 65_536  # of a request that is refused at accept

Serve = Callable[[], Awaitable[None]]
Accepted = Callable[[ListenerInfo, socket.socket, Any, str], Serve]


class Listener(trio.abc.AsyncResource):
    """A listening socket.

    After EMFILE or ENFILE without an idle connection to end, it pauses and tries again: open connections go
    on, and new clients wait in the kernel's backlog. It logs the first pause only, until the backlog has been
    empty.

    Args:
        sock: listening.
        certificates: the context of TLS for each accepted socket; None in it for plain TCP.
        accepted: takes the listener, an accepted socket, its peer's address, and its address slot; returns
            the function that serves the connection.
        settings: the maximum number of accepts in a row.
        metrics: counts the pauses, and the idle connections that were ended.
        slots: the limit of connections of each address.
        timeouts: know the idle connections.
    """

    def __init__(
        self,
        sock: socket.socket,
        certificates: Certificates,
        accepted: Accepted,
        settings: ServerSettings,
        metrics: Metrics,
        slots: AddressSlots,
        timeouts: ConnectionTimeouts,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._certificates = certificates
        self._info = ListenerInfo(certificates, _fixed_address(sock))
        self._accepted = accepted
        self._metrics = metrics
        self._slots = slots
        self._timeouts = timeouts
        self._has_proxy_header = settings.proxy_protocol
        self._each_pass = settings.accepts_each_pass
        self._in_a_row = 0
        self._reset_in_a_row = 0
        self._is_exhausted = False

    async def accept(self) -> Serve:
        """Wait for the next connection, and return the function that serves it.

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
                serve = self._admit(sock, peer)
                if serve is not None:
                    return serve

    def _admit(self, sock: socket.socket, peer: Any) -> Serve | None:
        """Take an accepted socket; return None, and close it, if it is gone or refused."""
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            # A flood of clients that reset at once fills the backlog: it is emptied faster than served.
            sock.close()
            self._reset_in_a_row = (self._reset_in_a_row + 1) % _RESET_IN_A_ROW
            if self._reset_in_a_row:
                self._in_a_row -= 1
            return None
        slot = ""
        if not self._has_proxy_header:  # which names the client, whose slot is taken then
            address = host_and_port(peer)
            try:
                slot = self._slots.take(address and address[0])
            except TooManyForCaller as error:
                _log.info("connection_rejected", address=address and address[0], code=error.code)
                _refuse(sock, error, is_tls=self._certificates.tls_context is not None)
                return None
        if self._is_short(sock.fileno()):
            self._end_idle(1)
        return self._accepted(self._info, sock, peer, slot)

    @staticmethod
    def _is_short(descriptor: int) -> bool:
        """Return True if open files run short, by the number of a new descriptor."""
        most = open_files_max()
        return descriptor >= most - min(_SPARE_FILES, most // _SPARE_PART)

    def _end_idle(self, count: int) -> bool:
        """End the connections that have been idle for longest; return False if none is idle."""
        ended = 0
        while ended < count and self._timeouts.expire_oldest():
            ended += 1
        self._metrics.idle_ended.inc(ended)
        return ended > 0

    async def _recover(self, error: OSError) -> None:
        if error.errno in _CLOSED:
            raise trio.ClosedResourceError from error
        if error.errno not in _EXHAUSTED:
            return  # any other error concerns one connection, which is gone already
        if self._end_idle(_ENDED_AT_ONCE):
            for _ in range(2):  # in which those that were ended close their sockets
                await trio.lowlevel.checkpoint()
            return
        self._metrics.accept_pauses.inc()
        if not self._is_exhausted:
            self._is_exhausted = True
            _log.error("accepting_paused", error=str(error))
        await trio.sleep(_PAUSE_SECONDS)

    async def aclose(self) -> None:
        with suppress(OSError):
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
        await trio.lowlevel.checkpoint()


def _refuse(sock: socket.socket, error: TooManyForCaller, *, is_tls: bool) -> None:
    """Answer a connection in one step and close it, without a file that lingers.

    A client that sends its request after that may see a reset. One over TLS gets no answer: a handshake costs
    more than the connection that is refused.
    """
    sock.setblocking(False)
    with suppress(OSError):
        if not is_tls:
            retry_after = (b"retry-after", b"%d" % (error.retry_after_seconds or 1))
            headers, body = RequestRefused(error.status, error.code, error.detail, [retry_after]).answer()
            head = ResponseHead(
                error.status, headers, is_head_request=False, is_http_1_0=False, keeps_alive=False
            )
            sock.send(head.data + body)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(_DISCARDED_BYTES)  # a socket that is closed with bytes unread resets: no answer
    sock.close()


def _fixed_address(sock: socket.socket) -> tuple[str, int] | None:
    """Return the address of all connections of a listener; None if they differ, or have none."""
    own = host_and_port(sock.getsockname())
    return None if own is None or own[0] in ("0.0.0.0", "::") else own  # noqa: S104
