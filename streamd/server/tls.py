"""TLS on one connection, without a stream of its own: records in, records out."""

import ssl
from collections.abc import Awaitable, Callable

Receive = Callable[[], Awaitable[bytes]]
RECORD_BYTES = 16_384  # the most that one record holds (RFC 8446 section 5.1)


class TLS:
    """The server's side of a TLS connection over memory.

    Every method that makes records hands them out before it returns, so that they leave in the order
    they were made.

    Args:
        context: of a server.
        receive: waits for bytes of the socket; empty at its end.
        write: takes records that TLS makes for itself.
    """

    def __init__(self, context: ssl.SSLContext, receive: Receive, write: Callable[[bytes], None]) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._receive = receive
        self._write = write

    async def handshake(self) -> str | None:
        """Shake hands; the protocol that was agreed on by ALPN, ``http/1.1`` where none was.

        None: it failed, or the peer left.
        """
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                self._write(self._outgoing.read())
                await self._take_in()
            except ssl.SSLError:
                self._write(self._outgoing.read())  # the alert that says why
                return None
            else:
                self._write(self._outgoing.read())
                return self._object.selected_alpn_protocol() or "http/1.1"

    async def receive(self) -> bytes:
        """The next bytes of the peer; empty at the end, and when what came is no TLS."""
        while True:
            try:
                return self._object.read(RECORD_BYTES * 4)
            except ssl.SSLWantReadError:
                self._write(self._outgoing.read())
                await self._take_in()
            except ssl.SSLError:
                return b""

    def seal(self, data: bytes) -> bytes:
        """Records that hold ``data``."""
        view = memoryview(data)
        while view:
            view = view[self._object.write(view) :]
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """The record that says that nothing more will come (close_notify)."""
        try:
            self._object.unwrap()
        except ssl.SSLError:  # it waits for the peer's, which nobody needs
            pass
        return self._outgoing.read()

    async def _take_in(self) -> None:
        data = await self._receive()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
