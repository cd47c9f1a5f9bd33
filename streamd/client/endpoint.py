"""The address of a server, its TLS context, and the timeouts of a connection."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable

import attrs
import httpx

from ..errors import InvalidField

Verify = bool | str | ssl.SSLContext
Token = str | Callable[[], Awaitable[str]]
"""A token for every request, or a function that is asked for one at each attempt to connect."""


@attrs.frozen(kw_only=True)
class Timeouts:
    """The timeouts after which a connection counts as lost."""

    connect_seconds: float = 10.0  # TCP, TLS and the head of the response
    heartbeats: float = 2.5  # maximum silence, in heartbeat intervals of the server
    silence_seconds: float = 60.0  # maximum silence until the heartbeat interval is known


@attrs.frozen
class ServerEndpoint:
    """One server. Made by :meth:`create`."""

    base: httpx.URL  # its path ends in a slash
    ssl_context: ssl.SSLContext | None  # None for plain HTTP
    http2: bool
    timeouts: Timeouts
    token: Token | None = attrs.field(default=None, repr=False)

    @classmethod
    def create(
        cls,
        url: str,
        *,
        verify: Verify = True,
        http2: bool = False,
        timeouts: Timeouts | None = None,
        token: Token | None = None,
    ) -> "ServerEndpoint":
        """Check the address, and load the certificates once for all connections.

        Args:
            url: such as ``http://127.0.0.1:8080``; a path in it is kept as a prefix.
            verify: how to verify a TLS certificate: True by the system's authorities, the path of a PEM file
                with authorities, an own context, or False not at all.
            http2: use HTTP/2; without TLS by prior knowledge.
            timeouts: the timeouts of each connection.
            token: proves the caller to the server (RFC 6750); None for none.

        Raises:
            InvalidField: ``url`` is no http or https URL.
            OSError, ssl.SSLError: the file with authorities cannot be read.
        """
        try:
            base = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidField(f"{url!r} is not a URL: {error}", field="url") from error
        if base.scheme not in ("http", "https") or not base.host:
            raise InvalidField(f"{url!r} is not a URL such as http://127.0.0.1:8080", field="url")
        base = base.copy_with(path=base.path.rstrip("/") + "/", query=None, fragment=None)
        context = _ssl_context(verify) if base.scheme == "https" else None
        return cls(base, context, http2, timeouts or Timeouts(), token)

    def url(self, path: str) -> httpx.URL:
        """Return the URL of a resource; its path is given without a leading slash."""
        return self.base.copy_with(path=self.base.path + path)

    async def authorization(self) -> dict[str, str]:
        """Return the header that proves the caller; nothing without a token."""
        if self.token is None:
            return {}
        token = self.token if isinstance(self.token, str) else await self.token()
        return {"Authorization": f"Bearer {token}"}

    def http_client(self) -> httpx.AsyncClient:
        """Make a client for one connection, or for a sequence of requests.

        Close it after a lost connection: HTTP/2 would send the next request on the same one. Only connecting
        has a timeout here; the caller bounds every other wait.
        """
        return httpx.AsyncClient(
            verify=self.ssl_context or False,
            http2=self.http2,
            http1=not (self.http2 and self.ssl_context is None),
            timeout=httpx.Timeout(None, connect=self.timeouts.connect_seconds),
            headers={"User-Agent": "streamd-client"},
            auth=_BearerAuth(self),
        )


class _BearerAuth(httpx.Auth):
    """Adds the token to each request."""

    def __init__(self, endpoint: ServerEndpoint) -> None:
        self._endpoint = endpoint

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        request.headers.update(await self._endpoint.authorization())
        yield request


def _ssl_context(verify: Verify) -> ssl.SSLContext:
    if isinstance(verify, ssl.SSLContext):
        return verify
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    # The system's authorities, as everywhere in streamd; httpx's default are those of certifi.
    return ssl.create_default_context() if verify else httpx.create_ssl_context(verify=False)
