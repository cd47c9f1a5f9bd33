"""The publish rate: acknowledged events per second, without subscribers."""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

import attrs

from ..figures import Figures
from ..load import Load
from ..peers import Ability, Peer, Running
from .base import Ratio, Scenario, setup_for

_CONNECTIONS: Final = 64
_EVENTS_AN_ARRAY: Final = 100
_EVENTS_AN_NDJSON_BODY: Final = 10_000

SINGLE_COLUMNS: Final = (
    "published_single_per_second",
    "answered_p99_ms",
    "cpu_us_per_publish",
    "published_many_per_second",
    "answered_many_p99_ms",
    "cpu_us_per_publish_of_many",
)
"""The figures of single POSTs, on one connection and on many."""


def measure_publish(peer: Peer, load: Load) -> Figures:
    """Publish ``load.events`` one by one on one connection, as many on 64, and ten times as many in each kind
    of body that the peer supports.

    Raises:
        Missing: the peer is not there.
        RuntimeError: it failed, or rejected an event.
    """
    payload = load.payload_bytes
    setup = attrs.evolve(setup_for(load), keep_events=load.history)
    with peer.start(setup) as server, server.publisher(load.deadline_seconds) as publisher:
        # Load the modules that are imported on first use.
        publisher.publish_each(range(10), payload_bytes=payload)
        answered: list[float] = []

        def publish_each() -> None:
            answered.extend(publisher.publish_each(range(load.events), payload_bytes=payload))

        figures: dict[str, float] = {}
        rate, cpu_us = _measure(server, load.events, publish_each)
        figures |= {"published_single_per_second": rate, "cpu_us_per_publish": cpu_us}
        figures["answered_p99_ms"] = _p99(answered)
        figures |= _publish_from_many(server, load)
        many = load.events * 10
        for ability, name, size, publish in (
            (Ability.ARRAY, "array", _EVENTS_AN_ARRAY, publisher.publish_array),
            (Ability.NDJSON, "ndjson", _EVENTS_AN_NDJSON_BODY, publisher.publish_ndjson),
        ):
            if ability in peer.abilities:

                def publish_all(publish: Callable[..., None] = publish, size: int = size) -> None:
                    for first in range(0, many, size):
                        publish(range(first, min(first + size, many)), payload_bytes=payload)

                rate, cpu_us = _measure(server, many, publish_all)
                figures |= {f"published_{name}_per_second": rate, f"cpu_us_per_{name}_event": cpu_us}
    return figures


def _publish_from_many(server: Running, load: Load) -> Figures:
    """Publish ``load.events`` on many connections, each of which waits for its answers."""
    with ExitStack() as stack:
        publishers = [
            stack.enter_context(server.publisher(load.deadline_seconds)) for _ in range(_CONNECTIONS)
        ]
        threads = stack.enter_context(ThreadPoolExecutor(_CONNECTIONS))
        answered: list[float] = []

        def publish_all() -> None:
            shares = [
                threads.submit(
                    publisher.publish_each,
                    range(first, load.events, _CONNECTIONS),
                    payload_bytes=load.payload_bytes,
                )
                for first, publisher in enumerate(publishers)
            ]
            for share in shares:
                answered.extend(share.result())

        rate, cpu_us = _measure(server, load.events, publish_all)
    return {
        "published_many_per_second": rate,
        "cpu_us_per_publish_of_many": cpu_us,
        "answered_many_p99_ms": _p99(answered),
    }


def _measure(server: Running, events: int, publish: Callable[[], None]) -> tuple[float, float]:
    """Return the events published a second, and the CPU time of the server for each (µs)."""
    before = server.sample()
    began = time.monotonic()
    publish()
    seconds = time.monotonic() - began
    return events / seconds, (server.sample().cpu_seconds - before.cpu_seconds) / events * 1e6


def _p99(delays: Sequence[float]) -> float:
    return statistics.quantiles(delays, n=100, method="inclusive")[98]


PUBLISH: Final = Scenario(
    name="publish",
    title="events published a second, without subscribers; the log drops all but the last 10,000",
    load=Load(events=3_000),
    quick=Load(events=200, settle_seconds=0.0),
    measure=measure_publish,
    columns=(
        *SINGLE_COLUMNS,
        "published_array_per_second",
        "published_ndjson_per_second",
        "cpu_us_per_ndjson_event",
    ),
    ratios=(Ratio("published_single_per_second", "floor"), Ratio("published_single_per_second", "nchan")),
)
PUBLISH_KEPT: Final = attrs.evolve(
    PUBLISH,
    name="publish-kept",
    title="events published a second, without subscribers; the log keeps all of them",
    load=attrs.evolve(PUBLISH.load, history=200_000),
    quick=attrs.evolve(PUBLISH.quick, history=200_000),
    ratios=(
        Ratio("published_single_per_second", "streamd"),
        Ratio("published_many_per_second", "streamd"),
        Ratio("published_ndjson_per_second", "streamd"),
    ),
    needs=frozenset({Ability.REPLAY}),
)
