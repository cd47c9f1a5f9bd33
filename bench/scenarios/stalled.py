"""Stalled readers: the effect of a few clients that never read on the other clients and on memory."""

import time
from pathlib import Path
from typing import Final

import attrs

from ..clients import Clients, Outcome
from ..figures import Figures, loss, of_deliveries
from ..load import Load
from ..peers import Peer, Running
from .base import LATENCIES, Ratio, Scenario, setup_for

_SOCKET_STATISTICS: Final = Path("/proc/net/sockstat")
_PAGE_BYTES: Final = 4_096
_QUIET_DIVISOR: Final = 4  # of the events, in the run without stalled readers


def measure_stalled(peer: Peer, load: Load) -> Figures:
    """Measure two runs, each on a new server: without stalled readers, then with them.

    Raises:
        Missing: the peer or the load program is not there.
        RuntimeError: one of them failed.
    """
    undisturbed = attrs.evolve(
        load, clients=load.clients - load.stalled, stalled=0, events=load.events // _QUIET_DIVISOR
    )
    quiet, _ = _measure(peer, undisturbed)
    stalled, figures = _measure(peer, load)
    return {
        **figures,
        "quiet_p99_ms": quiet.p99_ns / 1e6,
        "quiet_max_ms": quiet.max_ns / 1e6,
        **loss([quiet, stalled]),
    }


def _measure(peer: Peer, load: Load) -> tuple[Outcome, dict[str, float]]:
    memory: dict[str, float] = {}
    with peer.start(setup_for(load)) as server, Clients(server, load) as clients:
        clients.connected()
        time.sleep(load.settle_seconds)
        before = server.sample()
        memory.update(_memory(server, "start"))
        with server.publisher(load.deadline_seconds) as publisher:
            half = load.events // 2
            began_ns = time.monotonic_ns()
            publisher.publish_each(range(half), payload_bytes=load.payload_bytes, rate=load.rate)
            memory.update(_memory(server, "middle"))
            rest = range(half, load.events)
            publisher.publish_each(rest, payload_bytes=load.payload_bytes, rate=load.rate)
            outcome = clients.done()
        after = server.sample()
        memory.update(_memory(server, "end"))
    return outcome, {**of_deliveries(outcome, began_ns, after.cpu_seconds - before.cpu_seconds), **memory}


def _memory(server: Running, moment: str) -> dict[str, float]:
    return {
        f"rss_{moment}_bytes": float(server.sample().rss_bytes),
        f"tcp_{moment}_bytes": float(tcp_memory_bytes()),
    }


def tcp_memory_bytes() -> int:
    """Return the kernel's memory for all TCP sockets of this machine (bytes)."""
    for line in _SOCKET_STATISTICS.read_text().splitlines():
        kind, _, rest = line.partition(":")
        if kind == "TCP":
            words = rest.split()
            return int(words[words.index("mem") + 1]) * _PAGE_BYTES
    raise RuntimeError(f"{_SOCKET_STATISTICS} has no line about TCP")


STALLED: Final = Scenario(
    name="stalled",
    title="1,000 clients of which 10 never read, 10 events of 2 kB a second for 60 s, against none stalled",
    load=Load(clients=1_000, stalled=10, events=600, rate=10.0, payload_bytes=2_000),
    quick=Load(clients=100, stalled=5, events=20, rate=20.0, payload_bytes=2_000, settle_seconds=0.1),
    measure=measure_stalled,
    columns=(
        "cpu_us_per_delivery",
        "quiet_p99_ms",
        "quiet_max_ms",
        *LATENCIES,
        *(f"{kind}_{moment}_bytes" for kind in ("rss", "tcp") for moment in ("start", "middle", "end")),
    ),
    ratios=(Ratio("latency_p99_ms", "nchan"),),
)
