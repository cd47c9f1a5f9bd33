"""Fan-out: each event to each client, at a fixed rate or as fast as possible, on each protocol."""

import time
from typing import Final

import attrs

from ..clients import Clients
from ..figures import Figures, of_deliveries
from ..load import Load
from ..peers import Ability, Peer, Streamd
from ..publisher import Publisher
from .base import LATENCIES, Ratio, Scenario, setup_for

_COLUMNS: Final = ("cpu_us_per_delivery", "deliveries_per_second", *LATENCIES, "connects_per_second")


def measure_fanout(peer: Peer, load: Load) -> Figures:
    """Measure one run on a new server.

    Raises:
        Missing: the peer or the load program is not there.
        RuntimeError: one of them failed.
    """
    with peer.start(setup_for(load)) as server, Clients(server, load) as clients:
        connect_seconds = clients.connected()
        time.sleep(load.settle_seconds)
        with server.publisher(load.deadline_seconds) as publisher:
            before = server.sample()
            began_ns = time.monotonic_ns()
            publish(publisher, load)
            outcome = clients.done()
            after = server.sample()
    return {
        **of_deliveries(outcome, began_ns, after.cpu_seconds - before.cpu_seconds),
        "connects_per_second": load.clients * load.streams / connect_seconds,
    }


def publish(publisher: Publisher, load: Load) -> None:
    """Publish all events of a load."""
    if load.ndjson:
        publisher.publish_ndjson(range(load.events), payload_bytes=load.payload_bytes)
    else:
        publisher.publish_each(range(load.events), payload_bytes=load.payload_bytes, rate=load.rate)


def _paced(name: str, clients: int, rate: float, seconds: float, quick_clients: int) -> Scenario:
    load = Load(clients=clients, events=round(rate * seconds), rate=rate)
    return Scenario(
        name=name,
        title=f"{clients:,} clients, {rate:g} events a second for {seconds:g} s",
        load=load,
        quick=attrs.evolve(load, clients=quick_clients, events=5, rate=10.0, settle_seconds=0.1),
        measure=measure_fanout,
        columns=_COLUMNS,
        ratios=(
            Ratio("cpu_us_per_delivery", "floor"),
            Ratio("cpu_us_per_delivery", "nchan"),
            Ratio("latency_p99_ms", "nchan"),
        ),
    )


PACED_1000: Final = _paced("paced-1000", 1_000, 10.0, 20.0, 100)
PACED_10000: Final = _paced("paced-10000", 10_000, 3.0, 15.0, 300)

_BURST_RATIOS: Final = (
    Ratio("deliveries_per_second", "floor"),
    Ratio("deliveries_per_second", "nchan"),
    Ratio("cpu_us_per_delivery", "floor"),
)
BURST: Final = Scenario(
    name="burst",
    title="200 events to 1,000 clients, each its own POST on one kept-alive connection, back to back",
    load=Load(clients=1_000, events=200),
    quick=Load(clients=100, events=20, settle_seconds=0.1),
    measure=measure_fanout,
    columns=_COLUMNS,
    ratios=_BURST_RATIOS,
)
BURST_NDJSON: Final = Scenario(
    name="burst-ndjson",
    title="200 events to 1,000 clients, published as one NDJSON body",
    load=Load(clients=1_000, events=200, ndjson=True),
    quick=Load(clients=100, events=20, ndjson=True, settle_seconds=0.1),
    measure=measure_fanout,
    columns=_COLUMNS,
    ratios=(_BURST_RATIOS[0], _BURST_RATIOS[2]),
    needs=frozenset({Ability.NDJSON}),
)


def _http2(name: str, title: str, events: int, rate: float, ratio: str) -> Scenario:
    load = Load(clients=100, streams=10, events=events, rate=rate, protocol="h2", tls=True)
    return Scenario(
        name=name,
        title=f"HTTP/2 over TLS, 100 connections of 10 streams, {title}",
        load=load,
        quick=attrs.evolve(load, clients=10, events=5, settle_seconds=0.1),
        measure=measure_fanout,
        columns=_COLUMNS,
        ratios=(Ratio("cpu_us_per_delivery", "hypercorn"), Ratio(ratio, "hypercorn")),
        needs=frozenset({Ability.HTTP2}),
    )


HTTP2: Final = _http2("http2", "5 events a second for 10 s", 50, 5.0, "latency_p99_ms")
HTTP2_BURST: Final = _http2("http2-burst", "50 events back to back", 50, 0.0, "deliveries_per_second")

TLS: Final = Scenario(
    name="tls",
    title="HTTP/1.1 over TLS, 500 clients, 10 events a second for 10 s",
    load=Load(clients=500, events=100, rate=10.0, tls=True),
    quick=Load(clients=50, events=5, rate=10.0, tls=True, settle_seconds=0.1),
    measure=measure_fanout,
    columns=_COLUMNS,
    ratios=(Ratio("cpu_us_per_delivery", "nchan"), Ratio("cpu_us_per_delivery", "hypercorn")),
    needs=frozenset({Ability.TLS}),
)
WEBSOCKET: Final = Scenario(
    name="websocket",
    title="WebSocket, 500 clients, 10 events a second for 10 s",
    load=Load(clients=500, events=100, rate=10.0, protocol="ws"),
    quick=Load(clients=50, events=5, rate=10.0, protocol="ws", settle_seconds=0.1),
    measure=measure_fanout,
    columns=_COLUMNS,
    ratios=(Ratio("cpu_us_per_delivery", "nchan"), Ratio("cpu_us_per_delivery", "streamd-asgi")),
    needs=frozenset({Ability.WEBSOCKET}),
)


def _with_and_without_gc_tuning(scenario: Scenario) -> Scenario:
    tuned, stock = "streamd gc tuned", "streamd gc stock"
    variable = "STREAMD_TUNING__SERVER__GC_TUNING"
    return attrs.evolve(
        scenario,
        name=scenario.name.replace("paced", "gc"),
        title=f"streamd with and without tuning of the garbage collector: {scenario.title}",
        ratios=(Ratio("cpu_us_per_delivery", stock), Ratio("latency_p99_ms", stock)),
        all_peers=(Streamd(tuned, {variable: "true"}), Streamd(stock, {variable: "false"})),
    )


GC_1000: Final = _with_and_without_gc_tuning(PACED_1000)
GC_10000: Final = _with_and_without_gc_tuning(PACED_10000)
