"""The header of the PROXY protocol, which precedes TLS and HTTP on a connection."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from ..proxies import ProxyHeader, TrustedProxies, parse_proxy_header

_log = structlog.get_logger(__name__)

# A proxy sends it in its first packet; the specification asks for at least 3 s, in case that packet is lost.
_HEADER_SECONDS: Final = 5.0


async def read_proxy_header(
    peer: tuple[str, int] | None, trusted: TrustedProxies, receive: Callable[[], Awaitable[bytes]]
) -> tuple[ProxyHeader, bytes] | None:
    """Read the header at the beginning of a connection.

    Args:
        peer: address and port of the peer.
        trusted: the peers that may send a header.
        receive: waits for the next bytes of the socket; empty at its end.

    Returns:
        The header and the bytes behind it; None if the connection must be closed: because the peer is not
        trusted, or the header is missing, malformed or late, which is logged, or because the peer has left.
    """
    if not trusted.trusts_peer(peer):
        _refuse(peer, "the peer is not in server.trusted_proxies")
        return None
    received = bytearray()
    with trio.move_on_after(_HEADER_SECONDS):
        while data := await receive():
            received += data
            try:
                header = parse_proxy_header(bytes(received))
            except ValueError as error:
                _refuse(peer, str(error))
                return None
            if header is not None:
                return header, bytes(received[header.size :])
        if received:
            _refuse(peer, "the connection ended within the header")
        return None
    _refuse(peer, f"the header was not complete after {_HEADER_SECONDS:g} s")
    return None


def _refuse(peer: tuple[str, int] | None, reason: str) -> None:
    _log.warning("proxy_header_refused", address=peer and peer[0], reason=reason)
