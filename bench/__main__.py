"""``python -m bench list``, ``install`` and ``run``; `README.md` says what is measured."""

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

_SPARE_FILES = 200


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure streamd and its peers on this machine, over the loopback interface.

    Without a command: everything, as `run` does, which takes hours.
    """
    # Ended by SIGTERM, it ends its servers first.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command("list")
def list_all() -> None:
    """What can be measured, and whom."""
    console = make_console()
    table = Table("scenario", "what", "peers")
    for scenario in SCENARIOS:
        table.add_row(scenario.name, scenario.title, ", ".join(peer.name for peer in scenario.peers()))
    console.print(table)
    table = Table("peer", "what", "version")
    everyone = (*PEERS, StreamdView())
    found = versions(everyone)
    for peer in everyone:
        table.add_row(peer.name, peer.about, found[peer.name])
    console.print(table)


@main.command()
def install() -> None:
    """Build the C programs, and install what the peers need from pip and npm into .bench/."""
    if problems := install_peers(_say):
        sys.exit("\n".join(problems))


def _names_of_scenarios() -> list[str]:
    return [scenario.name for scenario in SCENARIOS]


def _names_of_peers() -> list[str]:
    return list(dict.fromkeys(peer.name for scenario in SCENARIOS for peer in scenario.all_peers))


@main.command()
@click.option(
    "--scenario", "scenarios", multiple=True, type=click.Choice(_names_of_scenarios()), help="Only these."
)
@click.option("--peer", "peers", multiple=True, type=click.Choice(_names_of_peers()), help="Only these.")
@click.option("--runs", type=click.IntRange(1, 50), help="Of each peer.  [default: 5; 1 with --quick]")
@click.option("--quick", is_flag=True, help="Small loads, for a first look; the figures say little.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=MADE / "results",
    help="Where results.json and the plots go.  [default: .bench/results]",
)
def run(scenarios: tuple[str, ...], peers: tuple[str, ...], runs: int | None, quick: bool, out: Path) -> None:
    """Measure; exits 1 when streamd failed, or lost, repeated or reordered an event."""
    chosen = [scenario for scenario in SCENARIOS if not scenarios or scenario.name in scenarios]
    chosen = [scenario for scenario in chosen if scenario.peers(peers)]
    if not chosen:
        sys.exit("none of these peers takes part in any of these scenarios; see `python -m bench list`")
    runs = runs or (1 if quick else 5)
    _raise_open_files(max((one.quick if quick else one.load).connections for one in chosen))
    try:
        build("load")
    except Missing as error:
        sys.exit(f"cannot measure anything: {error}")
    out.mkdir(parents=True, exist_ok=True)
    everyone = {peer.name: peer for scenario in chosen for peer in scenario.peers(peers)}
    report: dict[str, Any] = {
        "machine": describe_machine(),
        "versions": versions(everyone.values()),
        "runs": runs,
        "quick": quick,
        "scenarios": {},
    }
    console = make_console()
    spoilt = []
    for scenario in chosen:
        rows = run_scenario(scenario, peers, runs, quick=quick, say=_say)
        console.print(make_table(scenario, rows, quick=quick), "")
        report["scenarios"][scenario.name] = describe(scenario, rows, quick=quick)
        write_json(report, out / "results.json")
        spoilt += [f"{scenario.name}: {row.peer.name}" for row in rows if row.spoils_the_benchmark]
    _draw_all(report, out)
    if spoilt:
        sys.exit("failed, or lost, repeated or reordered events: " + "; ".join(spoilt))


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
        sys.exit(f"{connections} connections need more open files than the {hard} allowed (ulimit -Hn)")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
