"""Medians and ranges of several rounds, as Markdown tables and as JSON."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
from playwright.sync_api import Error as PlaywrightError

from ..figures import LOSS
from .bundles import Size

# The figures of one run, by name: numbers, infinite for what did not happen, or texts.
Counts = Mapping[str, float | str]


@attrs.define
class Results:
    """The runs of one client in one case or load."""

    runs: list[Counts] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)

    def add(self, measure: Callable[[], Counts]) -> None:
        """Run once, and keep what it counted, or its failure."""
        try:
            self.runs.append(measure())
        except (RuntimeError, OSError, PlaywrightError) as error:
            self.failures.append(str(error) or type(error).__name__)


@attrs.frozen
class CostColumn:
    """A column of the table of costs: the name of a figure, its heading, and the digits behind the point."""

    name: str
    heading: str
    digits: int = 0


COST_COLUMNS: Final = (
    CostColumn("main_ms", "CPU of the main thread, ms"),
    CostColumn("renderer_ms", "CPU of the renderer, ms"),
    CostColumn("network_ms", "CPU of the network service, ms"),
    CostColumn("last_event_ms", "last event after, ms"),
    CostColumn("heap_kb", "growth of the JavaScript heap, kB"),
    CostColumn("private_mb", "memory of the renderers, MB", 1),
)


def combine(runs: Sequence[Counts]) -> dict[str, Any]:
    """Combine runs: the maximum of losses, the median of other numbers, all different texts."""
    return {name: _combine_values(name, [run[name] for run in runs]) for name in runs[0]}


def _combine_values(name: str, values: Sequence[float | str]) -> float | str:
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        return " or ".join(sorted({str(value) for value in values}))
    return max(numbers) if name in LOSS else statistics.median(numbers)


def fault_cell(results: Results, show: Callable[[Any], str]) -> str:
    """Write the cell of a case: the medians, and how many runs have failed."""
    shown = show(combine(results.runs)) if results.runs else "–"
    if not results.failures:
        return shown
    runs = len(results.failures) + len(results.runs)
    return f"{shown} (failed in {len(results.failures)} of {runs}: {results.failures[-1][:80]})"


def cost_cell(results: Results, column: CostColumn) -> str:
    """Write the median of a figure, and the range of its runs."""
    values = [float(run[column.name]) for run in results.runs]
    if not values:
        return "–"
    median, least, most = (
        f"{value:,.{column.digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return median if least == most else f"{median} ({least}–{most})"


def cost_table(results: Mapping[str, Results]) -> str:
    """Write a load's table, with a row for each client."""
    rows = [[name, *(cost_cell(one, column) for column in COST_COLUMNS)] for name, one in results.items()]
    return markdown(["client", *(column.heading for column in COST_COLUMNS)], rows)


def size_table(sizes: Mapping[str, Size]) -> str:
    """Write the sizes of the libraries."""
    rows = [[name, f"{size.minified:,}", f"{size.brotli:,}"] for name, size in sizes.items()]
    return markdown(["client", "minified, bytes", "Brotli, bytes"], rows)


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def describe(results: Results) -> dict[str, Any]:
    """Build the JSON of a client's runs; what did not happen is null."""

    def finite(value: float | str) -> float | str | None:
        return None if isinstance(value, float) and math.isinf(value) else value

    runs = [{name: finite(value) for name, value in run.items()} for run in results.runs]
    return {"runs": runs, "failures": results.failures}
