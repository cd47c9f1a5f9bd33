"""Attacks on a server, each beside a normal client: ``python -m tests.hostile [NAME ...]``.

streamd runs one event loop, so whoever holds it holds everybody up. This program tries that. For each attack
it starts a server, and measures it before, twice during, and after the attack::

    publisher, 5 events/s --> streamd (a process) --> subscriber: latency
    probe: /health/live -------->  ^   |
                                   |   +--> /proc: memory, descriptors, CPU; log: lines
    attacker (a process) ----------+   +--> a mapped file: longest step and pass of the loop

It prints a table in Markdown (times in ms, memory in MB), and the limits that an attack breaks:

========  ==============================================================================================
step      a trio task ran for more than 20 ms of CPU time without a checkpoint
pass      the event loop had a pass of more than 50 ms of CPU time (of its thread)
p99       the subscriber's latency (99th percentile) is more than 100 ms above that before the attack
lost      an event did not arrive within 5 s
health    /health/live took more than a second on a new connection (99th percentile), or failed
memory    the second attack raises the peak of memory by 10 % or more
log       the server wrote more than 500 lines a second
========  ==============================================================================================

Steps and passes are measured in CPU time, because a busy machine makes everything else slow. The hooks that
measure steps cost as much as a step; so CPU in the table is more than an operator's server would need.
Latencies are elapsed time: ``waits`` says how long the loop's thread and the harness waited for a core.

======================  =====================================================================
``attack``              an attack and its server; ``attacks`` imports all modules with attacks
``http1`` ...           the attacks, a module for each kind: the functions of :data:`KINDS`
``target``              the means of attackers: connections, floods at a rate, requests
``attacker``            the process that attacks
``app``, ``steps``      in the server's process: the meter of steps and passes
``process``             the server's process, and what the system says about it
``beside``              the normal clients
``run``                 one attack from its start to its row
``figures``             the row, the limits, the table
======================  =====================================================================

To add an attack, write a function into the module of its kind: it gets a target, and attacks until it is
cancelled after a few seconds. All connections stay on the loopback.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from tests.hostile.attack import ATTACKS, Attack
from tests.hostile.attacks import KINDS, load_attacks
from tests.hostile.figures import Row, as_json, explain, table
from tests.hostile.run import Attacker, measure


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description="Attack a server.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="attacks (default: all)")
    parser.add_argument("--kind", action="append", choices=KINDS, default=[], help="all attacks of a kind")
    parser.add_argument("--list", action="store_true", help="list the attacks, and end")
    parser.add_argument("--json", type=Path, help="also write the figures to a file, for comparisons")
    return parser.parse_args()


def _choose(names: Sequence[str], kinds: Sequence[str]) -> list[Attack]:
    if unknown := set(names) - set(ATTACKS):
        raise SystemExit(f"there is no attack {', '.join(sorted(unknown))}; see --list")
    return [
        each for each in ATTACKS.values() if each.name in names or each.kind in kinds or not (names or kinds)
    ]


async def _run(attacks: Sequence[Attack], folder: Path, json_file: Path | None) -> list[Row]:
    rows = []
    async with Attacker() as hostile:
        for number, attack in enumerate(attacks, 1):
            row = await measure(attack, folder / attack.name, hostile)
            rows.append(row)
            if json_file is not None:
                await trio.Path(json_file).write_text(json.dumps([as_json(row) for row in rows], indent=1))
            state = ", ".join(row.broken) or "holds"
            print(f"{number}/{len(attacks)} {attack.name}: {state}", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Run what the arguments say."""
    arguments = _parse()
    load_attacks()
    attacks = _choose(arguments.names, arguments.kind)
    if arguments.list:
        for each in attacks:
            print(f"{each.kind:10} {each.name:32} {each.says}")
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = trio.run(_run, attacks, Path(folder), arguments.json)
    print(table(rows))
    print()
    print(explain(rows))


if __name__ == "__main__":
    main()
