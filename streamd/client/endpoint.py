"""Where the server is, and how to speak to it."""

import ssl

import attrs
import httpx

from ..errors import InvalidField

Verify = bool | str | ssl.SSLContext


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long to wait for the other side before the connection counts as dead."""

    connect_seconds: float = 10.0  # TCP, TLS, and until the head of the answer is there
    heartbeats: float = 2.5  # silence of this many heartbeat intervals is death
    silence_seconds: float = 60.0  # the same, while the server has not told its heartbeat interval


@attrs.frozen
class ServerEndpoint:
    """One server. Make it with :meth:`create`."""

    base: httpx.URL  # its path ends in a slash
    ssl_context: ssl.SSLContext | None  # None for plain HTTP
    http2: bool
    timeouts: Timeouts

    @classmethod
    def create(
        cls, url: str, *, verify: Verify = True, http2: bool = False, timeouts: Timeouts | None = None
    ) -> "ServerEndpoint":
        """Check the address and load the certificates, once for all connections.

        Args:
            url: such as ``http://127.0.0.1:8080``; a path in it is kept as a prefix.
            verify: of a TLS certificate: True by the usual authorities, a file of authorities (PEM), an
                own context, or False not at all.
            http2: HTTP/2; without TLS by prior knowledge.
            timeouts: when to give a connection up.

        Raises:
            InvalidField: not an http or https URL.
            OSError, ssl.SSLError: the file of authorities cannot be read.
        """
        try:
            base = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidField(f"{url!r} is not a URL: {error}", field="url") from error
        if base.scheme not in ("http", "https") or not base.host:
            raise InvalidField(f"{url!r} is not a URL such as http://127.0.0.1:8080", field="url")
        base = base.copy_with(path=base.path.rstrip("/") + "/", query=None, fragment=None)
        context = _ssl_context(verify) if base.scheme == "https" else None
        return cls(base, context, http2, timeouts or Timeouts())

    def url(self, path: str) -> httpx.URL:
        """The address of a resource, given without a leading slash."""
        return self.base.copy_with(path=self.base.path + path)

    def http_client(self) -> httpx.AsyncClient:
        """A client of its own for one stretch of talking.

        A connection found dead must not be used again, and HTTP/2 would: so throw the client away with it.
        Only connecting is timed here, everything else by whoever waits.
        """
        return httpx.AsyncClient(
            verify=self.ssl_context or False,
            http2=self.http2,
            http1=not (self.http2 and self.ssl_context is None),
            timeout=httpx.Timeout(None, connect=self.timeouts.connect_seconds),
            headers={"User-Agent": "streamd-client"},
        )


def _ssl_context(verify: Verify) -> ssl.SSLContext:
    if isinstance(verify, ssl.SSLContext):
        return verify
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return httpx.create_ssl_context(verify=verify)
