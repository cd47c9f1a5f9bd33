"""A TLS client in memory, whose bytes a test carries to and fro."""

import ssl

import trustme

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
HOST = "server.test"


def make_contexts(
    authority: trustme.CA, version: ssl.TLSVersion | None = None
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context and that of a client who trusts it, for one version of TLS or any."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    if version is not None:
        client.minimum_version = client.maximum_version = version
    return server, client


class TLSClient:
    """What a peer of :class:`streamd.server.tls.TLS` does; ``receive`` is what that one reads from.

    Attributes:
        waiting: what the server reads before anything else; empty bytes are the end.
        application: decrypts and encrypts.
        refused: whether it found the server's certificate wrong.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.application = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)
        self.waiting: list[bytes] = []
        self.refused = False

    def take_in(self, records: bytes) -> None:
        """Records of the server, in the order they come."""
        self._incoming.write(records)

    async def receive(self) -> bytes:
        """The client's next bytes for the server. There is nobody else, and so there have to be some."""
        if self.waiting:
            return self.waiting.pop(0)
        self.shake_hands()
        data = self._outgoing.read()
        assert data, "the server waits for bytes that nobody is going to send"
        return data

    def shake_hands(self) -> None:
        """Go on with the handshake as far as the server's records allow."""
        try:
            self.application.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError:
            self.refused = True  # the alert that says so is there to be received

    def say(self, data: bytes) -> bytes:
        """Records for the server."""
        self.application.write(data)
        return self._outgoing.read()

    def say_goodbye(self) -> bytes:
        """The record that nothing more will come (close_notify)."""
        try:
            self.application.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    def take(self) -> bytes:
        """All the server has said up to now that came in."""
        data = b""
        try:
            while part := self.application.read(65_536):
                data += part
        except ssl.SSLWantReadError:
            pass
        return data

    def has_ended(self) -> bool:
        """Whether the server said that nothing more will come, as the next thing to be read."""
        try:
            return self.application.read(1) == b""
        except ssl.SSLWantReadError:
            return False
