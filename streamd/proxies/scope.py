"""ASGI middleware that puts the client's address, scheme and URL prefix into each scope."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import attrs
import structlog

from .client import Peer, Walk, walk_forwarded, walk_forwarded_for
from .networks import TrustedProxies
from .prefix import parse_prefix

_log = structlog.get_logger(__name__)

App = Callable[[Any, Any, Any], Awaitable[None]]  # ASGI 3.0

FORWARDING: Final = "streamd.forwarding"
"""The key of the :class:`Forwarding` in a scope that was resolved."""
TCP_PROXY: Final = "streamd.tcp_proxy"
"""The key of the address of the peer whose PROXY header named the client of a connection."""
_FORWARDED: Final = b"forwarded"
_FOR: Final = b"x-forwarded-for"
_PROTO: Final = b"x-forwarded-proto"
_PREFIX: Final = b"x-forwarded-prefix"
_NAMES: Final = frozenset({_FORWARDED, _FOR, _PROTO, _PREFIX})
_SCHEMES: Final = {
    ("http", "http"): "http",
    ("http", "https"): "https",
    ("websocket", "http"): "ws",
    ("websocket", "https"): "wss",
}


@attrs.frozen
class Forwarding:
    """The way of a request to the server.

    Attributes:
        proxies: addresses of the trusted proxies that it passed, the nearest first; empty text for a peer
            without an address.
        is_named: forwarding headers of trusted proxies name the client.
    """

    proxies: tuple[str, ...] = ()
    is_named: bool = False


_DIRECT: Final = Forwarding()


def resolve_clients(app: App, trusted_proxies: Iterable[str], root_path: str = "") -> App:
    """Wrap an ASGI application so that each scope has the client's address, scheme and URL prefix.

    ``client`` and ``scheme`` are those of the client, as trusted proxies name them. ``root_path`` is the
    prefix, from ``X-Forwarded-Prefix`` of a trusted proxy or else the setting, and ``path`` begins with it
    (ASGI HTTP, Connection Scope), whether the proxy has stripped it or not. Wrapping twice has no effect.

    Args:
        app: the application.
        trusted_proxies: networks, see :class:`TrustedProxies`.
        root_path: the URL prefix, as :func:`parse_prefix` returns it.

    Returns:
        The application itself if there is nothing to resolve.

    Raises:
        ValueError: a trusted proxy is no network.
    """
    trusted = TrustedProxies.create(trusted_proxies)
    return _ResolvedApp(app, trusted, root_path) if trusted or root_path else app


def route_path(scope: Any) -> str:
    """Return the path of a request without the URL prefix."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path


class _ResolvedApp:
    def __init__(self, app: App, trusted: TrustedProxies, root_path: str) -> None:
        self._app = app
        self._trusted = trusted
        self._root_path = root_path

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] in ("http", "websocket") and FORWARDING not in scope:
            self._resolve(scope)
            if scope["type"] == "http" and 0 < len(scope["path"]) == len(scope.get("root_path", "")):
                return _redirect_into(scope, send)
        return self._app(scope, receive, send)

    def _resolve(self, scope: Any) -> None:
        peer: Peer = scope.get("client")
        tcp_proxy = scope.get(TCP_PROXY)
        forwarding = _DIRECT if tcp_proxy is None else Forwarding((tcp_proxy,))
        prefix = ""
        if self._trusted.trusts_peer(peer):
            fields = _forwarding_fields(scope["headers"])
            if fields:
                walk = self._find_client(fields, peer)
                scope["client"] = walk.client
                forwarding = Forwarding((*forwarding.proxies, *walk.proxies), walk.is_complete)
                proto = walk.scheme or fields.get(_PROTO, [""])[-1].rpartition(",")[2].strip(" \t").lower()
                scope["scheme"] = _SCHEMES.get((scope["type"], proto), scope.get("scheme", "http"))
                prefix = parse_prefix(fields.get(_PREFIX, [""])[-1]) or ""
        scope[FORWARDING] = forwarding
        self._set_prefix(scope, prefix)

    def _find_client(self, fields: dict[bytes, list[str]], peer: Peer) -> Walk:
        """Walk along the headers. Where both kinds name a client, they must agree.

        A proxy that sets one kind passes the other on as the client sent it, so that one of two different
        names is the client's own invention.
        """
        standard, common = fields.get(_FORWARDED), fields.get(_FOR)
        if standard is None:
            return walk_forwarded_for(common or (), peer, self._trusted)
        walk = walk_forwarded(standard, peer, self._trusted)
        if common is None or _host(walk_forwarded_for(common, peer, self._trusted)) == _host(walk):
            return walk
        _log.info("forwarding_headers_disagree", proxy=peer and peer[0])
        return Walk(peer)

    def _set_prefix(self, scope: Any, prefix: str) -> None:
        outer = self._root_path or scope.get("root_path", "")
        prefix = prefix or outer
        if not prefix:
            return
        path: str = scope["path"]
        if not path.startswith("/"):  # absolute-form (RFC 9112 section 3.2.2)
            path = "/" + path.partition("://")[2].partition("/")[2]
        if path == outer or path.startswith(f"{outer}/"):
            path = path[len(outer) :]
        scope["root_path"] = prefix
        scope["path"] = prefix + path


def _forwarding_fields(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, list[str]]:
    """Return the values of the forwarding headers by lower-case name."""
    fields: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in _NAMES:
            fields.setdefault(name, []).append(value.decode("latin1"))
    return fields


def _host(walk: Walk) -> str | None:
    return walk.client[0] if walk.client else None


async def _redirect_into(scope: Any, send: Any) -> None:
    """Redirect from the prefix itself to the page, whose relative URLs need the slash."""
    query = scope.get("query_string", b"")
    location = scope["root_path"].encode() + b"/" + (b"?" + query if query else b"")
    await send({"type": "http.response.start", "status": 308, "headers": [(b"location", location)]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
