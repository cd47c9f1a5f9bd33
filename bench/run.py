"""Running a scenario with interleaved peers: the first run of each, then the second of each, and so on."""

from collections.abc import Callable, Sequence

import attrs

from .figures import LOSS, Figures, combine
from .missing import Missing
from .peers import Peer
from .scenarios import Scenario


@attrs.define
class PeerResult:
    """The results of one peer in one scenario."""

    peer: Peer
    runs: list[Figures] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)  # the errors of failed runs
    missing: str = ""  # the reason, if the peer is not installed

    @property
    def medians(self) -> dict[str, float]:
        """The combined figures of all runs; empty if there are none."""
        return combine(self.runs) if self.runs else {}

    @property
    def is_invalid(self) -> bool:
        """The peer is streamd, and failed, or lost, repeated or reordered an event."""
        lost = any(run.get(name) for run in self.runs for name in LOSS)
        return self.peer.ours and (lost or bool(self.failures))


def run_scenario(
    scenario: Scenario, names: Sequence[str], runs: int, *, quick: bool, say: Callable[[str], None]
) -> list[PeerResult]:
    """Measure the scenario's peers, interleaved.

    Args:
        scenario: what to measure.
        names: of the peers; all when empty.
        runs: number of runs of each peer.
        quick: use the small load.
        say: prints the progress.
    """
    rows = [PeerResult(peer) for peer in scenario.peers(names)]
    for row in rows:
        try:
            row.peer.version()
        except Missing as error:
            row.missing = str(error)
    load = scenario.quick if quick else scenario.load
    for number in range(1, runs + 1):
        for row in rows:
            if row.missing:
                continue
            say(f"{scenario.name}, run {number} of {runs}: {row.peer.name}")
            try:
                row.runs.append(scenario.measure(row.peer, load))
            except Missing as error:
                row.missing = str(error)
            except (RuntimeError, OSError) as error:
                row.failures.append(str(error))
                say(f"{row.peer.name} failed: {error}")
    return rows


def ratios(scenario: Scenario, rows: Sequence[PeerResult]) -> dict[str, list[float | None]]:
    """Compute the ratios of medians of each peer, in the order of ``scenario.ratios``; None: no figure."""
    medians = {row.peer.name: row.medians for row in rows}

    def ratio(name: str, figure: str, base: str) -> float | None:
        above, below = medians[name].get(figure), medians.get(base, {}).get(figure)
        return above / below if above is not None and below else None

    return {name: [ratio(name, one.figure, one.base) for one in scenario.ratios] for name in medians}
