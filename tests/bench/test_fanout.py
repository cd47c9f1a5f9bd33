"""A small run of the benchmark: its figures are complete and consistent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.soak
def test_a_small_run_loses_nothing_and_reports_every_figure(tmp_path: Path) -> None:
    options = [
        "--quick",
        "--scenario",
        "burst",
        "--peer",
        "streamd",
        "--peer",
        "floor",
        "--out",
        str(tmp_path),
    ]
    command = [sys.executable, "-m", "bench", "run", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    burst = json.loads((tmp_path / "results.json").read_text())["scenarios"]["burst"]
    for name in ("streamd", "floor"):
        peer = burst["peers"][name]
        assert (peer["missing"], peer["failures"]) == (None, [])
        [run] = peer["runs"]
        assert run["missing"] == run["repeated"] == run["disordered"] == 0
        assert 0 < run["latency_p50_ms"] <= run["latency_p99_ms"] <= run["latency_max_ms"]
        assert run["deliveries_per_second"] > 0
        assert run["connects_per_second"] > 0
        assert run["cpu_us_per_delivery"] >= 0
        assert peer["ratios"]["deliveries_per_second/nchan"] is None
        assert name in done.stdout
    assert burst["peers"]["floor"]["ratios"]["deliveries_per_second/floor"] == 1
