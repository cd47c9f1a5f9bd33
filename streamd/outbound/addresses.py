"""Public and special-purpose IP addresses, to guard requests to URLs of clients against SSRF.

The blocks are those of the IANA special-purpose registries (RFC 6890) that are not globally reachable, and
what lies outside global unicast. They are listed here because :mod:`ipaddress` follows the registries of its
own release: 192.0.0.0/24 became private to it in Python 3.11.10 only. Blocks that the registries call
reachable in parts, such as 192.0.0.0/24 and 2001::/23, are refused as a whole: no web server has such an
address.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

NON_PUBLIC_IPV4: Final[Mapping[IPv4Network, str]] = {
    IPv4Network("0.0.0.0/8"): "this network, unspecified: RFC 791",
    IPv4Network("10.0.0.0/8"): "private use: RFC 1918",
    IPv4Network("100.64.0.0/10"): "shared address space: RFC 6598",
    IPv4Network("127.0.0.0/8"): "loopback: RFC 1122",
    IPv4Network("169.254.0.0/16"): "link-local, metadata services of clouds: RFC 3927",
    IPv4Network("172.16.0.0/12"): "private use: RFC 1918",
    IPv4Network("192.0.0.0/24"): "IETF protocol assignments: RFC 6890",
    IPv4Network("192.0.2.0/24"): "documentation: RFC 5737",
    IPv4Network("192.88.99.0/24"): "6to4 relay anycast, deprecated: RFC 7526",
    IPv4Network("192.168.0.0/16"): "private use: RFC 1918",
    IPv4Network("198.18.0.0/15"): "benchmarking: RFC 2544",
    IPv4Network("198.51.100.0/24"): "documentation: RFC 5737",
    IPv4Network("203.0.113.0/24"): "documentation: RFC 5737",
    IPv4Network("224.0.0.0/4"): "multicast: RFC 5771",
    IPv4Network("240.0.0.0/4"): "reserved, limited broadcast: RFC 1112, RFC 919",
}
# Global unicast is 2000::/3 (RFC 4291 section 2.4): the first and the last two blocks are everything else.
NON_PUBLIC_IPV6: Final[Mapping[IPv6Network, str]] = {
    IPv6Network("::/3"): "unspecified, loopback, discard-only, local-use NAT64 (64:ff9b:1::/48): RFC 4291",
    IPv6Network("2001::/23"): "IETF protocol assignments, such as Teredo (2001::/32): RFC 2928",
    IPv6Network("2001:db8::/32"): "documentation: RFC 3849",
    IPv6Network("3fff::/20"): "documentation: RFC 9637",
    IPv6Network("4000::/2"): "reserved, segment routing (5f00::/16): RFC 4291, RFC 9602",
    IPv6Network("8000::/1"): "reserved, unique local, link-local, site-local, multicast: RFC 4291, RFC 4193",
}
# Blocks whose addresses stand for an IPv4 address, and the bits that follow it.
_EMBEDDED_IPV4: Final[Mapping[IPv6Network, int]] = {
    IPv6Network("::ffff:0:0/96"): 0,  # IPv4-mapped: RFC 4291 section 2.5.5.2
    IPv6Network("64:ff9b::/96"): 0,  # NAT64: RFC 6052 section 2.1
    IPv6Network("2002::/16"): 80,  # 6to4: RFC 3056 section 2
}
_IPV4_MASK: Final = 0xFFFF_FFFF


def is_public_address(text: str) -> bool:
    """Return True for a public unicast address. One that embeds an IPv4 address is judged by that address.

    Args:
        text: an IPv4 or IPv6 address, as ``getaddrinfo`` returns it; a zone (``%eth0``) is ignored.

    Raises:
        ValueError: the text is no address.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        embedded = _embedded_ipv4(address)
        if embedded is None:
            return not any(address in block for block in NON_PUBLIC_IPV6)
        address = embedded
    return not any(address in block for block in NON_PUBLIC_IPV4)


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    for block, bits_after in _EMBEDDED_IPV4.items():
        if address in block:
            return IPv4Address(int(address) >> bits_after & _IPV4_MASK)
    return None
