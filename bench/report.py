"""The results: a table on the terminal, and everything as JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table

from .figures import FIGURES, LOSS, Figure
from .run import PeerResult, ratios
from .scenarios import Scenario

# The width of the widest table, for output that is no terminal.
_WIDTH_CHARACTERS = 160
_NAME_CHARACTERS = 34


def make_console() -> Console:
    """Return a console on standard output, wide enough for the tables if it is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=_WIDTH_CHARACTERS)


def make_table(scenario: Scenario, rows: Sequence[PeerResult], *, quick: bool = False) -> Table:
    """Build a table with a row for each peer, including those that are missing or failed."""
    table = Table(
        title=f"{scenario.name}: {_title(scenario, quick)}", title_justify="left", title_style="bold"
    )
    table.add_column("peer", overflow="fold", max_width=_NAME_CHARACTERS)
    for name in scenario.columns:
        table.add_column(FIGURES[name].heading, justify="right")
    for ratio in scenario.ratios:
        heading = FIGURES[ratio.figure].heading.replace("\n", " ")
        table.add_column(f"{heading}\n× {ratio.base}", justify="right")
    with_loss = any(name in run for row in rows for run in row.runs for name in LOSS)
    if with_loss:
        table.add_column("missing/\nrepeated/\ndisordered", justify="right")
    by_peer = ratios(scenario, rows)
    for row in rows:
        medians = row.medians
        cells = [_cell(medians.get(name), FIGURES[name]) for name in scenario.columns]
        cells += ["–" if value is None else f"{value:.2f}" for value in by_peer[row.peer.name]]
        if with_loss:
            cells.append("/".join(f"{medians[name]:.0f}" for name in LOSS) if medians else "–")
        table.add_row(_name(row), *cells)
    return table


def _title(scenario: Scenario, quick: bool) -> str:
    return f"{scenario.title} (quick: a smaller load)" if quick else scenario.title


def _name(row: PeerResult) -> str:
    name = row.peer.name
    if row.missing:
        return f"{name}\nmissing: {row.missing}"
    if row.failures:
        done = len(row.runs)
        return f"{name}\nfailed in {len(row.failures)} of {done + len(row.failures)}: {row.failures[-1][:80]}"
    return name


def _cell(value: float | None, figure: Figure) -> str:
    return "–" if value is None else f"{value / figure.divisor:,.{figure.digits}f}"


def describe(scenario: Scenario, rows: Sequence[PeerResult], *, quick: bool) -> dict[str, Any]:
    """Build a scenario's part of the JSON report."""
    by_peer = ratios(scenario, rows)
    return {
        "title": _title(scenario, quick),
        "load": attrs.asdict(scenario.quick if quick else scenario.load),
        "columns": list(scenario.columns),
        "peers": {
            row.peer.name: {
                "missing": row.missing or None,
                "failures": row.failures,
                "runs": [dict(run) for run in row.runs],
                "medians": row.medians,
                "ratios": {
                    f"{ratio.figure}/{ratio.base}": value
                    for ratio, value in zip(scenario.ratios, by_peer[row.peer.name], strict=True)
                },
            }
            for row in rows
        },
    }


def write_json(report: Mapping[str, Any], file: Path) -> None:
    """Write the report atomically."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(report, indent=2) + "\n")
    unfinished.replace(file)
