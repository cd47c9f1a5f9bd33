"""One client's connection, from the accepted socket to its close.

A connection is in one of these states; the attributes that encode each are in parentheses::

    PROXY HEADER                                   with server.proxy_protocol only, bounded in time and bytes
        |
    HANDSHAKE                                      TLS only, bounded by tls_handshake_timeout_seconds
        |
        |  ALPN agreed: HTTP/1.1 or HTTP/2
        v               request head complete
    IDLE (finite deadline) ---------------> BUSY (deadline is inf)
        |             <---------------------  |
        |                 answer complete     |
        |                                     |
        |  end of input, keep-alive or        |  end of input, refused, not to be reused
        |  request-head timeout, shutdown     |
        v                                     v
    CLOSING (output open): flush, close_notify, FIN
        |                                     |
        |                                     v
        |          LINGERING (output closed, finite deadline): discard input, RFC 9112 section 9.6
        |                                     |  end of input, linger timeout, shutdown
        v                                     v
    CLOSED (socket closed)  <-------------- abort() in any state: RST, unsent bytes are dropped

Coupling rules:

- The timer's deadline is finite exactly while the connection is in its HANDSHAKE, IDLE or LINGERING; these
  are the connections that are ended early, the oldest first, when open files run short (:mod:`.accept`).
  A connection without a request has the request-head timeout from the beginning, one that is reused the
  keep-alive timeout. The first byte of a request only moves the deadline nearer, so that a trickling client
  (slowloris) cannot extend it. While LINGERING nothing moves it but the end of the input.
- A connection that is ended while it may still receive bytes lingers: closing a socket with unread bytes
  resets it, and a reset destroys the answer that the client has not read yet.
- HTTP/1.1 becomes HTTP/2 by the preface only (RFC 9113 section 3.3), never by a request, and never back.
- A connection has one nursery, whose scope ends it. On HTTP/1.1 there is one trio task, which runs the
  application, another one only while it flushes what the kernel did not take, and at most one lease. On
  HTTP/2 there is one trio task and one lease a stream, kept by the protocol.
- :mod:`.client_socket` has the rules of the socket itself.
"""

import socket
from typing import Any

import structlog
import trio

from ..errors import TooManyForCaller
from .client_socket import ClientSocket
from .context import ListenerInfo, ServerContext
from .http1 import serve_http1
from .http2_session import HTTP2Session
from .preamble import read_proxy_header

_log = structlog.get_logger(__name__)


async def serve_connection(
    server: ServerContext, listener: ListenerInfo, sock: socket.socket, peer: Any, slot: str = ""
) -> None:
    """Serve one accepted socket until the client leaves, has been idle for too long, or is aborted.

    Args:
        server: application, configuration and limits.
        listener: accepted the socket.
        sock: as accepted.
        peer: its address, as ``accept`` returns it.
        slot: the address slot that was taken for it; given back at its end.
    """
    try:
        async with trio.open_nursery() as nursery:
            connection = ServerConnection(server, nursery, listener, sock, peer, slot)
            await connection.serve()
        connection.close()
    except Exception:  # noqa: BLE001 - an error of one connection must not reach the others
        _log.exception("connection_failed")
    finally:
        connection.end()


class ServerConnection(ClientSocket):
    """One accepted socket, as :func:`serve_connection` serves it.

    Args:
        server: application, configuration and limits.
        nursery: of the connection.
        listener: accepted the socket.
        sock: as accepted.
        peer: its address, as ``accept`` returns it.
        slot: the address slot that was taken for it; given back at its end.
    """

    __slots__ = ("_http2", "_listener", "_slot")

    def __init__(
        self,
        server: ServerContext,
        nursery: trio.Nursery,
        listener: ListenerInfo,
        sock: socket.socket,
        peer: Any,
        slot: str,
    ) -> None:
        super().__init__(server, nursery, sock, peer)
        self._listener = listener
        self._slot = slot
        self._http2: HTTP2Session | None = None

    async def serve(self) -> None:
        """Speak the protocol of the client until one side ends."""
        self.server.live.add(self)
        if self.server.settings.proxy_protocol and not await self._take_proxy_header():
            return
        self.own_address = self._listener.address
        if self.own_address is None:
            self.find_own_address()
        agreed: str | None = "http/1.1"
        if self._listener.tls is not None:
            agreed = await self.start_tls(self._listener.tls)
            self.expect_first_byte()
        if agreed == "http/1.1":
            preface = await serve_http1(self)
            if preface is not None:
                await self._serve_http2(preface)
        elif agreed is not None:
            await self._serve_http2()

    async def _serve_http2(self, preface: bytes = b"") -> None:
        self._http2 = HTTP2Session(self)
        try:
            await self._http2.run(preface)
        finally:
            self._http2 = None  # which refers to this connection

    def end(self) -> None:
        """Close the socket, unless that is done, and give the address slot back."""
        self.abort()
        self.server.live.leave(self)
        self.server.slots.give_back(self._slot)

    def begin_drain(self) -> None:
        """Begin the graceful shutdown: an HTTP/2 connection accepts no more requests."""
        if self._http2 is not None:
            self._http2.begin_drain()

    def close_if_idle(self) -> None:
        """End the connection if no request is in progress; on HTTP/2, announce its end otherwise."""
        super().close_if_idle()
        if self._http2 is not None and not self.is_idle:
            self._http2.go_away()

    async def _take_proxy_header(self) -> bool:
        """Read the PROXY header; return False if the connection must be closed."""
        found = await read_proxy_header(self.address, self.server.trusted, self.receive)
        if found is None:
            return False
        header, rest = found
        self.unreceive(rest)
        if header.is_tls:
            self.url_scheme = "https"
        if header.source is not None:
            self.tcp_proxy = self.address[0] if self.address else ""
            self.address = header.source
            try:
                self._slot = self.server.slots.take(header.source[0])
            except TooManyForCaller as error:
                _log.info("connection_rejected", address=header.source[0], code=error.code)
                return False
        return True
