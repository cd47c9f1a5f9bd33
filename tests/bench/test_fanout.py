"""A small run of the benchmark: its figures are complete and make sense."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_a_small_run_loses_nothing_and_reports_every_figure(tmp_path: Path) -> None:
    report_file = tmp_path / "report.json"
    options = ["--clients", "20", "--events", "10", "--deadline", "60", "--json", str(report_file)]
    command = [sys.executable, "-m", "bench", "fanout", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(report_file.read_text())
    [run] = report["runs"]
    assert run["missing"] == run["disordered"] == 0
    assert 0 < run["latency_p50_ms"] <= run["latency_p99_ms"] <= run["latency_max_ms"]
    for name in ("deliveries_per_second", "cpu_us_per_delivery", "connects_per_second"):
        assert run[name] >= 0
        assert name in done.stdout
