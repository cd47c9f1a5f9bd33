"""The commands ``python -m bench list``, ``install`` and ``run``; see `README.md`."""

import resource
import signal
import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from .install import install as install_peers
from .machine import describe_machine, versions
from .missing import Missing
from .native import build
from .peers import PEERS, StreamdView
from .peers.base import MADE
from .plots import draw, load_matplotlib
from .report import describe, make_console, make_table, write_json
from .run import run_scenario
from .scenarios import SCENARIOS

_SPARE_FILES = 200  # for the standard streams, files and pipes of the benchmark itself (count)


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure streamd and its peers on this machine, over the loopback interface.

    Without a command, run all scenarios as `run` does, which takes hours.
    """
    # On SIGTERM, exit through the context managers that end the servers.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command("list")
def list_all() -> None:
    """List scenarios and peers."""
    console = make_console()
    table = Table("scenario", "description", "peers")
    for scenario in SCENARIOS:
        table.add_row(scenario.name, scenario.title, ", ".join(peer.name for peer in scenario.peers()))
    console.print(table)
    table = Table("peer", "description", "version")
    all_peers = (*PEERS, StreamdView())
    found = versions(all_peers)
    for peer in all_peers:
        table.add_row(peer.name, peer.about, found[peer.name])
    console.print(table)


@main.command()
def install() -> None:
    """Build the C programs, and install the peers' packages from pip and npm into .bench/."""
    if problems := install_peers(_say):
        sys.exit("\n".join(problems))


def _names_of_scenarios() -> list[str]:
    return [scenario.name for scenario in SCENARIOS]


def _names_of_peers() -> list[str]:
    return list(dict.fromkeys(peer.name for scenario in SCENARIOS for peer in scenario.all_peers))


@main.command()
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(_names_of_scenarios()),
    help="Run only these scenarios.",
)
@click.option(
    "--peer", "peers", multiple=True, type=click.Choice(_names_of_peers()), help="Run only these peers."
)
@click.option(
    "--runs", type=click.IntRange(1, 50), help="Number of runs of each peer.  [default: 5; 1 with --quick]"
)
@click.option("--quick", is_flag=True, help="Use small loads: a smoke test, whose figures mean little.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=MADE / "results",
    help="Folder of results.json and the plots.  [default: .bench/results]",
)
def run(scenarios: tuple[str, ...], peers: tuple[str, ...], runs: int | None, quick: bool, out: Path) -> None:
    """Measure; exit with 1 if streamd failed, or lost, repeated or reordered an event."""
    chosen = [scenario for scenario in SCENARIOS if not scenarios or scenario.name in scenarios]
    chosen = [scenario for scenario in chosen if scenario.peers(peers)]
    if not chosen:
        sys.exit("none of these scenarios measures any of these peers; see `python -m bench list`")
    runs = runs or (1 if quick else 5)
    _raise_open_files(max((one.quick if quick else one.load).connections for one in chosen))
    try:
        build("load")
    except Missing as error:
        sys.exit(f"the load program is missing: {error}")
    out.mkdir(parents=True, exist_ok=True)
    by_name = {peer.name: peer for scenario in chosen for peer in scenario.peers(peers)}
    report: dict[str, Any] = {
        "machine": describe_machine(),
        "versions": versions(by_name.values()),
        "runs": runs,
        "quick": quick,
        "scenarios": {},
    }
    console = make_console()
    invalid = []
    for scenario in chosen:
        rows = run_scenario(scenario, peers, runs, quick=quick, say=_say)
        console.print(make_table(scenario, rows, quick=quick), "")
        report["scenarios"][scenario.name] = describe(scenario, rows, quick=quick)
        write_json(report, out / "results.json")
        invalid += [f"{scenario.name}: {row.peer.name}" for row in rows if row.is_invalid]
    _draw_all(report, out)
    if invalid:
        sys.exit("failed, or lost, repeated or reordered events: " + "; ".join(invalid))


def _draw_all(report: dict[str, Any], out: Path) -> None:
    try:
        load_matplotlib()
    except Missing as error:
        _say(str(error))
        return
    for name, scenario in report["scenarios"].items():
        draw(name, scenario, out / f"{name}.png")
    _say(f"results.json and the plots are in {out}")


def _raise_open_files(connections: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if connections + _SPARE_FILES > hard:
        sys.exit(f"{connections} connections need more open files than the hard limit of {hard} (ulimit -Hn)")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
