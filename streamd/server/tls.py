"""TLS on one connection, in memory: records in, records out."""

import ssl
from collections.abc import Awaitable, Callable

Receive = Callable[[], Awaitable[bytes]]
RECORD_BYTES = 16_384  # maximum plaintext of one record (RFC 8446 section 5.1)


class TLS:
    """The server's side of a TLS connection over memory.

    Every method that makes records returns or writes them before it ends, so that records are sent in the
    order in which they were made.

    Args:
        context: of a server.
        receive: waits for bytes of the socket; empty at its end.
        write: sends the records of the protocol itself: handshake, alerts, session tickets.
    """

    def __init__(self, context: ssl.SSLContext, receive: Receive, write: Callable[[bytes], None]) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._receive = receive
        self._write = write

    async def handshake(self) -> str | None:
        """Perform the handshake.

        Returns:
            The protocol agreed on by ALPN, ``http/1.1`` without ALPN; None if the handshake failed or the
            peer left.
        """
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                self._write(self._outgoing.read())
                await self._take_in()
            except ssl.SSLError:
                self._write(self._outgoing.read())  # the alert with the reason
                return None
            else:
                self._write(self._outgoing.read())
                return self._object.selected_alpn_protocol() or "http/1.1"

    async def receive(self) -> bytes:
        """Wait for the peer's next bytes; empty at the end, and after a record that is invalid."""
        while (data := self.read_nowait()) is None:
            await self._take_in()
        return data

    def read_nowait(self) -> bytes | None:
        """Return the peer's next bytes, as :meth:`receive` does; None until more records are fed."""
        try:
            return self._object.read(RECORD_BYTES * 4)
        except ssl.SSLWantReadError:
            self._write(self._outgoing.read())
            return None
        except ssl.SSLError:
            return b""

    def feed(self, records: bytes) -> None:
        """Take bytes of the socket; empty at its end."""
        if records:
            self._incoming.write(records)
        else:
            self._incoming.write_eof()

    def encrypt(self, data: bytes) -> bytes:
        """Return the records for ``data``.

        Raises:
            ssl.SSLError: the peer has ended TLS.
        """
        view = memoryview(data)
        while view:
            view = view[self._object.write(view) :]
        return self._outgoing.read()

    def close_notify(self) -> bytes:
        """Return the alert that ends TLS (close_notify, RFC 8446 section 6.1)."""
        try:
            self._object.unwrap()
        except ssl.SSLError:  # it asks for the peer's own close_notify, which is not needed
            pass
        return self._outgoing.read()

    async def _take_in(self) -> None:
        self.feed(await self._receive())
