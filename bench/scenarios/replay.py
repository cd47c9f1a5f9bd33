"""Replay: clients that read a long log from its beginning."""

import time
from typing import Final

import attrs

from ..clients import Clients
from ..figures import Figures, of_deliveries
from ..load import Load
from ..peers import Ability, Peer
from .base import Ratio, Scenario, setup_for

_EVENTS_A_POST: Final = 10_000


def measure_replay(peer: Peer, load: Load) -> Figures:
    """Publish all events, then connect; the time counts from the start of the load program.

    Raises:
        Missing: the peer or the load program is not there.
        RuntimeError: one of them failed.
    """
    setup = attrs.evolve(setup_for(load), keep_events=load.events)
    with peer.start(setup) as server:
        with server.publisher(load.deadline_seconds) as publisher:
            for first in range(0, load.events, _EVENTS_A_POST):
                numbers = range(first, min(first + _EVENTS_A_POST, load.events))
                publisher.publish_ndjson(numbers, payload_bytes=load.payload_bytes)
        time.sleep(load.settle_seconds)
        before = server.sample()
        began_ns = time.monotonic_ns()
        with Clients(server, load, path=peer.replay_path) as clients:
            clients.connected()
            outcome = clients.done()
            after = server.sample()
    figures = of_deliveries(outcome, began_ns, after.cpu_seconds - before.cpu_seconds)
    # The events are old, so that their delays mean nothing.
    return {name: value for name, value in figures.items() if not name.startswith("latency")}


REPLAY: Final = Scenario(
    name="replay",
    title="20 clients resume from the earliest of 100,000 events",
    load=Load(clients=20, events=100_000),
    quick=Load(clients=5, events=2_000, settle_seconds=0.1),
    measure=measure_replay,
    columns=("cpu_us_per_delivery", "deliveries_per_second"),
    ratios=(Ratio("deliveries_per_second", "streamd-asgi"),),
    needs=frozenset({Ability.REPLAY, Ability.NDJSON}),
)
