"""The command ``python -m bench.browser``; see `README.md` of the benchmark."""

import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..machine import describe_machine
from ..missing import Missing
from ..peers.base import MADE
from ..report import write_json
from . import cost
from .bundles import library_sizes, page_scripts
from .clients import CLIENTS, BrowserClient
from .faults import CASES, Case, Rig
from .server import Server
from .tables import Results, cost_table, describe, fault_cell, markdown, size_table
from .tabs import chromium

# An event for each of the loads and fault cases must stay in the log of the shared server.
_KEPT_EVENTS = "1000000"


@click.command()
@click.option(
    "--client",
    "names",
    multiple=True,
    type=click.Choice([client.name for client in CLIENTS]),
    help="Only these.",
)
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
def main(names: tuple[str, ...], wanted: tuple[str, ...], rounds: int, fault_rounds: int, out: Path) -> None:
    """Compare browser clients; exit with 1 if streamd-client failed, or lost or repeated an event."""
    # On SIGTERM, exit through the context managers that end the servers and the browsers.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    clients = [client for client in CLIENTS if not names or client.name in names]
    cases = [case for case in CASES if not wanted or any(text in case.title for text in wanted)]
    try:
        scripts = page_scripts()
        with chromium() as browser:
            chromium_version = browser.version
    except Missing as error:
        sys.exit(str(error))
    out.mkdir(parents=True, exist_ok=True)
    sizes = library_sizes()
    loads = {load.title: _measure_load(load, clients, rounds, scripts) for load in cost.LOADS}
    faults = _measure_faults(cases, clients, fault_rounds, scripts)
    report = {
        "machine": {**describe_machine(), "chromium": chromium_version},
        "versions": {client.name: client.version() for client in clients},
        "sizes": {name: {"minified": size.minified, "brotli": size.brotli} for name, size in sizes.items()},
        "loads": {title: _describe_all(results) for title, results in loads.items()},
        "faults": {case.title: _describe_all(results) for case, results in faults.items()},
    }
    write_json(report, out / "browser.json")
    text = _write_text(size_table(sizes), loads, faults, clients)
    (out / "browser.md").write_text(text)
    print(text)
    if failures := _our_failures([*loads.values(), *faults.values()], clients):
        sys.exit("; ".join(failures))


def _measure_load(
    load: cost.Load, clients: Sequence[BrowserClient], rounds: int, scripts: dict[str, bytes]
) -> dict[str, Results]:
    """Measure a load, interleaved: all clients in each round."""
    results = {client.name: Results() for client in clients}
    for number in range(1, rounds + 1):
        with Server({"STREAMD_LOG__MAX_EVENTS": _KEPT_EVENTS}) as server:
            for client in clients:
                _say(f"{load.title}, round {number} of {rounds}: {client.name}")
                results[client.name].add(partial(cost.measure, client, load, server, scripts))
    return results


def _measure_faults(
    cases: Sequence[Case], clients: Sequence[BrowserClient], rounds: int, scripts: dict[str, bytes]
) -> dict[Case, dict[str, Results]]:
    results = {case: {client.name: Results() for client in clients} for case in cases}
    for number in range(1, rounds + 1):
        with Server() as server, chromium() as browser:
            rig = Rig(browser, server, scripts)
            for case in cases:
                for client in clients:
                    _say(f"{case.title}, round {number} of {rounds}: {client.name}")
                    results[case][client.name].add(partial(rig.measure, case, client))
    return results


def _write_text(
    sizes: str,
    loads: Mapping[str, Mapping[str, Results]],
    faults: Mapping[Case, Mapping[str, Results]],
    clients: Sequence[BrowserClient],
) -> str:
    parts = [sizes]
    parts += [f"{title}:\n\n{cost_table(results)}" for title, results in loads.items()]
    rows = [
        [case.title, *(fault_cell(one, case.show) for one in results.values())]
        for case, results in faults.items()
    ]
    parts.append(markdown(["fault", *(client.name for client in clients)], rows))
    parts.append("\n".join(f"- {case.title}: {case.about}" for case in faults))
    return "\n\n".join(parts) + "\n"


def _describe_all(results: Mapping[str, Results]) -> dict[str, Any]:
    return {name: describe(one) for name, one in results.items()}


def _our_failures(tables: Sequence[Mapping[str, Results]], clients: Sequence[BrowserClient]) -> list[str]:
    ours = [client.name for client in clients if client.package == "streamd-client"]
    found = []
    for results in tables:
        for name in ours:
            found += [f"{name}: {failure}" for failure in results[name].failures]
            lost = [run for run in results[name].runs if run.get("missing") or run.get("repeated")]
            found += [f"{name} lost or repeated events: {dict(run)}" for run in lost]
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
