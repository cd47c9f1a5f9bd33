"""Replay: clients that read a long log from its beginning, alone or beside clients of new events."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs

from ..clients import Clients, Outcome
from ..figures import Figures, loss, of_deliveries
from ..load import Load
from ..peers import Ability, Peer, Running
from ..publisher import TOPIC
from .base import Ratio, Scenario, setup_for

_EVENTS_A_POST: Final = 10_000
_HISTORY_TOPIC: Final = "history"
_SPARE_EVENTS: Final = 1_000  # kept for what the server itself publishes, such as figures of its services


def measure_replay(peer: Peer, load: Load) -> Figures:
    """Publish all events, then connect; the time counts from the start of the load program.

    Raises:
        Missing: the peer or the load program is not there.
        RuntimeError: one of them failed.
    """
    setup = attrs.evolve(setup_for(load), keep_events=load.events)
    with peer.start(setup) as server:
        _publish_history(server, load, load.events, TOPIC)
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


def _publish_history(server: Running, load: Load, events: int, topic: str) -> None:
    with server.publisher(load.deadline_seconds, topic) as publisher:
        for first in range(0, events, _EVENTS_A_POST):
            numbers = range(first, min(first + _EVENTS_A_POST, events))
            publisher.publish_ndjson(numbers, payload_bytes=load.payload_bytes)


def measure_beside_replay(peer: Peer, load: Load) -> Figures:
    """Measure two runs of paced events on one server: quiet, then while another client replays
    ``load.history`` events of another topic, again and again.

    Raises:
        Missing: the peer or the load program is not there.
        RuntimeError: one of them failed.
    """
    setup = attrs.evolve(setup_for(load), keep_events=load.history + 2 * load.events + _SPARE_EVENTS)
    with peer.start(setup) as server:
        _publish_history(server, load, load.history, _HISTORY_TOPIC)
        quiet = _measure_paced(server, load)
        with _replaying(server, load) as replays:
            replaying = _measure_paced(server, load)
    outcomes = [outcome for outcome, _ in replays]
    if not outcomes:
        raise RuntimeError("no replay was complete")
    return {
        "quiet_p99_ms": quiet.p99_ns / 1e6,
        "quiet_max_ms": quiet.max_ns / 1e6,
        "replaying_p99_ms": replaying.p99_ns / 1e6,
        "replaying_max_ms": replaying.max_ns / 1e6,
        "replayed_per_second": load.history * len(replays) / sum(seconds for _, seconds in replays),
        **loss([quiet, replaying, *outcomes]),
    }


def _measure_paced(server: Running, load: Load) -> Outcome:
    with Clients(server, load) as clients, server.publisher(load.deadline_seconds) as publisher:
        clients.connected()
        time.sleep(load.settle_seconds)
        publisher.publish_each(range(load.events), payload_bytes=load.payload_bytes, rate=load.rate)
        return clients.done()


@contextmanager
def _replaying(server: Running, load: Load) -> Iterator[list[tuple[Outcome, float]]]:
    """Replay the history again and again during the block.

    Yields:
        The outcome of each replay that is complete, and its duration (s).
    """
    path = server.peer.replay_path.replace(f"topic={TOPIC}", f"topic={_HISTORY_TOPIC}")
    one = attrs.evolve(load, clients=1, events=load.history, rate=0.0)
    replays: list[tuple[Outcome, float]] = []
    failures: list[Exception] = []
    ended = threading.Event()

    def replay() -> None:
        try:
            while not ended.is_set():
                began_ns = time.monotonic_ns()
                with Clients(server, one, path=path) as clients:
                    clients.connected()
                    outcome = clients.done()
                replays.append((outcome, (outcome.last_ns - began_ns) / 1e9))
        except (RuntimeError, OSError) as error:
            failures.append(error)

    thread = threading.Thread(target=replay)
    thread.start()
    try:
        yield replays
    finally:
        ended.set()
        thread.join()
    if failures:
        raise failures[0]


REPLAY: Final = Scenario(
    name="replay",
    title="20 clients resume from the earliest of 100,000 events",
    load=Load(clients=20, events=100_000),
    quick=Load(clients=5, events=2_000, settle_seconds=0.1),
    measure=measure_replay,
    columns=("cpu_us_per_delivery", "deliveries_per_second"),
    ratios=(Ratio("deliveries_per_second", "streamd"), Ratio("deliveries_per_second", "streamd-asgi")),
    needs=frozenset({Ability.REPLAY, Ability.NDJSON}),
)
REPLAY_ONE: Final = attrs.evolve(
    REPLAY,
    name="replay-one",
    title="one client resumes from the earliest of 100,000 events",
    load=attrs.evolve(REPLAY.load, clients=1),
    quick=attrs.evolve(REPLAY.quick, clients=1),
)
BESIDE_REPLAY: Final = Scenario(
    name="beside-replay",
    title="100 clients, 20 events a second for 15 s, quiet and while another replays 100,000 events",
    load=Load(clients=100, events=300, rate=20.0, history=100_000),
    quick=Load(clients=10, events=20, rate=20.0, history=2_000, settle_seconds=0.1),
    measure=measure_beside_replay,
    columns=(
        "quiet_p99_ms",
        "quiet_max_ms",
        "replaying_p99_ms",
        "replaying_max_ms",
        "replayed_per_second",
    ),
    ratios=(Ratio("replaying_p99_ms", "streamd"), Ratio("replayed_per_second", "streamd")),
    needs=frozenset({Ability.REPLAY, Ability.NDJSON}),
)
