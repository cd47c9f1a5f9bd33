"""``python -m bench fanout [--clients N] [--events N] [--rate R] [--repeat N] [--json FILE]``."""

import json
import resource
import statistics
import sys
from pathlib import Path

import attrs
import click

from .fanout import Figures, Load, measure_fanout

FILES_PER_CLIENT = 1
SPARE_FILES = 100


@click.group()
def main() -> None:
    """Measure streamd on this machine, over the loopback interface."""


@main.command()
@click.option("--clients", default=1000, show_default=True, type=click.IntRange(1, 20_000))
@click.option("--events", default=200, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--rate", default=0.0, show_default=True, help="Events a second; 0: back to back.")
@click.option("--payload", default=100, show_default=True, type=click.IntRange(0, 100_000), help="Bytes.")
@click.option(
    "--repeat", default=1, show_default=True, type=click.IntRange(1, 20), help="Medians of so many."
)
@click.option("--deadline", default=300.0, show_default=True, help="Seconds a run may take.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures there, too.")
def fanout(
    clients: int, events: int, rate: float, payload: int, repeat: int, deadline: float, json_file: Path | None
) -> None:
    """One topic, many subscribers; exits 1 when an event was lost or out of order."""
    _raise_open_files(clients)
    load = Load(clients=clients, events=events, rate=rate, payload_bytes=payload, deadline_seconds=deadline)
    runs = []
    for number in range(repeat):
        print(f"run {number + 1} of {repeat}: {clients} clients, {events} events", file=sys.stderr)
        runs.append(measure_fanout(load))
    names = [field.name for field in attrs.fields(Figures)]
    medians = {name: statistics.median(getattr(run, name) for run in runs) for name in names}
    for name, value in medians.items():
        print(f"{name:30} {value:14,.1f}")
    if json_file is not None:
        report = {"load": attrs.asdict(load), "medians": medians, "runs": [attrs.asdict(run) for run in runs]}
        json_file.write_text(json.dumps(report, indent=2) + "\n")
    if any(run.missing or run.disordered for run in runs):
        sys.exit("events were lost or out of order")


def _raise_open_files(clients: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if clients * FILES_PER_CLIENT + SPARE_FILES > hard:
        sys.exit(f"{clients} clients need more open files than the {hard} that are allowed (ulimit -Hn)")


if __name__ == "__main__":
    main()
