"""What a scenario is."""

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from ..figures import Figures
from ..load import Load
from ..peers import PEERS, Ability, Peer, Setup

LATENCIES: Final = ("latency_p50_ms", "latency_p99_ms", "latency_max_ms")


@attrs.frozen
class Ratio:
    """A figure of every peer over the same of one of them."""

    figure: str
    base: str  # the peer's name


@attrs.frozen(kw_only=True)
class Scenario:
    """One table: the same load for every peer that can take it."""

    name: str
    title: str
    load: Load
    quick: Load  # a small one, for a first look
    measure: Callable[[Peer, Load], Figures]
    columns: tuple[str, ...]  # names of figures
    ratios: tuple[Ratio, ...] = ()
    needs: frozenset[Ability] = frozenset()
    all_peers: tuple[Peer, ...] = PEERS

    def peers(self, names: Sequence[str] = ()) -> tuple[Peer, ...]:
        """Who takes part, in the order of the rows; of those only the named ones, when any are named."""
        able = (peer for peer in self.all_peers if self.needs <= peer.abilities)
        return tuple(peer for peer in able if not names or peer.name in names)


def setup_for(load: Load) -> Setup:
    """How a server is started for a load."""
    return Setup(connections=load.connections, tls=load.tls)
