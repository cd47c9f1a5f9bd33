"""Proxies in front of the server: the client's address, scheme and URL prefix (layer 0, pure Python).

=============  =====================================================================
``networks``   :class:`TrustedProxies`: the peers whose word is taken
``forwarded``  codecs of ``Forwarded`` (RFC 7239) and ``X-Forwarded-For``
``prefix``     URL prefixes: ``X-Forwarded-Prefix`` and ``server.root_path``
``client``     the walk from the peer to the client along these headers
``scope``      :func:`resolve_clients`: ASGI middleware that corrects each scope
``header``     codec of the PROXY protocol, versions 1 and 2
=============  =====================================================================

Two sources name the client of a request. The PROXY protocol names that of a connection, before TLS and HTTP;
forwarding headers name that of a request. Both are taken from trusted proxies only. Behind a PROXY header,
the client that it names counts as the peer: its headers are ignored unless it is a trusted proxy, too.
"""

from .header import ProxyHeader, parse_proxy_header
from .networks import TrustedProxies, parse_network
from .prefix import parse_prefix
from .scope import FORWARDING, TCP_PROXY, Forwarding, resolve_clients, route_path

__all__ = [
    "FORWARDING",
    "TCP_PROXY",
    "Forwarding",
    "ProxyHeader",
    "TrustedProxies",
    "parse_network",
    "parse_prefix",
    "parse_proxy_header",
    "resolve_clients",
    "route_path",
]
