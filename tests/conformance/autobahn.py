"""The Autobahn test suite (WebSocket, RFC 6455) against streamd's own WebSocket layer.

Its fuzzing client sends whole, fragmented, malformed and large messages to ``/echo`` of :mod:`.echo`, and
judges the answers. Its cases 12 and 13 need compression (RFC 7692), which streamd does not offer.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import trio

from tests.conformance.score import Score
from tests.support.server_process import server_process_on

SUITE: Final = "Autobahn"
CASES: Final = [f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 9, 10)]
_APP: Final = "tests.conformance.echo:make"
_AGENT: Final = "streamd"
_SECONDS: Final = 900  # timeout of the whole suite; two idle cores take 30
_MESSAGE_BYTES: Final = 32_000_000  # the suite sends messages of 16 MB
_PASSED: Final = {"OK", "NON-STRICT", "INFORMATIONAL"}
_PASSED_CLOSE: Final = {"OK", "INFORMATIONAL"}

# `pip install --target` leaves namespace packages to .pth files, which only a site directory's are read.
_RUN: Final = """
import site, sys
site.addsitedir(sys.argv[1])
sys.argv = ["wstest", "-m", "fuzzingclient", "-s", sys.argv[2]]
from autobahntestsuite.wstest import run
run()
"""


def missing(folder: Path) -> str:
    """Return the reason why the suite cannot run; an empty text if it can."""
    if (folder / "wstest" / ".installed").exists():
        return ""
    return "it needs Python 2.7 with pip; name one with PYTHON2=/path/to/python2.7"


async def run(folder: Path) -> Score:
    """Run the suite against a server of its own; its report is in ``folder/autobahn/index.html``.

    Raises:
        RuntimeError: the suite ended without a report.
    """
    index = folder / "autobahn" / "index.json"
    index.unlink(missing_ok=True)
    settings = {"tuning__connections__max_message_bytes": _MESSAGE_BYTES}
    with (folder / "autobahn-server.log").open("wb") as errors, (folder / "autobahn.log").open("wb") as log:
        async with server_process_on(
            "--app", _APP, settings=settings, seconds=_SECONDS, stderr=errors.fileno()
        ) as server:
            wstest, spec = folder / "wstest", folder / "autobahn.json"
            spec.write_text(json.dumps(_spec(index.parent, server.port)))
            command = [str(wstest / "python2.7"), "-W", "ignore", "-c", _RUN, str(wstest), str(spec)]
            await trio.run_process(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    if not index.exists():
        raise RuntimeError(f"the Autobahn test suite made no report; see {folder / 'autobahn.log'}")
    return score_of(json.loads(index.read_text())[_AGENT])


def _spec(reports: Path, port: int) -> dict[str, Any]:
    """Return the suite's configuration."""
    return {
        "outdir": str(reports),
        "servers": [{"agent": _AGENT, "url": f"ws://127.0.0.1:{port}/echo"}],
        "cases": CASES,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }


def score_of(report: Mapping[str, Mapping[str, Any]]) -> Score:
    """Compute the score from the report's cases; an unclean close fails a case, as a wrong answer does."""
    failed = [
        f"{name} ({case['behavior']}, close {case['behaviorClose']})"
        for name, case in report.items()
        if case["behavior"] not in _PASSED or case["behaviorClose"] not in _PASSED_CLOSE
    ]
    return Score(SUITE, len(report), tuple(sorted(failed)))
