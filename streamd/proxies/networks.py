"""Networks of trusted proxies, and addresses."""

import ipaddress
from collections.abc import Iterable
from typing import Final

import attrs

UNIX: Final = "unix"
"""The name of peers without an address: those of Unix sockets."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_network(text: str) -> Network:
    """Parse a network such as ``10.0.0.0/8``, or a single address.

    Raises:
        ValueError: it is neither; the message states the right form.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        right = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'write an address, a network such as 10.0.0.0/8, or "{UNIX}"') from None
    raise ValueError(f"an address has bits outside of its network: write {right}")


def parse_address(text: str) -> Address | None:
    """Parse an address; an IPv4 address in IPv6 form becomes IPv4 (RFC 4291 section 2.5.5.2).

    Returns:
        None for any other text.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@attrs.frozen
class TrustedProxies:
    """The peers whose forwarding headers and PROXY headers are taken. Made by :meth:`create`."""

    _networks: tuple[Network, ...]
    _unix: bool

    @classmethod
    def create(cls, names: Iterable[str]) -> "TrustedProxies":
        """Parse the networks; ``unix`` stands for peers without an address.

        Raises:
            ValueError: one of them is no network.
        """
        names = list(names)
        networks = tuple(parse_network(name) for name in names if name != UNIX)
        return cls(networks, UNIX in names)

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def trusts(self, address: Address | None) -> bool:
        """Return True for the address of a trusted proxy; None stands for a peer without an address."""
        if address is None:
            return self._unix
        return any(address in network for network in self._networks)

    def trusts_peer(self, peer: tuple[str, int] | None) -> bool:
        """Return True if the peer of a connection, as ASGI has it in ``client``, is a trusted proxy."""
        if not peer or not peer[0]:
            return self._unix
        address = parse_address(peer[0])
        return address is not None and self.trusts(address)
