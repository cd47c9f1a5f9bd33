"""Compare the CPU time of publishing in this checkout with that in another one.

``python -m bench.compare_publishing OTHER`` runs a server of each, and publishes to them in turns: what else
the machine does then slows both down. It prints the CPU time of an event there and here (µs, user and
system), and the median of the ratios of all rounds.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import httpx

ROUNDS: Final = 41
EVENT: Final = {
    "topic": "orders/7",
    "type": "progress",
    "data": {"percent": 50, "step": "parse", "message": "half way", "at": "2026-03-01T09:30:00.000Z"},
}
COMPACT: Final = json.dumps(EVENT, separators=(",", ":")).encode()
SPACED: Final = json.dumps(EVENT).encode()
LARGE: Final = json.dumps({"topic": "t", "data": {"items": [EVENT] * 200}}, separators=(",", ":")).encode()


@attrs.frozen
class Case:
    """One way to publish.

    Args:
        name: of the case.
        body: of one request.
        events: in one request.
        requests: in one round.
        media_type: of the body.
    """

    name: str
    body: bytes
    events: int = 1
    requests: int = 100
    media_type: str = "application/json"


CASES: Final = (
    Case("one event, compact JSON", COMPACT),
    Case("one event, spaced JSON", SPACED),
    Case("one event of 30 kB", LARGE),
    Case("an array of 1000 events", b"[" + b",".join([COMPACT] * 1000) + b"]", 1000, 3),
    Case("256 lines of NDJSON", (COMPACT + b"\n") * 256, 256, 10, "application/x-ndjson"),
)


@contextmanager
def serving(checkout: Path) -> Iterator[Callable[[Case], float]]:
    """Run a server of a checkout.

    Yields:
        A function that publishes, and returns the CPU time of one event (s).
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "streamd", "serve", "--bind", "127.0.0.1:0", "--store", "memory:"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().removeprefix("streamd is listening on ").split()[0]
        threads = Path(f"/proc/{process.pid}/task")
        with httpx.Client(base_url=url, timeout=60) as http:

            def publish(case: Case) -> float:
                before = cpu_seconds(threads)
                for _ in range(case.requests):
                    answer = http.post(
                        "/events", content=case.body, headers={"Content-Type": case.media_type}
                    )
                    answer.raise_for_status()
                return (cpu_seconds(threads) - before) / (case.requests * case.events)

            yield publish
    finally:
        process.kill()
        process.wait()


def cpu_seconds(threads: Path) -> float:
    """Read the CPU time of a process (s), which the kernel keeps in nanoseconds."""
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads.iterdir()) / 1e9


def main(other: Path) -> None:
    """Measure all cases."""
    here = Path(__file__).parents[1]
    with serving(other.resolve()) as publish_there, serving(here) as publish_here:
        for case in CASES:
            publish_there(case), publish_here(case)  # fill the caches
            rounds = [(publish_there(case), publish_here(case)) for _ in range(ROUNDS)]
            there_us, here_us = (1e6 * statistics.median(seconds) for seconds in zip(*rounds, strict=True))
            ratio = statistics.median(here / there for there, here in rounds)
            print(f"{case.name:26} {there_us:8.1f} µs  {here_us:8.1f} µs  x {ratio:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
