"""The soft limit of open files is raised at the start."""

import subprocess
import sys

from tests.support.program import environment

SCRIPT = "ulimit -Sn 256; exec $0 -m streamd serve --bind 127.0.0.1:0"


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    process = subprocess.Popen(
        ["bash", "-c", SCRIPT, sys.executable], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    try:
        assert "listening" in process.stdout.readline()
        with open(f"/proc/{process.pid}/limits") as limits:  # noqa: PTH123 - not a file of ours
            [line] = [line for line in limits if line.startswith("Max open files")]
        soft, hard = line.split()[3:5]
        assert soft == hard != "256"
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stdout.close()
