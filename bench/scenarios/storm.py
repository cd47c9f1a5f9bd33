"""A reconnect storm: clients are served while as many others connect, or reconnect, at once."""

import enum
import time
from contextlib import ExitStack
from typing import Final

import attrs

from ..clients import Clients, Outcome
from ..figures import Figures, loss
from ..load import Load
from ..peers import Peer
from .base import Ratio, Scenario, setup_for


class _Storm(enum.Enum):
    NONE = "quiet"
    CONNECT = "connecting"
    RECONNECT = "reconnecting"


def measure_storm(peer: Peer, load: Load) -> Figures:
    """Measure three runs, each on a new server: quiet, with others connecting, with others reconnecting.

    Raises:
        Missing: the peer or the load program is not there.
        RuntimeError: one of them failed.
    """
    figures: dict[str, float] = {}
    outcomes = []
    for storm in _Storm:
        outcome, seconds = _measure(peer, load, storm)
        outcomes.append(outcome)
        figures[f"{storm.value}_p99_ms"] = outcome.p99_ns / 1e6
        figures[f"{storm.value}_max_ms"] = outcome.max_ns / 1e6
        if storm is not _Storm.NONE:
            figures[f"storm_{storm.name.lower()}s_per_second"] = load.joining / seconds
            figures[f"storm_{storm.name.lower()}_seconds"] = seconds
    return {**figures, **loss(outcomes)}


def _measure(peer: Peer, load: Load, storm: _Storm) -> tuple[Outcome, float]:
    """Measure the first clients, and the time in which the others connect after a fifth of the events (s)."""
    joining = attrs.evolve(load, clients=load.joining)
    quiet = load.events // 5
    with peer.start(setup_for(load)) as server, ExitStack() as stack:
        clients = stack.enter_context(Clients(server, load))
        clients.connected()

        def connect_others() -> Clients:
            others = Clients(server, joining, connect_only=True, ramp=load.joining)
            return stack.enter_context(others)

        others: Clients | None = None
        if storm is _Storm.RECONNECT:
            others = connect_others()
            others.connected()
        time.sleep(load.settle_seconds)
        publisher = stack.enter_context(server.publisher(load.deadline_seconds))
        publisher.publish_each(range(quiet), payload_bytes=load.payload_bytes, rate=load.rate)
        time.sleep(1 / load.rate)
        if storm is _Storm.CONNECT:
            others = connect_others()
        elif others is not None:
            others.connect_again()
        publisher.publish_each(range(quiet, load.events), payload_bytes=load.payload_bytes, rate=load.rate)
        outcome = clients.done()
        return outcome, others.connected() if others is not None else 0.0


STORM: Final = Scenario(
    name="storm",
    title="1,000 clients at 10 events a second, while 1,000 others connect, or reconnect, all at once",
    load=Load(clients=1_000, events=50, rate=10.0, joining=1_000),
    quick=Load(clients=50, events=5, rate=10.0, joining=50, settle_seconds=0.1),
    measure=measure_storm,
    columns=(
        "quiet_p99_ms",
        "quiet_max_ms",
        "connecting_p99_ms",
        "connecting_max_ms",
        "reconnecting_p99_ms",
        "reconnecting_max_ms",
        "storm_connects_per_second",
        "storm_reconnects_per_second",
        "storm_reconnect_seconds",
    ),
    ratios=(Ratio("connecting_p99_ms", "nchan"), Ratio("reconnecting_p99_ms", "nchan")),
)
STORM_5000: Final = attrs.evolve(
    STORM,
    name="storm-5000",
    title="1,000 clients at 10 events a second, while 5,000 others connect, or reconnect, all at once",
    load=attrs.evolve(STORM.load, joining=5_000),
)
