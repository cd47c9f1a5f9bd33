"""The walk from the peer of a connection to the client of a request, along the forwarding headers.

Each proxy names its own peer at the right end. So the walk begins at the connection's peer and goes to the
left while it passes trusted proxies::

    X-Forwarded-For: 192.0.2.1, 203.0.113.9, 10.0.0.2        peer 10.0.0.1
                     sent by    the client   trusted         trusted
                     the client

The first address that is not trusted is the client; everything to its left is what that client sent. Where an
element is malformed, or hides the address, the walk ends before it, at the last address that is sure.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from .forwarded import ForwardedNode, parse_forwarded, parse_forwarded_for, parse_forwarded_node
from .networks import TrustedProxies

_HOPS_MAX: Final = 32  # more proxies in a row are a loop, or a header made to cost time

Peer = tuple[str, int] | None
Hop = tuple[ForwardedNode, str]
"""The node at the far end of a hop, and the scheme that it used; empty if that is not named."""


@attrs.frozen
class Walk:
    """The result of a walk.

    Attributes:
        client: address and port of the last node that is sure.
        proxies: addresses of the trusted proxies before it, from the peer on; empty for a peer without one.
        is_complete: the headers name the client; otherwise ``client`` may be a proxy.
        scheme: that the client used; empty if that is not named.
    """

    client: Peer
    proxies: tuple[str, ...] = ()
    is_complete: bool = False
    scheme: str = ""


def walk_forwarded(fields: Sequence[str], peer: Peer, trusted: TrustedProxies) -> Walk:
    """Walk along ``Forwarded``; ``fields`` are its values in the order of the request."""
    return _walk(_forwarded_hops(fields), peer, trusted)


def walk_forwarded_for(fields: Sequence[str], peer: Peer, trusted: TrustedProxies) -> Walk:
    """Walk along ``X-Forwarded-For``; ``fields`` are its values in the order of the request."""
    return _walk(_forwarded_for_hops(fields), peer, trusted)


def _walk(hops: Iterator[Hop], peer: Peer, trusted: TrustedProxies) -> Walk:
    """Walk from a trusted peer along hops, the nearest first."""
    walk = Walk(peer)
    try:
        for node, scheme in hops:
            if node.address is None or len(walk.proxies) == _HOPS_MAX:
                return attrs.evolve(walk, is_complete=False)
            passed = walk.client[0] if walk.client else ""
            walk = Walk((str(node.address), node.port), (*walk.proxies, passed), True, scheme)
            if not trusted.trusts(node.address):
                break
    except ValueError:
        return attrs.evolve(walk, is_complete=False)
    return walk


def _forwarded_hops(fields: Sequence[str]) -> Iterator[Hop]:
    # Field by field, so that a quote that a client left open cannot swallow the fields of proxies.
    for field in reversed(fields):
        for element in reversed(parse_forwarded(field)):
            if "for" not in element:
                raise ValueError("an element does not name its peer")
            yield parse_forwarded_node(element["for"]), element.get("proto", "").lower()


def _forwarded_for_hops(fields: Sequence[str]) -> Iterator[Hop]:
    for field in reversed(fields):
        for text in reversed(field.rsplit(",", _HOPS_MAX)):
            if stripped := text.strip(" \t"):
                yield parse_forwarded_for(stripped), ""
