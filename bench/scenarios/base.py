"""The base of all scenarios."""

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from ..figures import Figures
from ..load import Load
from ..peers import PEERS, Ability, Peer, Setup

LATENCIES: Final = ("latency_p50_ms", "latency_p99_ms", "latency_max_ms")


@attrs.frozen
class Ratio:
    """A column with each peer's figure divided by that of one peer."""

    figure: str
    base: str  # the peer's name


@attrs.frozen(kw_only=True)
class Scenario:
    """One workload: the same load for each peer that has the abilities for it."""

    name: str
    title: str
    load: Load
    quick: Load  # a small load, for a smoke test
    measure: Callable[[Peer, Load], Figures]
    columns: tuple[str, ...]  # names of figures
    ratios: tuple[Ratio, ...] = ()
    needs: frozenset[Ability] = frozenset()
    all_peers: tuple[Peer, ...] = PEERS

    def peers(self, names: Sequence[str] = ()) -> tuple[Peer, ...]:
        """Return the measured peers in the order of the rows; only those in ``names``, unless it is empty."""
        able = (peer for peer in self.all_peers if self.needs <= peer.abilities)
        return tuple(peer for peer in able if not names or peer.name in names)


def setup_for(load: Load) -> Setup:
    """Return the requirements of a load."""
    return Setup(connections=load.connections, tls=load.tls)
