"""A fuzzer of the parsers of outside bytes: ``python -m tests.fuzz [TARGET ...] --seconds 600``.

Each target runs in a process of its own, under atheris (libFuzzer), for its share of the time. It fails with

* an exception that the parser does not document, or a rule of the target that does not hold,
* a warning,
* a step of more than 1 s of CPU time, or one that hangs,
* more than 1 GB of memory.

The input of a failure is kept in ``.fuzz/findings/TARGET/``, and printed as hex. A target ends with its first
failure. ``.fuzz/corpus/TARGET/`` has the inputs that reached new code; the next run begins with them.

=============  ==============================================================
``target``     :class:`~tests.fuzz.target.Target`: a parser and its rules
``targets``    the targets, a module for each group of parsers
``catalogue``  finds them by their names
``run``        starts the processes
``child``      the process of one target, the only module that needs atheris
=============  ==============================================================
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Final

import trio

from tests.fuzz.catalogue import find_target, list_targets
from tests.fuzz.run import Outcome, fuzz

_FOLDER: Final = Path(".fuzz")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="by default all")
    parser.add_argument("--seconds", type=int, default=600, help="time of the whole run (default: 600)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default: 2)")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="of corpora and findings")
    parser.add_argument("--list", action="store_true", help="list the targets")
    parser.add_argument("--input", type=Path, help="give this file to one target, without atheris")
    return parser.parse_args()


async def _fuzz_all(names: list[str], arguments: argparse.Namespace) -> list[Outcome]:
    share = max(1, arguments.seconds * arguments.jobs // len(names))
    slots = trio.CapacityLimiter(arguments.jobs)
    outcomes = []

    async def fuzz_one(name: str) -> None:
        async with slots:
            outcome = await fuzz(name, find_target(name), share, arguments.folder.absolute())
        outcomes.append(outcome)
        _print(outcome)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(fuzz_one, name)
    return outcomes


def _print(outcome: Outcome) -> None:
    verdict = "FAILED" if outcome.is_failure else "ok"
    print(f"{outcome.name:24} {outcome.steps:>12,} steps {outcome.seconds:>6.0f} s  {verdict}", flush=True)
    if outcome.is_failure:
        print(outcome.report)
        for path in outcome.inputs:
            print(f"{outcome.name} failed with {path}:\n{path.read_bytes().hex()}", flush=True)


def main() -> int:
    """Run, and return the status: 1 if a target failed, 2 if there is no such target or no atheris."""
    arguments = _parse()
    known = list_targets()
    names = arguments.targets or known
    if unknown := [name for name in names if name not in known]:
        print(f"there is no target {unknown[0]}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    if arguments.list:
        print("\n".join(known))
        return 0
    if arguments.input is not None:
        for name in names:
            find_target(name).take(arguments.input.read_bytes())
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: use `make fuzz`", file=sys.stderr)
        return 2
    outcomes = trio.run(_fuzz_all, names, arguments)
    return int(any(outcome.is_failure for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
