"""The rate of single POSTs as wrk measures it, whose own work is small beside the server's."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from ..figures import Figures
from ..load import Load
from ..missing import Missing
from ..peers import LOGGED_PEERS, PEERS, Peer, Running
from ..publisher import TOPIC, Encoding
from .base import Ratio, Scenario, setup_for
from .publish import SINGLE_COLUMNS

_MANY: Final = 64  # connections, each of which waits for its answers
_WARM_UP_SECONDS: Final = 1
_SPARE_SECONDS: Final = 30
_SCRIPT: Final = """\
wrk.method = "POST"
wrk.body = [[{body}]]
wrk.headers["Content-Type"] = "{media_type}"
{header}
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("figures %d %d %d %d\\n",
    summary.requests, summary.duration, failed, latency:percentile(99)))
end
"""
_FIGURES: Final = re.compile(r"^figures (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)


def measure_posts(peer: Peer, load: Load) -> Figures:
    """Publish single events for ``load.settle_seconds`` on one connection, then as long on 64.

    Raises:
        Missing: the peer or wrk is not there.
        RuntimeError: it failed, or rejected an event.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name, peer.start(setup_for(load)) as server:
        script = write_script(Path(name) / "post.lua", peer, load.payload_bytes)
        post_by_wrk(server, script, 1, _WARM_UP_SECONDS)  # modules that are imported on first use
        seconds = max(1, round(load.settle_seconds))
        one, many = (post_by_wrk(server, script, connections, seconds) for connections in (1, _MANY))
    return {
        "published_single_per_second": one["rate"],
        "answered_p99_ms": one["p99_ms"],
        "cpu_us_per_publish": one["cpu_us"],
        "published_many_per_second": many["rate"],
        "answered_many_p99_ms": many["p99_ms"],
        "cpu_us_per_publish_of_many": many["cpu_us"],
    }


def write_script(path: Path, peer: Peer, payload_bytes: int) -> Path:
    """Write the script by which wrk posts events to a peer, and return its path."""
    filler = "x" * payload_bytes
    body = filler if peer.encoding is Encoding.RAW else f'{{"topic":"{TOPIC}","data":"{filler}"}}'
    name, _, value = peer.header.partition(": ")
    header = f'wrk.headers["{name}"] = "{value}"' if name else ""
    path.write_text(_SCRIPT.format(body=body, media_type=peer.encoding.value, header=header))
    return path


def post_by_wrk(server: Running, script: Path, connections: int, seconds: int) -> dict[str, float]:
    """Post events, one after another on each connection, and return the rate, p99 (ms) and CPU (µs).

    Raises:
        Missing: wrk is not there.
        RuntimeError: the server failed, or rejected an event.
    """
    program = shutil.which("wrk")
    if program is None:
        raise Missing("wrk is not installed: install the Debian package wrk")
    url = f"http://{server.host}:{server.port}{server.peer.publish_path}"
    command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    before = server.sample()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + _SPARE_SECONDS, check=True
    )
    cpu_seconds = server.sample().cpu_seconds - before.cpu_seconds
    found = _FIGURES.search(done.stdout)
    if found is None:
        raise RuntimeError(f"wrk printed no figures: {done.stdout}{done.stderr}")
    requests, duration_us, failed, p99_us = (int(number) for number in found.groups())
    if failed or not requests:
        raise RuntimeError(f"{failed} of {requests} POSTs failed")
    return {
        "rate": requests / duration_us * 1e6,
        "p99_ms": p99_us / 1e3,
        "cpu_us": cpu_seconds / requests * 1e6,
    }


POSTS: Final = Scenario(
    name="posts",
    title="single POSTs without subscribers, each answered before the next, by wrk",
    load=Load(settle_seconds=5.0),
    quick=Load(settle_seconds=1.0),
    measure=measure_posts,
    columns=SINGLE_COLUMNS,
    ratios=(
        Ratio("published_single_per_second", "nchan"),
        Ratio("cpu_us_per_publish", "sse-starlette"),
        Ratio("published_single_per_second", "streamd-other"),
    ),
    all_peers=(*PEERS, *LOGGED_PEERS),
)
