"""Small runs of the scenarios of tasks and services, against real servers, lose no event."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


def run_quick(out: Path, scenarios: Sequence[str], peers: Sequence[str]) -> dict[str, Any]:
    """Run scenarios, and return their parts of the report."""
    command = [sys.executable, "-m", "bench", "run", "--quick", "--out", str(out)]
    for option, names in (("--scenario", scenarios), ("--peer", peers)):
        for name in names:
            command += [option, name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((out / "results.json").read_text())["scenarios"]
    assert list(report) == list(scenarios)
    return report


def only_run(scenario: dict[str, Any], peer: str) -> dict[str, float]:
    """Return the figures of a peer's only run, after a check of the common ones."""
    found = scenario["peers"][peer]
    assert (found["missing"], found["failures"]) == (None, [])
    [run] = found["runs"]
    assert run["missing"] == run["repeated"] == run["disordered"] == 0
    assert 0 < run["latency_p50_ms"] <= run["latency_p99_ms"] <= run["latency_max_ms"]
    assert run["deliveries_per_second"] > 0
    assert run["cpu_us_per_delivery"] > 0
    figures: dict[str, float] = run
    return figures


@pytest.mark.soak
def test_each_service_delivers_each_event_with_sqlite(tmp_path: Path) -> None:
    scenarios = ["tasks", "tasks-many", "orders", "sentiment"]
    report = run_quick(tmp_path, scenarios, ["streamd-sqlite"])
    runs = {name: only_run(report[name], "streamd-sqlite") for name in scenarios}
    for run in runs.values():
        assert 0 < run["answered_p50_ms"] <= run["answered_p99_ms"]
    # Eleven stages, each with at least a start, a progress and an end event.
    assert runs["orders"]["events_per_order"] >= 33
    assert 0 < runs["orders"]["first_event_p50_ms"] <= runs["orders"]["first_event_p99_ms"]


def test_tasks_are_measured_in_memory_and_on_the_floor(tmp_path: Path) -> None:
    tasks = run_quick(tmp_path, ["tasks"], ["streamd memory", "floor"])["tasks"]
    only_run(tasks, "floor")
    only_run(tasks, "streamd memory")
    assert tasks["peers"]["streamd memory"]["ratios"]["latency_p99_ms/floor"] > 0
