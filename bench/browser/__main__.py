"""The command ``python -m bench.browser``; see `README.md` of the benchmark."""

import signal
import sys
from functools import partial
from pathlib import Path
from typing import Final

import click

from ..missing import Missing
from ..peers.base import MADE
from . import cost
from .bundles import library_sizes, page_scripts
from .clients import CLIENTS
from .faults import CASES, Case, Rig
from .report import Report
from .server import Server
from .tabs import chromium

_KEPT_EVENTS: Final = "1000000"  # those of all clients in a round


@click.command()
@click.option(
    "--client",
    "names",
    multiple=True,
    type=click.Choice([client.name for client in CLIENTS]),
    help="Measure only these clients.",
)
@click.option("--load", "chosen", multiple=True, help="Run only the loads whose title has this text.")
@click.option("--case", "wanted", multiple=True, help="Run only the faults whose title has this text.")
@click.option("--rounds", type=click.IntRange(0, 50), default=5, help="Rounds of the loads.  [default: 5]")
@click.option(
    "--fault-rounds", type=click.IntRange(0, 50), default=3, help="Rounds of the faults.  [default: 3]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=MADE / "results",
    help="Folder of browser.json and browser.md.  [default: .bench/results]",
)
def main(
    names: tuple[str, ...],
    chosen: tuple[str, ...],
    wanted: tuple[str, ...],
    rounds: int,
    fault_rounds: int,
    out: Path,
) -> None:
    """Compare browser clients; exit with 1 if streamd-client failed, or lost or repeated an event."""
    # On SIGTERM, exit through the context managers that end the servers and the browsers.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    clients = [client for client in CLIENTS if not names or client.name in names]
    loads = [load for load in cost.LOADS if _is_chosen(load.title, chosen)]
    cases = [case for case in CASES if _is_chosen(case.title, wanted)]
    try:
        scripts = page_scripts()
        with chromium() as browser:
            version = browser.version
    except Missing as error:
        sys.exit(str(error))
    out.mkdir(parents=True, exist_ok=True)
    report = Report(clients, version, library_sizes(clients))
    for number in range(1, rounds + 1):
        for load in loads:
            _measure_load(load, report, scripts, f"round {number} of {rounds}")
        report.write(out)
    for number in range(1, fault_rounds + 1):
        _measure_faults(cases, report, scripts, f"round {number} of {fault_rounds}")
        report.write(out)
    report.write(out)
    print(report.markdown())
    if failures := report.our_failures():
        sys.exit("\n".join(failures))


def _is_chosen(title: str, texts: tuple[str, ...]) -> bool:
    return not texts or any(text in title for text in texts)


def _measure_load(load: cost.Load, report: Report, scripts: dict[str, bytes], part: str) -> None:
    """Run a round of a load: each client once."""
    results = report.loads.setdefault(load.title, report.new_results())
    with Server({"STREAMD_LOG__MAX_EVENTS": _KEPT_EVENTS}) as server:
        for client in report.clients:
            _say(f"{load.title}, {part}: {client.name}")
            results[client.name].add(partial(cost.measure, client, load, server, scripts))


def _measure_faults(cases: list[Case], report: Report, scripts: dict[str, bytes], part: str) -> None:
    """Run a round of the faults: each cell once."""
    with Server() as server, chromium() as browser:
        rig = Rig(browser, server, scripts)
        for case in cases:
            results = report.faults.setdefault(case, report.new_results())
            for client in report.clients:
                _say(f"{case.title}, {part}: {client.name}")
                results[client.name].add(partial(rig.measure, case, client))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
