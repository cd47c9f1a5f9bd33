"""h2spec (HTTP/2, RFC 9113, and HPACK, RFC 7541) against ``streamd serve`` with a certificate."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import trio

from tests.conformance.score import Score
from tests.support.certificates import write_certificate
from tests.support.server_process import server_process_on

SUITE: Final = "h2spec"
_SECONDS: Final = 600  # timeout of the whole suite; a server without mistakes takes 2
_CASE_SECONDS: Final = 5  # in which the server must react


def missing(folder: Path) -> str:
    """Return the reason why the suite cannot run; an empty text if it can."""
    if _program(folder):
        return ""
    return "the program is not installed, and Go could not build it; name it with H2SPEC=/path/to/h2spec"


def _program(folder: Path) -> str | None:
    return os.environ.get("H2SPEC") or shutil.which("h2spec") or shutil.which("h2spec", path=folder / "bin")


async def run(folder: Path) -> Score:
    """Run the suite against a server of its own; its output is in ``folder/h2spec.log``.

    Raises:
        RuntimeError: the suite ended without a report.
    """
    pem, report = write_certificate(folder), folder / "h2spec.xml"
    report.unlink(missing_ok=True)
    program, tls = _program(folder), ("--certfile", pem, "--keyfile", pem)
    assert program is not None
    with (folder / "h2spec-server.log").open("wb") as errors, (folder / "h2spec.log").open("wb") as log:
        async with server_process_on(*tls, settings={}, seconds=_SECONDS, stderr=errors.fileno()) as server:
            address = ["--host", "127.0.0.1", "--port", str(server.port), "--tls", "--insecure"]
            command = [program, *address, "--timeout", str(_CASE_SECONDS), "--junit-report", str(report)]
            await trio.run_process(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    if not report.exists():
        raise RuntimeError(f"h2spec made no report; see {folder / 'h2spec.log'}")
    return score_of(report.read_text())


def score_of(report: str) -> Score:
    """Compute the score from a JUnit report. A skipped case counts as failed."""
    cases = list(ET.fromstring(report).iter("testcase"))
    failed = [
        f"{case.get('package')}: {case.get('classname')}"
        for case in cases
        if any(case.find(outcome) is not None for outcome in ("failure", "error", "skipped"))
    ]
    return Score(SUITE, len(cases), tuple(failed))
