"""The names under which a server may be addressed: its ``Host``, or ``:authority``.

A page of a foreign name that resolves to this machine (DNS rebinding) shares its origin with the server, so
that no browser protects the server from it. Its requests have that name as their ``Host``.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from ..config import parse_bind

UNCHECKED_PATHS: Final = frozenset({"/health/live", "/health/ready"})
"""Paths for any `Host`: probes ask by an address."""
EVERY_HOST: Final = "*"
_UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_DEFAULT_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_KNOWN_MAX: Final = 256  # a browser has one or two names for a server


class AllowedHosts:
    """Decides about the ``Host`` of each request.

    Args:
        names: names or addresses, each with or without a port; ``*.example.org`` stands for every name below
            ``example.org``, ``*`` for all. Empty: localhost, and the addresses of the server.
        bound: the addresses that the server listens on, each ``HOST:PORT``.
    """

    def __init__(self, names: Sequence[str], bound: Iterable[str] = ()) -> None:
        self.allows_all = EVERY_HOST in names
        self.is_default = not names
        self._names = frozenset(name.lower() for name in names if not name.startswith("*."))
        self._suffixes = tuple(split_host(name[2:].lower()) for name in names if name.startswith("*."))
        self._bound = frozenset(_bound_hosts(bound))
        self._known: set[tuple[bytes, object, str]] = set()

    def allow(self, host: bytes, own_address: object, scheme: str) -> bool:
        """Return True if a request may have this ``Host``.

        Args:
            host: the header.
            own_address: of the connection's own end; an empty list of names allows it.
            scheme: of the request, for the port of a ``Host`` without one.
        """
        if self.allows_all:
            return True
        key = (host, own_address, scheme)
        if key in self._known:
            return True
        if not self._allow(host.decode("latin1").lower(), own_address, scheme):
            return False
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known.add(key)
        return True

    @property
    def remembered(self) -> int:
        """The number of decisions that are kept, which is bounded."""
        return len(self._known)

    def _allow(self, host: str, own_address: object, scheme: str) -> bool:
        name, port = split_host(host)
        if not name:
            return False
        if self.is_default:
            return (
                is_loopback(name)
                or name.removesuffix(".").endswith(".localhost")
                or name in self._bound
                or name == own_address
            )
        if port is None:
            port = _DEFAULT_PORTS.get(scheme)
        shown = f"[{name}]" if ":" in name else name.removesuffix(".")
        if shown in self._names or f"{shown}:{port}" in self._names:
            return True
        return any(
            shown.endswith(f".{suffix}") and suffix_port in (None, port)
            for suffix, suffix_port in self._suffixes
        )


def split_host(host: str) -> tuple[str, int | None]:
    """Split a ``Host`` header into the name or address, without brackets, and the port.

    The name is empty if the header is malformed (RFC 9110 section 7.2).
    """
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return "", None
    if name is None or parts.netloc != host or "@" in host:
        return "", None
    return name, port


def is_loopback(host: str) -> bool:
    """Return True for an address of the loopback interface, and for ``localhost`` (RFC 6761 section 6.3)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".") == "localhost"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def _bound_hosts(bound: Iterable[str]) -> Iterator[str]:
    for bind in bound:
        try:
            host, _ = parse_bind(bind)
        except ValueError:  # the settings report it
            continue
        if host not in _UNSPECIFIED:
            yield host.lower()
