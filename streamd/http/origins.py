"""Access of pages of other origins: CORS, and the origin of WebSocket upgrades."""

from collections.abc import Sequence
from typing import Final

from quart import Quart, request
from quart.wrappers import Response, Websocket

from ..errors import Forbidden
from ..idempotency import IDEMPOTENCY_KEY
from .requests import LAST_EVENT_ID, RESUME_HEADER

EXPOSED_HEADERS: Final = (
    "Retry-After, ETag, Location, Task-Status, Task-Progress, RateLimit, RateLimit-Policy"
)
"""Headers that pages of other origins may read, in addition to the safelisted ones (WHATWG Fetch)."""
CORS_ORIGINS: Final = "STREAMD_CORS_ORIGINS"
"""The application's configuration value with the origins of :func:`allow_origins`."""
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
QUOTED_CHARS: Final = 200  # quoted from a header, which may be as long as the request head


def cors_headers(origins: Sequence[str], origin: str | None) -> list[tuple[str, str]]:
    """Build the headers that let pages of an allowed origin read a response (WHATWG Fetch, CORS protocol).

    If any origin is allowed, responses to all others have ``Vary: Origin`` too; otherwise a shared cache
    would give all origins the same response.

    Args:
        origins: the allowed origins; ``*`` for all.
        origin: the origin of the requesting page; None outside a page.
    """
    headers = [("Vary", "Origin")] if origins else []
    if origin is not None and _is_allowed(origins, origin):
        headers.append(("Access-Control-Allow-Origin", "*" if "*" in origins else origin))
        headers.append(("Access-Control-Expose-Headers", EXPOSED_HEADERS))
    return headers


def _is_allowed(origins: Sequence[str], origin: str) -> bool:
    return "*" in origins or origin in origins


def allow_origins(app: Quart, origins: Sequence[str]) -> None:
    """Let pages of these origins use the API (WHATWG Fetch, CORS protocol); ``*`` allows all."""

    async def allow(response: Response) -> Response:
        origin = request.headers.get("Origin")
        for name, value in cors_headers(origins, origin):
            response.headers.add(name, value)
        if request.method == "OPTIONS" and origin is not None and _is_allowed(origins, origin):
            response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, PATCH, OPTIONS"
            response.headers["Access-Control-Allow-Headers"] = (
                f"Content-Type, {LAST_EVENT_ID}, {RESUME_HEADER}, {IDEMPOTENCY_KEY}"
            )
            response.headers["Access-Control-Max-Age"] = "600"
        return response

    app.config[CORS_ORIGINS] = tuple(origins)
    if origins:
        app.after_request(allow)


def check_websocket_origin(upgrade: Websocket, origins: Sequence[str]) -> None:
    """Reject pages of other origins: browsers let any page open a WebSocket (RFC 6455 section 10.2).

    Programs send no origin and are admitted.

    Raises:
        Forbidden: the page's origin is neither the server's own nor allowed.
    """
    origin = upgrade.headers.get("Origin")
    if origin is None or _is_allowed(origins, origin):
        return
    if is_own_origin(origin, upgrade.headers.get("Host", ""), secure=upgrade.scheme in ("wss", "https")):
        return
    raise Forbidden(
        f"pages of {origin[:QUOTED_CHARS]!r} may not open a WebSocket here: the origin is neither the "
        "server's own nor one that it allows",
        field="Origin",
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
