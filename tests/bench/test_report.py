"""The report: medians, ratios, and peers that are missing or failed."""

import io
from collections.abc import Mapping, Sequence

import attrs
import pytest
from rich.console import Console

from bench.figures import Figures, combine
from bench.load import Load
from bench.missing import Missing
from bench.peers import Peer
from bench.peers.base import Setup, Workspace
from bench.report import describe, make_table
from bench.run import PeerResult, ratios, run_scenario
from bench.scenarios import Ratio, Scenario


class FakePeer(Peer):
    """A peer that is never started, with fixed figures."""

    about = "a fake"

    def __init__(self, name: str, figures: Sequence[Figures | Exception], *, ours: bool = False) -> None:
        self.name = name
        self.is_ours = ours
        self.figures = iter(figures)
        self.absent = ""

    @property
    def ours(self) -> bool:  # type: ignore[override]
        return self.is_ours

    def version(self) -> str:
        if self.absent:
            raise Missing(self.absent)
        return "1"

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        raise NotImplementedError


order: list[str] = []


def measure(peer: Peer, load: Load) -> Figures:
    assert isinstance(peer, FakePeer)
    order.append(peer.name)
    figures = next(peer.figures)
    if isinstance(figures, Exception):
        raise figures
    return figures


def scenario(*peers: Peer) -> Scenario:
    return Scenario(
        name="fake",
        title="a fake",
        load=Load(),
        quick=Load(),
        measure=measure,
        columns=("cpu_us_per_delivery",),
        ratios=(Ratio("cpu_us_per_delivery", "floor"),),
        all_peers=peers,
    )


def figures(cpu: float, **loss: float) -> Mapping[str, float]:
    return {"cpu_us_per_delivery": cpu, "missing": 0.0, "repeated": 0.0, "disordered": 0.0, **loss}


def run(chosen: Scenario, runs: int) -> list[PeerResult]:
    order.clear()
    return run_scenario(chosen, (), runs, quick=True, say=lambda _: None)


def shown(chosen: Scenario, rows: list[PeerResult]) -> str:
    text = io.StringIO()
    Console(width=120, file=text).print(make_table(chosen, rows))
    return text.getvalue()


def test_peers_take_turns_and_ratios_are_of_medians() -> None:
    one = FakePeer("one", [figures(6), figures(30), figures(8)])
    floor = FakePeer("floor", [figures(4), figures(3), figures(40)])
    rows = run(scenario(one, floor), 3)
    assert order == ["one", "floor"] * 3
    assert [row.medians["cpu_us_per_delivery"] for row in rows] == [8, 4]
    assert ratios(scenario(one, floor), rows) == {"one": [2.0], "floor": [1.0]}


def test_losses_are_those_of_the_worst_run() -> None:
    assert combine([figures(1), figures(1, missing=7.0), figures(1)])["missing"] == 7


def test_a_missing_peer_has_a_row_with_the_reason() -> None:
    absent = FakePeer("absent", [])
    absent.absent = "no such package"
    rows = run(scenario(absent), 2)
    assert order == []
    assert "missing: no such package" in shown(scenario(absent), rows)
    assert describe(scenario(absent), rows, quick=True)["peers"]["absent"]["missing"] == "no such package"


def test_a_failed_run_is_reported_and_the_others_go_on() -> None:
    broken = FakePeer("broken", [RuntimeError("it crashed"), figures(5)])
    other = FakePeer("other", [figures(1), figures(1)])
    rows = run(scenario(broken, other), 2)
    assert order == ["broken", "other"] * 2
    assert "failed in 1 of 2: it crashed" in shown(scenario(broken, other), rows)
    assert rows[0].medians["cpu_us_per_delivery"] == 5


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("loss", ["missing", "repeated", "disordered"])
def test_only_a_loss_of_streamd_makes_the_benchmark_fail(ours: bool, loss: str) -> None:
    [row] = run(scenario(FakePeer("one", [figures(1, **{loss: 1.0})], ours=ours)), 1)
    assert row.is_invalid is ours


def test_a_failure_of_streamd_makes_the_benchmark_fail() -> None:
    [row] = run(scenario(FakePeer("one", [RuntimeError("it crashed")], ours=True)), 1)
    assert row.is_invalid


def test_a_load_has_its_number_of_readers_and_its_deadline() -> None:
    load = Load(clients=100, streams=10, stalled=1, events=50, rate=5.0)
    assert load.subscribers == 990
    assert load.deadline_seconds > 10
    assert attrs.evolve(load, events=100).deadline_seconds > load.deadline_seconds
