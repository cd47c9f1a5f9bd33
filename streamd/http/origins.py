"""Access of pages of other origins: CORS, and requests that change something."""

from collections.abc import Sequence
from typing import Final

import attrs
from quart import Quart, request
from quart.wrappers import Response

from ..characters import quoted
from ..errors import CrossSite

EXPOSED_HEADERS: Final = (
    "Retry-After, ETag, Location, Task-Status, Task-Progress, RateLimit, RateLimit-Policy, X-Request-Id"
)
"""Headers that pages of other origins may read, in addition to the safelisted ones (WHATWG Fetch)."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""
CORS_ORIGINS: Final = "STREAMD_CORS_ORIGINS"
"""The application's configuration value with the origins of :func:`allow_origins`."""
FETCH_SITE: Final = "Sec-Fetch-Site"
"""The relation of a page to the server (W3C Fetch Metadata); browsers send it, and no page can set it."""
OWN_SITES: Final = ("same-origin", "none")
"""Its values for the server's own pages, and for URLs that the user has opened."""
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_METHODS: Final = "GET, HEAD, POST, PATCH, OPTIONS"  # without DELETE, which only ends connections
_MAX_AGE_SECONDS: Final = "600"  # Chromium keeps a preflight for two hours at most


@attrs.frozen
class Cors:
    """The pages of other origins that may use the server (WHATWG Fetch, CORS protocol).

    Args:
        origins: the allowed origins; ``*`` for all.
        headers: names of the headers that their requests may have.
        credentials: they may send cookies, and read the answers to such requests.
    """

    origins: Sequence[str] = ()
    headers: Sequence[str] = ()
    credentials: bool = False

    def allows(self, origin: str) -> bool:
        """Return True if pages of an origin may use the server."""
        return "*" in self.origins or origin in self.origins

    def answer_headers(self, origin: str | None) -> list[tuple[str, str]]:
        """Build the headers that let pages of an allowed origin read a response.

        If any origin is allowed, responses to all others have ``Vary: Origin`` too; otherwise a shared cache
        would give all origins the same response.

        Args:
            origin: the origin of the requesting page; None outside a page.
        """
        headers = [("Vary", "Origin")] if self.origins else []
        if origin is not None and self.allows(origin):
            headers.append(("Access-Control-Allow-Origin", "*" if "*" in self.origins else origin))
            headers.append(("Access-Control-Expose-Headers", EXPOSED_HEADERS))
            if self.credentials:
                headers.append(("Access-Control-Allow-Credentials", "true"))
        return headers


def allow_origins(app: Quart, cors: Cors) -> None:
    """Let pages of other origins use the application's routes."""

    async def allow(response: Response) -> Response:
        origin = request.headers.get("Origin")
        for name, value in cors.answer_headers(origin):
            if name == "Vary":
                response.headers.add(name, value)
            else:  # a second value would be invalid
                response.headers[name] = value
        if request.method == "OPTIONS" and origin is not None and cors.allows(origin):
            response.headers["Access-Control-Allow-Methods"] = _METHODS
            response.headers["Access-Control-Allow-Headers"] = ", ".join(cors.headers)
            response.headers["Access-Control-Max-Age"] = _MAX_AGE_SECONDS
        return response

    app.config[CORS_ORIGINS] = tuple(cors.origins)
    if cors.origins:
        app.after_request(allow)


def check_site(cors: Cors, fetch_site: str | None, origin: str | None, host: str, *, secure: bool) -> None:
    """Reject a request of a page of another site, unless its origin is allowed.

    A browser sends a form's POST to any site, and opens a WebSocket to any (RFC 6455 section 10.2), without
    a preflight. ``Sec-Fetch-Site`` decides where it is sent; a page of another origin of the same site is
    foreign, too. Older browsers, and those that reach the server in the clear, send an ``Origin`` alone,
    which is compared with the ``Host``. Other programs send neither, and are admitted.

    Args:
        cors: the allowed origins.
        fetch_site, origin, host: headers of the request; None where it has none.
        secure: it came over TLS.

    Raises:
        CrossSite: the page belongs to another site.
    """
    if fetch_site is None and origin is None:
        return
    if "*" in cors.origins or (origin is not None and cors.allows(origin)):
        return
    if fetch_site is None:
        assert origin is not None
        if is_own_origin(origin, host, secure=secure):
            return
    elif fetch_site in OWN_SITES:
        return
    page = "other sites" if origin is None else quoted(origin)
    raise CrossSite(
        f"pages of {page} may not change anything here, nor open a WebSocket: the origin is neither the "
        "server's own nor one that it allows",
        field=FETCH_SITE if origin is None else "Origin",
    )


def is_own_origin(origin: str, host: str, *, secure: bool) -> bool:
    """Return True if an origin is the server's own: if its host is the ``Host`` of the request.

    Behind a proxy that terminates TLS a request looks plain, so a plain one matches http and https.
    """
    host = host.lower()
    return any(
        origin == f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}"
        for scheme in (("https",) if secure else ("https", "http"))
    )
