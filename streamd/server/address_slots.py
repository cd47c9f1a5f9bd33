"""The limit on open connections of one client address, from accept on."""

import resource
from functools import lru_cache
from typing import Final

from ..errors import TooManyForCaller
from ..limits import AddressCounting, group_address
from ..metrics import Metrics
from ..proxies import TrustedProxies

_SHARE: Final = 2  # of the files that a process may open, one address gets the half
_RETRY_AFTER_SECONDS: Final = 5.0
_CACHED: Final = 10_000  # addresses


def open_files_max() -> int:
    """Return how many files this process may open now; practically infinite without a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft


class AddressSlots:
    """The open connections of each client address, idle ones and those without a request included.

    The connections of loopback addresses, Unix sockets and trusted proxies are not counted, and an IPv6
    address counts as its /64: see :mod:`streamd.limits.addresses`.

    Args:
        trusted: the trusted proxies.
        max_per_address: maximum number of connections; 0 for half of the files that the process may open.
        metrics: counts the rejected connections.
    """

    def __init__(self, trusted: TrustedProxies, max_per_address: int, metrics: Metrics) -> None:
        self._counting = AddressCounting(trusted)
        self._max_per_address = max_per_address
        self._metrics = metrics
        self._taken: dict[str, int] = {}
        self._key_of = lru_cache(_CACHED)(self._find_key)

    def take(self, address: str | None) -> str:
        """Count a connection of an address; None stands for a peer without one.

        Returns:
            The key for :meth:`give_back`; empty if the address is not counted.

        Raises:
            TooManyForCaller: the address has its maximum number of connections. Counted in the metrics.
        """
        key = self._key_of(address) if address else ""
        if not key:
            return ""
        taken = self._taken.get(key, 0)
        most = self._max_per_address or open_files_max() // _SHARE
        if taken >= most:
            self._metrics.refused.labels(TooManyForCaller.code).inc()
            raise TooManyForCaller(
                f"this address already has the maximum of {most} open connections",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        self._taken[key] = taken + 1
        return key

    def give_back(self, key: str) -> None:
        """Count one connection less; does nothing for an empty key."""
        if not key:
            return
        left = self._taken[key] - 1
        if left:
            self._taken[key] = left
        else:
            del self._taken[key]

    def _find_key(self, address: str) -> str:
        return group_address(address) if self._counting.is_counted(address) else ""
