"""One client's socket: what is read from it, its ordered output, its timeouts and its end.

Coupling rules:

- Nothing reads the socket but the trio task that waits in :meth:`ClientSocket.read`, or the watcher while no
  trio task does. Bytes that nobody asked for are kept in ``read_ahead``, in front of all that is read later.
- A watched socket leaves the watcher, and output, lease and socket close, in one step without a checkpoint:
  the kernel reuses the descriptor, and a wire that still wrote to it would write to another client.
- The timer's deadline is finite exactly while the connection is idle, in its TLS handshake, or lingers;
  nothing else makes it so.
"""

import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any, Final

import trio

from .context import ServerContext
from .listeners import host_and_port
from .output import Output
from .timeouts import ConnectionTimer
from .tls import TLS
from .wires import Lease

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() drops unsent bytes (RST)
_LINGER_SECONDS: Final = 2.0  # for the client to read the answer and to close; more would only hold files
_LINGER_BYTES: Final = 32_000_000  # of a body that was refused: a fast client sends no more in that time
_RECEIVE_BYTES: Final = 65_536
_READS_IN_A_ROW: Final = 16  # without waiting: 1 MB, after which others get their turn
_buffer: Final = memoryview(bytearray(_RECEIVE_BYTES))  # shared: used between recv and the copy, in one step


class ClientSocket:
    """The socket of one client, for the protocol that it speaks.

    Args:
        server: the parts that connections share.
        nursery: of the connection's trio tasks; its scope is cancelled to end them.
        sock: as accepted.
        peer: its address, as ``accept`` returns it.

    Attributes:
        server: as given.
        output: all that is written.
        read_ahead: bytes that were read, and that no request has used yet.
        has_left: the client has ended its side, or was lost.
        url_scheme: of URLs on this connection: ``http`` or ``https``.
        address: host and port of the client; None for one without.
        own_address: host and port of the server's end.
        tcp_proxy: address of the peer whose PROXY header named the client; None without one.
        timer: the timeout of the connection. While a request is in progress it is stopped.
    """

    __slots__ = (
        "_is_reading",
        "_is_waiting",
        "_is_watched",
        "_lease",
        "_nursery",
        "_reads",
        "_revoke_streams",
        "_sock",
        "_tls",
        "_undecrypted",
        "address",
        "has_left",
        "output",
        "own_address",
        "read_ahead",
        "server",
        "tcp_proxy",
        "timer",
        "url_scheme",
    )

    def __init__(self, server: ServerContext, nursery: trio.Nursery, sock: socket.socket, peer: Any) -> None:
        sock.setblocking(False)
        self.server = server
        self.address = host_and_port(peer)
        self.own_address: tuple[str, int] | None = None
        self.url_scheme = "http"
        self.tcp_proxy: str | None = None
        self.has_left = False
        self.output = Output(sock, server.settings.write_timeout_seconds, self)
        self.read_ahead = b""
        self._sock = sock
        self._tls: TLS | None = None
        self._undecrypted = b""  # received behind the PROXY header
        self._nursery = nursery
        self.timer = ConnectionTimer(server.timeouts, nursery.cancel_scope, sock)  # ends an idle connection
        self._lease: Lease | None = None
        self._is_watched = False
        self._is_reading = False
        self._is_waiting = False  # for the socket to be readable
        self._reads = 0
        self._revoke_streams: Callable[[], None] | None = None

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Start a trio task of the connection."""
        self._nursery.start_soon(function)

    def find_own_address(self) -> None:
        """Set :attr:`own_address` from the socket, for a listener on all addresses."""
        with suppress(OSError):  # closed already
            self.own_address = host_and_port(self._sock.getsockname())

    # --- input --------------------------------------------------------------------------------

    async def start_tls(self, context: ssl.SSLContext) -> str | None:
        """Perform the handshake; return the protocol agreed on, or None if that failed.

        The handshake timeout cancels the connection, and goes on after a handshake in time.
        """
        self._tls = tls = TLS(context, self.receive, self.output.put_records)
        self.url_scheme = "https"
        self.timer.start(trio.current_time() + self.server.settings.tls_handshake_timeout_seconds)
        agreed = await tls.handshake()
        if agreed is not None:
            self.output.encrypt_with(tls.encrypt)
        return agreed

    async def receive(self) -> bytes:
        """Wait for the next bytes in front of TLS; empty at the end, or when the socket was closed."""
        await trio.lowlevel.checkpoint()
        while (data := self._receive_nowait()) is None:
            await self.wait_readable()
        return data

    def unreceive(self, data: bytes) -> None:
        """Give bytes back that were received too many."""
        self._undecrypted = data

    async def read(self) -> bytes:
        """Wait for the next bytes of the client; empty at the end, or when the socket was closed.

        Does not yield to other trio tasks while there are bytes, but for every sixteenth time. Cancelled, no
        bytes are lost.
        """
        self._reads = (self._reads + 1) % _READS_IN_A_ROW
        if not self._reads:
            await trio.lowlevel.checkpoint()
        while (data := self.read_nowait()) is None:
            await self.wait_readable()
        return data

    @property
    def is_encrypted(self) -> bool:
        """The client speaks TLS, so that bytes may have been received and not been decrypted yet."""
        return self._tls is not None

    def read_nowait(self) -> bytes | None:
        """Return the next bytes of the client, as :meth:`read` does; None if there are none now."""
        tls = self._tls
        if tls is None:
            data = self._receive_nowait()
        else:
            while (data := tls.read_nowait()) is None:
                records = self._receive_nowait()
                if records is None:
                    return None
                tls.feed(records)
        if data == b"":
            self.has_left = True
        return data

    def _receive_nowait(self) -> bytes | None:
        if self._undecrypted:
            data, self._undecrypted = self._undecrypted, b""
            return data
        try:
            return bytes(_buffer[: self._sock.recv_into(_buffer)])
        except BlockingIOError:
            return None
        except OSError:
            return b""

    async def wait_readable(self) -> None:
        """Wait until the socket has bytes, has ended, or was closed."""
        self._is_waiting = True
        try:
            await trio.lowlevel.wait_readable(self._sock)
        except trio.ClosedResourceError:
            pass
        finally:
            self._is_waiting = False

    def was_reset(self) -> bool:
        """Return True if the client has reset the connection, with bytes of it still unread or not."""
        try:
            reset = bool(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except OSError:  # closed already
            reset = True
        self.has_left = self.has_left or reset
        return reset

    # --- a client that leaves while nobody reads ------------------------------------------------

    def lend(self, lease: Lease) -> None:
        """Revoke a lease when the client leaves, which is noticed from now on also while nobody reads."""
        self._lease = lease
        if not self._is_reading:
            self._watch()

    def end_lease(self) -> None:
        """Forget the lease: the response is over."""
        self._lease = None
        if self._is_watched:
            self._unwatch()

    def begin_reading(self) -> None:
        """Leave the input to the calling trio task."""
        self._is_reading = True
        self._unwatch()

    def end_reading(self) -> None:
        """Leave the input to the watcher again, where there is a lease to revoke."""
        self._is_reading = False
        if self._lease is not None:
            self._watch()

    def _watch(self) -> None:
        if self.is_full():
            self._stop_reading_ahead()
        elif self._tls is None:
            self._register()
        else:
            self.on_input()  # there may be bytes that were received and not decrypted yet

    def _unwatch(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self.server.watcher.forget(self._sock.fileno())

    def is_full(self) -> bool:
        """Return True if no more may be read ahead of the request that is being answered."""
        return len(self.read_ahead) >= self.server.settings.max_request_head_bytes

    def on_input(self) -> None:
        """Take what the client sent while nobody reads, or its end. Called by the watcher."""
        while not self.is_full():
            data = self.read_nowait()
            if data is None:
                self._register()
                return
            if not data:
                break
            self.read_ahead += data
            if self.is_full():
                self._stop_reading_ahead()
                return
        self._unwatch()
        self.revoke()

    def _stop_reading_ahead(self) -> None:
        """Abort a client that sends too much behind a stream; of others, notice the end only."""
        if self._lease is not None and self._lease.is_one_way:
            self.abort()
        else:
            self._register()

    def _register(self) -> None:
        fileno = self._sock.fileno()
        if fileno >= 0:
            self._is_watched = True
            self.server.watcher.watch(fileno, self, end_only=self.is_full())

    def revoke(self) -> None:
        """Revoke the lease, or all leases of HTTP/2, because the client is gone."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.revoke()
        if self._revoke_streams is not None:
            self._revoke_streams()

    def revoke_also(self, revoke_streams: Callable[[], None]) -> None:
        """Let :meth:`revoke` call a function that revokes the leases of HTTP/2 streams."""
        self._revoke_streams = revoke_streams

    # --- timeouts -----------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """No request is in progress."""
        return self.timer.deadline != inf

    def start_idle(self) -> None:
        """Start the keep-alive timeout: no request is in progress."""
        if not self.output.closed:
            self.timer.start(trio.current_time() + self.server.settings.keep_alive_seconds)

    def begin_setup(self) -> None:
        """Do not end the connection to make room for others while its first request waits for its turn."""
        self.timer.protect()

    def expect_first_byte(self) -> None:
        """Start the timeout for the first byte of the first request: that of a request head.

        Only a connection that has had a request is kept alive for longer.
        """
        self.timer.start(trio.current_time() + self.server.settings.request_head_timeout_seconds)

    def expect_head(self) -> None:
        """Start the request-head timeout at the first byte of a request; it never ends later than before."""
        within = trio.current_time() + self.server.settings.request_head_timeout_seconds
        self.timer.start(min(self.timer.deadline, within))

    def close_if_idle(self) -> None:
        """End the connection if no request is in progress."""
        if self.is_idle:
            self._nursery.cancel_scope.cancel()

    # --- the end --------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Close the output after all that was written has been sent."""
        if not self.output.free:
            with suppress(trio.ClosedResourceError):
                await self.output.send(b"")  # returns when the queued bytes have been sent
        self.close_output()

    def start_lingering(self) -> None:
        """End the connection in 2 s, unless the client does so before."""
        self.timer.start(trio.current_time() + _LINGER_SECONDS)

    async def linger(self) -> None:
        """Finish, then discard input until the client ends it, within bounds (RFC 9112 section 9.6).

        Closing a socket with unread bytes resets it, and a reset destroys the answer that the client has not
        read yet.
        """
        if self.has_left and (self.output.closed or (self._tls is None and self.output.free)):
            return  # there is nothing to discard, and nothing to send
        await self.finish()
        self.start_lingering()
        discarded = 0
        # In front of TLS, which decrypts no more after its close_notify.
        while discarded < _LINGER_BYTES and (data := await self.receive()):
            discarded += len(data)

    def fail(self) -> None:
        """Write nothing more, because the client is gone; a stream ends in its turn, all else at once."""
        if self._lease is None or not self._lease.is_one_way:
            self.abort()
        else:
            self.has_left = True
            self.output.close()
            self.revoke()
            self._close_socket()

    def abort(self) -> None:
        """Close the socket at once, dropping unsent bytes, and cancel all trio tasks of the connection.

        Never blocks. Where the socket is closed already, they have been cancelled, or have ended.
        """
        if self._sock.fileno() >= 0:
            self.output.close()
            self.revoke()
            with suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            self._close_socket()
            self._nursery.cancel_scope.cancel()
        self.timer.stop()
        # The objects of a connection refer to each other in cycles; separated, they are freed at once.
        self._tls = self._revoke_streams = None

    def close(self) -> None:
        """Close the socket gracefully, when its trio tasks have ended; the kernel sends what it has taken."""
        if not self.output.closed:
            self._end_output()
        if self._sock.fileno() >= 0:
            self._close_socket()

    def close_output(self) -> None:
        """Tell the client that no more is sent; does nothing the second time."""
        if not self.output.closed:
            self._end_output()
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    def _end_output(self) -> None:
        self.output.close(b"" if self._tls is None else self._tls.close_notify())
        self.revoke()

    def _close_socket(self) -> None:
        self._unwatch()
        if self._is_waiting or self.output.is_sending:
            trio.lowlevel.notify_closing(self._sock)  # wakes the trio tasks that wait for it
        self._sock.close()
