"""Conformance suites that others wrote, against streamd: ``python -m tests.conformance [autobahn] [h2spec]``.

``make conformance`` installs them first, as far as the machine can. Prints each score with the cases that
failed, and ends with the status 1 if a score is below the recorded one (:mod:`.score`). A suite that is not
installed is skipped, with a sentence that says so. Reports and logs are in ``.conformance/``.

============  =========================================================
``autobahn``  WebSocket: the Autobahn test suite, groups 1 to 7, 9, 10
``echo``      the application that it tests
``h2spec``    HTTP/2
``score``     scores, and the recorded ones
============  =========================================================
"""

import argparse
import sys
from pathlib import Path
from typing import Final

import trio

from tests.conformance import autobahn, h2spec
from tests.conformance.score import RECORDED, is_below

_SUITES: Final = {"autobahn": autobahn, "h2spec": h2spec}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description="Run the suites.")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"by default all: {', '.join(_SUITES)}")
    parser.add_argument("--folder", type=Path, default=Path(".conformance"), help="of suites and reports")
    return parser.parse_args()


def main() -> int:
    """Run, and return the status: 1 if a score is below the recorded one, 2 if there is no such suite."""
    arguments = _parse()
    names = arguments.suites or list(_SUITES)
    if unknown := [name for name in names if name not in _SUITES]:
        print(f"there is no suite {unknown[0]}; there are {', '.join(_SUITES)}", file=sys.stderr)
        return 2
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    below = False
    for suite in map(_SUITES.__getitem__, names):
        if reason := suite.missing(folder):
            print(f"{suite.SUITE} is skipped: {reason}", flush=True)
            continue
        score, recorded = trio.run(suite.run, folder), RECORDED[suite.SUITE]
        print(score, *(f"  failed: {case}" for case in score.failed), sep="\n", flush=True)
        if is_below(score, recorded):
            print(
                f"{suite.SUITE} is below the recorded score, {recorded.passed} of {recorded.cases}",
                flush=True,
            )
            below = True
    return int(below)


if __name__ == "__main__":
    sys.exit(main())
