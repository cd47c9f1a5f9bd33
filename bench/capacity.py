"""Compute what a number of connections takes: nodes, memory and traffic of Redis, from measured figures.

``python -m bench.capacity`` assumes one node for each core, and events that each reach the same number of
connections. The figures of one node are options, whose defaults were measured as ``bench/README.md`` tells;
measure them on your own machine and pass them.
"""

import math

import attrs
import click


@attrs.frozen(kw_only=True)
class Demand:
    """The load of all nodes together.

    Args:
        connections: number of open connections.
        events: published each second.
        event_bytes: size of one, as Redis sends it to a node.
        receivers: number of connections that each event reaches.
    """

    connections: int
    events: float
    event_bytes: int
    receivers: float


@attrs.frozen(kw_only=True)
class NodeFigures:
    """The measured figures of one node, and the part of it that may be used.

    Args:
        delivery_us: CPU of a delivery (µs).
        tail_us: CPU to receive an event from Redis (µs).
        connection_kb: memory of a connection (kB).
        base_mb: memory of a node without connections (MB).
        used: part of a core that is used at most; the rest is for peaks, and for connects.
        max_connections: of one node.
    """

    delivery_us: float
    tail_us: float
    connection_kb: float
    base_mb: float
    used: float
    max_connections: int


@attrs.frozen
class Need:
    """The nodes for a demand.

    Args:
        nodes: their number.
        memory_gb: of all of them together (GB).
        redis_mb_per_second: sent by Redis to all nodes (MB/s).
        core: part of each node's core that is used.
        reason: the figure that decides the number of nodes.
    """

    nodes: int
    memory_gb: float
    redis_mb_per_second: float
    core: float
    reason: str


def compute(demand: Demand, figures: NodeFigures) -> Need | None:
    """Return the fewest nodes that meet a demand; None if every node is busy with receiving alone.

    Each node receives all events, so that more nodes share the deliveries and the connections only.
    """
    receiving = demand.events * figures.tail_us / 1e6
    left = figures.used - receiving
    if left <= 0:
        return None
    delivering = demand.events * demand.receivers * figures.delivery_us / 1e6
    by_cpu = max(1, math.ceil(delivering / left))
    by_connections = math.ceil(demand.connections / figures.max_connections)
    nodes = max(by_cpu, by_connections)
    return Need(
        nodes,
        (nodes * figures.base_mb + demand.connections * figures.connection_kb / 1000) / 1000,
        demand.events * demand.event_bytes * nodes / 1e6,
        receiving + delivering / nodes,
        "deliveries" if by_cpu > by_connections else "connections",
    )


@click.command(context_settings={"show_default": True})
@click.option("--connections", default=1_000_000, help="Open connections.")
@click.option("--events", default=100.0, help="Events published each second.")
@click.option("--event-bytes", default=300, help="Size of an event on its way to a node.")
@click.option("--receivers", default=1000.0, help="Connections that each event reaches.")
@click.option("--delivery-us", default=8.4, help="CPU of a delivery (µs).")
@click.option("--tail-us", default=477.0, help="CPU to receive an event from Redis (µs).")
@click.option("--connection-kb", default=19.5, help="Memory of a connection (kB).")
@click.option("--base-mb", default=90.0, help="Memory of a node without connections (MB).")
@click.option("--used", default=0.6, help="Part of a core that is used at most.")
@click.option("--max-connections", default=50_000, help="Connections of one node.")
def main(
    connections: int,
    events: float,
    event_bytes: int,
    receivers: float,
    delivery_us: float,
    tail_us: float,
    connection_kb: float,
    base_mb: float,
    used: float,
    max_connections: int,
) -> None:
    """Compute nodes, memory and traffic of Redis for a number of connections."""
    demand = Demand(connections=connections, events=events, event_bytes=event_bytes, receivers=receivers)
    figures = NodeFigures(
        delivery_us=delivery_us,
        tail_us=tail_us,
        connection_kb=connection_kb,
        base_mb=base_mb,
        used=used,
        max_connections=max_connections,
    )
    need = compute(demand, figures)
    if need is None:
        raise click.ClickException(
            f"to receive {events:,.0f} events a second alone takes a node more than {used:.0%} of its core"
        )
    print(
        f"{connections:,} connections, {events:,.0f} events/s that reach {receivers:,.0f} each:"
        f" {need.nodes:,} nodes (for their {need.reason}), {need.core:.0%} of a core each,"
        f" {need.memory_gb:,.1f} GB of memory in all, {need.redis_mb_per_second:,.1f} MB/s from Redis"
    )


if __name__ == "__main__":
    main()
