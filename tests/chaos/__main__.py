"""A checker for the durability of the event log: ``python -m tests.chaos --rounds 1000 --seed 7``.

It starts a real server, and lets publishers, readers and workers use it through a proxy while a nemesis
kills and stops the server, cuts connections, fills the disk and moves the clock, one fault a round::

    publishers ─┐                     ┌── readers (SSE, polls, WebSocket), followers of tasks
    workers ────┴──► proxy ► server ──┘         │
        │ acknowledgements    ▲ nemesis         │ deliveries, gaps
        └─────────────► history ◄───────────────┘ ──► check_events, check_tasks ──► violations

A part of some rounds ends with an event that each reader must receive, and with the checks of everything
that was sent, acknowledged and delivered in it. The first violation ends the run with its story and the
status 1.

=====================  ==========================================================================
``history``            everything that was sent and answered; ``task_history`` that of tasks
``check_events``       history -> violations, without I/O; ``check_tasks`` likewise
``publishers``         and ``readers``, ``task_clients``: the clients
``faults``             of the nemesis; ``redis_faults`` those of the servers under the log
``redis_side``         these servers
``server``             the server's processes; ``launcher`` forks them, ``preload`` bends their world
``proxy``              cuts connections
``sabotaged``          logs that break their promises, to check the checker
``run``                puts all of it together
=====================  ==========================================================================

The seed determines each client's choices (contents, keys, batches, tasks) and the nemesis's (which fault, and
after how many acknowledgements). It does not determine the ids and times, the order in which the clients'
requests reach the server, how far each is when a fault begins, nor the pauses and bytes that the kernel makes
of them. So a seed repeats the kind of a run, and a violation may need several runs of its seed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import trio

from tests.chaos.faults import FAULTS
from tests.chaos.plan import Plan, Report
from tests.chaos.redis_faults import REDIS_FAULTS
from tests.chaos.redis_side import REDIS_LOGS
from tests.chaos.run import Run
from tests.chaos.sabotaged import FAULTY


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Check the event log.")
    parser.add_argument("--rounds", type=int, default=100, help="maximum number of rounds (default: 100)")
    parser.add_argument("--kills", type=int, help="end after so many kills")
    parser.add_argument("--seed", type=int, default=1, help="of all random choices (default: 1)")
    parser.add_argument(
        "--log",
        default="memory:",
        help=f"memory:, sqlite:PATH, where {{folder}} is the run's own, or {', '.join(REDIS_LOGS)}",
    )
    parser.add_argument("--nodes", type=int, default=1, help="servers on one log in Redis (default: 1)")
    parser.add_argument("--durable", action="store_true", help="the memory log must survive: it must fail")
    parser.add_argument("--part", type=int, default=25, help="rounds between two checks (default: 25)")
    parser.add_argument(
        "--only", nargs="*", default=[], choices=sorted({fault.name for fault in (*FAULTS, *REDIS_FAULTS)})
    )
    parser.add_argument("--fault", choices=FAULTY, help="sabotage the log, to check the checker")
    parser.add_argument("--rate", type=int, default=20, help="the fault occurs once in so many times")
    parser.add_argument("--folder", type=Path, help="keep the server's files there")
    return parser.parse_args()


def _print_report(report: Report, seed: int) -> None:
    for _, story in report.violations[:5]:
        print(f"\nseed {seed}, round {report.rounds}\n{story}")
    if len(report.violations) > 5:
        print(f"\n... and {len(report.violations) - 5} more violations")
    print(report)


def main() -> int:
    """Run what the arguments say; return the exit status."""
    arguments = _parse()
    with tempfile.TemporaryDirectory(prefix="chaos") as temporary:
        folder: Path = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        plan = Plan(
            folder=folder,
            rounds=arguments.rounds,
            seed=arguments.seed,
            log=arguments.log,
            nodes=arguments.nodes,
            durable=arguments.durable or None,
            kills=arguments.kills,
            part_rounds=arguments.part,
            fault=arguments.fault,
            rate=arguments.rate,
            only=arguments.only,
            say=lambda line: print(line, flush=True),
        )
        report = trio.run(Run(plan).run)
    _print_report(report, arguments.seed)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
