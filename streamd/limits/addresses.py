"""Client addresses as limits count them."""

import ipaddress
from functools import lru_cache
from typing import Final

from ..proxies import TrustedProxies
from ..proxies.networks import parse_address

_IPV6_SITE_BITS: Final = 64  # one host may use all addresses of a /64 (RFC 7934, RFC 8981)
_CACHED: Final = 10_000


@lru_cache(_CACHED)
def group_address(address: str) -> str:
    """Return the form under which an address is counted.

    An IPv6 address counts as its /64, because one host may use all addresses in it; an IPv4 address that is
    mapped into IPv6 (RFC 4291 section 2.5.5.2) as itself. Other texts, such as the path of a Unix socket, are
    returned as they are.
    """
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_SITE_BITS), strict=False))


class AddressCounting:
    """Tells the addresses of clients from those that stand for many: of proxies and of this machine.

    Args:
        proxies: the trusted proxies.
    """

    def __init__(self, proxies: TrustedProxies | None = None) -> None:
        self._proxies = proxies or TrustedProxies.create(())

    def is_counted(self, address: str) -> bool:
        """Return True for the address of one client.

        False for trusted proxies, Unix sockets and loopback addresses, whose clients are told apart by what a
        proxy forwards, or are the operator's own programs.
        """
        parsed = parse_address(address.partition("%")[0])
        return parsed is not None and not parsed.is_loopback and not self._proxies.trusts(parsed)
