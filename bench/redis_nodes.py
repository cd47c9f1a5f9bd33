"""Measure two nodes on one Redis: the way of an event from one to the other, beside Redis alone.

``python -m bench.redis_nodes`` publishes events at a fixed rate on one node, each its own POST on one
connection; clients of the other node receive them. Then redis-benchmark appends the same payload by XADD,
from as many connections as the scenario ``publish`` uses.
"""

import re
import subprocess
import time
from pathlib import Path
from typing import Final

import click

from .clients import Clients
from .load import Load
from .peers.redis import StreamdRedis
from .redis_server import redis_server
from .scenarios.base import setup_for

_PAYLOAD_BYTES: Final = 128
_XADD_EVENTS: Final = 100_000
_CONNECTIONS: Final = 64


def measure_nodes(socket: Path, load: Load) -> None:
    """Publish on one node, receive on another, and print the delays."""
    setup = setup_for(load)
    peer = StreamdRedis(socket)
    with peer.start(setup) as first, peer.start(setup) as second, Clients(second, load) as clients:
        clients.connected()
        time.sleep(load.settle_seconds)
        before = first.sample(), second.sample()
        with first.publisher(load.deadline_seconds) as publisher:
            publisher.publish_each(range(load.events), payload_bytes=load.payload_bytes, rate=load.rate)
            outcome = clients.done()
        after = first.sample(), second.sample()
    used = [
        (end.cpu_seconds - begin.cpu_seconds) / load.events * 1e6
        for begin, end in zip(before, after, strict=True)
    ]
    p50, p99, largest = (ns / 1e6 for ns in (outcome.p50_ns, outcome.p99_ns, outcome.max_ns))
    print(
        f"{load.rate:,.0f} events/s from node to node, {load.clients} clients:"
        f" p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {largest:.1f} ms;"
        f" CPU an event {used[0]:,.0f} µs on the first, {used[1]:,.0f} µs on the second;"
        f" missing {outcome.missing}, repeated {outcome.repeated}, disordered {outcome.disordered}",
        flush=True,
    )


def measure_xadd(socket: Path) -> None:
    """Append by redis-benchmark, singly and in pipelines, and print the rates."""
    for pipeline in (1, 100):
        command = ["redis-benchmark", "-s", str(socket), "-n", str(_XADD_EVENTS), "-c", str(_CONNECTIONS)]
        command += ["-P", str(pipeline), "--csv", "XADD", "bench", "*", "data", "x" * _PAYLOAD_BYTES]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = re.search(r'"XADD[^"]*","([0-9.]+)"', done.stdout)
        rate = float(found.group(1)) if found else 0.0
        print(
            f"redis-benchmark XADD of {_PAYLOAD_BYTES} bytes, pipelines of {pipeline}: {rate:,.0f}/s",
            flush=True,
        )


@click.command()
@click.option(
    "--rate", type=click.FloatRange(min=1), default=1000.0, show_default=True, help="Events a second."
)
@click.option("--seconds", type=click.FloatRange(min=1), default=10.0, show_default=True, help="Duration.")
@click.option(
    "--clients", type=click.IntRange(min=1), default=1, show_default=True, help="Of the other node."
)
def main(rate: float, seconds: float, clients: int) -> None:
    """Measure two nodes on one Redis."""
    with redis_server() as (socket, _):
        measure_nodes(socket, Load(clients=clients, events=round(rate * seconds), rate=rate))
        measure_xadd(socket)


if __name__ == "__main__":
    main()
