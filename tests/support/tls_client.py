"""A TLS client in memory; the test passes its bytes to the server and back."""

import ssl

import trustme

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
HOST = "server.test"


def make_contexts(
    authority: trustme.CA, version: ssl.TLSVersion | None = None
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Build the contexts of a server and of a client that trusts it, for one version of TLS or all."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    if version is not None:
        client.minimum_version = client.maximum_version = version
    return server, client


class TLSClient:
    """The peer of a :class:`streamd.server.tls.TLS`, which reads from :meth:`receive`.

    Attributes:
        waiting: bytes that the server reads before anything else; empty bytes are the end.
        application: decrypts and encrypts.
        refused: True if the client rejected the server's certificate.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.application = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)
        self.waiting: list[bytes] = []
        self.refused = False

    def take_in(self, records: bytes) -> None:
        """Receive records of the server."""
        self._incoming.write(records)

    async def receive(self) -> bytes:
        """Return the client's next bytes for the server, which must exist: nothing else could arrive."""
        if self.waiting:
            return self.waiting.pop(0)
        self.shake_hands()
        data = self._outgoing.read()
        assert data, "the server waits for bytes that the client will never send"
        return data

    def shake_hands(self) -> None:
        """Continue the handshake as far as the server's records allow."""
        try:
            self.application.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError:
            self.refused = True  # its alert can be received

    def encrypt(self, data: bytes) -> bytes:
        """Return the records for ``data``."""
        self.application.write(data)
        return self._outgoing.read()

    def close_notify(self) -> bytes:
        """Return the alert that ends TLS (close_notify)."""
        try:
            self.application.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    def take(self) -> bytes:
        """Return the decrypted bytes of the records received up to now."""
        data = b""
        try:
            while part := self.application.read(65_536):
                data += part
        except ssl.SSLWantReadError:
            pass
        return data

    def has_ended(self) -> bool:
        """Return True if the next record is the server's close_notify."""
        try:
            return self.application.read(1) == b""
        except ssl.SSLWantReadError:
            return False
