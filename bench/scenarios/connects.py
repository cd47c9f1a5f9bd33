"""Connecting: connects per second, and memory of each connection."""

import time
from typing import Final

import attrs

from ..clients import Clients
from ..figures import Figures
from ..load import Load
from ..peers import PEERS, Peer, StreamdView
from .base import Ratio, Scenario, setup_for

_WARM_UP_CLIENTS: Final = 8


def measure_connects(peer: Peer, load: Load) -> Figures:
    """Connect, wait a moment, and measure the memory.

    Raises:
        Missing: the peer or the load program is not there.
        RuntimeError: one of them failed.
    """
    with peer.start(setup_for(load)) as server:
        # Objects that are loaded or allocated once belong to no connection.
        with Clients(server, attrs.evolve(load, clients=_WARM_UP_CLIENTS), connect_only=True) as clients:
            clients.connected()
        time.sleep(load.settle_seconds)
        before = server.sample()
        with Clients(server, load, connect_only=True) as clients:
            seconds = clients.connected()
            connected = server.sample()
            time.sleep(load.settle_seconds)
            after = server.sample()
    return {
        "connects_per_second": load.clients / seconds,
        "cpu_us_per_connect": (connected.cpu_seconds - before.cpu_seconds) / load.clients * 1e6,
        "memory_bytes_per_connection": (after.rss_bytes - before.rss_bytes) / load.clients,
    }


CONNECTS: Final = Scenario(
    name="connects",
    title="2,000 clients connect, 64 at a time, and stay",
    load=Load(clients=2_000),
    quick=Load(clients=200, settle_seconds=0.1),
    measure=measure_connects,
    columns=("connects_per_second", "cpu_us_per_connect", "memory_bytes_per_connection"),
    ratios=(
        Ratio("connects_per_second", "nchan"),
        Ratio("cpu_us_per_connect", "bare-trio"),
        Ratio("memory_bytes_per_connection", "nchan"),
    ),
    all_peers=(PEERS[0], StreamdView(), *PEERS[1:]),
)
