"""The computed number of nodes follows from the figure that is exhausted first."""

import attrs
import pytest

from bench.capacity import Demand, NodeFigures, compute

FIGURES = NodeFigures(
    delivery_us=10, tail_us=100, connection_kb=20, base_mb=100, used=0.6, max_connections=50_000
)
DEMAND = Demand(connections=1_000_000, events=100, event_bytes=300, receivers=1_000)


def test_connections_decide_while_deliveries_are_few() -> None:
    need = compute(DEMAND, FIGURES)
    assert need is not None
    assert (need.nodes, need.reason) == (20, "connections")
    assert need.memory_gb == pytest.approx(20 * 0.1 + 20)
    assert need.redis_mb_per_second == pytest.approx(0.6)
    assert need.core == pytest.approx(0.01 + 1 / 20)


def test_deliveries_decide_when_they_are_many() -> None:
    need = compute(attrs.evolve(DEMAND, receivers=20_000), FIGURES)
    assert need is not None
    assert (need.nodes, need.reason) == (34, "deliveries")  # 20 s of CPU a second, 0.59 for each node
    assert need.core <= FIGURES.used


def test_no_number_of_nodes_receives_more_than_one_can() -> None:
    assert compute(attrs.evolve(DEMAND, events=6_000), FIGURES) is None
