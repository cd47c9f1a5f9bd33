"""Plots: one image for each scenario, with a panel for each figure and a bar for each peer."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .figures import FIGURES
from .missing import Missing

_OURS: Final = "#1f6feb"
_OTHERS: Final = "#a8b0b8"
_PANEL_INCHES: Final = 2.6
_BAR_INCHES: Final = 0.38


def load_matplotlib() -> Any:
    """Import ``matplotlib.pyplot``, set up to draw into files.

    Raises:
        Missing: matplotlib is not installed.
    """
    try:
        importlib.import_module("matplotlib").use("Agg")
        return importlib.import_module("matplotlib.pyplot")
    except ImportError:
        raise Missing("plots need matplotlib: install the extra `bench`") from None


def draw(name: str, scenario: Mapping[str, Any], file: Path) -> None:
    """Draw a scenario of the JSON report: bars are medians, dots are runs.

    Raises:
        Missing: matplotlib is not installed.
    """
    pyplot = load_matplotlib()
    peers = {peer: found for peer, found in scenario["peers"].items() if found["medians"]}
    columns = scenario["columns"]
    if not peers:
        return
    size = (2.0 + _PANEL_INCHES * len(columns), 1.6 + _BAR_INCHES * len(peers))
    figure, panels = pyplot.subplots(1, len(columns), figsize=size, sharey=True, squeeze=False)
    for panel, column in zip(panels[0], columns, strict=True):
        _draw_panel(panel, column, peers)
    panels[0][0].set_yticks(range(len(peers)), list(peers))
    panels[0][0].invert_yaxis()
    figure.suptitle(f"{name}: {scenario['title']}", fontsize=10)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _draw_panel(panel: Any, column: str, peers: Mapping[str, Any]) -> None:
    shown = FIGURES[column]
    for row, (peer, found) in enumerate(peers.items()):
        if column not in found["medians"]:
            continue
        median = found["medians"][column] / shown.divisor
        panel.barh(row, median, color=_OURS if peer.startswith("streamd") else _OTHERS)
        dots = [run[column] / shown.divisor for run in found["runs"]]
        panel.plot(dots, [row] * len(dots), ".", color="black", markersize=3)
        panel.annotate(f"  {median:,.{shown.digits}f}", (max(dots), row), va="center", fontsize=7)
    panel.set_title(shown.heading.replace("\n", " "), fontsize=8)
    panel.tick_params(labelsize=7)
    panel.margins(x=0.25)
    panel.set_xlim(left=0)
    panel.locator_params(axis="x", nbins=4)
