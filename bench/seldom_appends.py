"""The cost of an append that is seldom: CPU of one in every 0.1 s, when caches are cold.

``python -m bench.seldom_appends`` compares both logs with the least that durability costs: one row inserted
and committed by apsw in its thread, without a log. What the timer alone costs is subtracted. The medians of
the rounds, in which the cases take turns, are printed (µs).
"""

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw
import click
import trio

from streamd.events import Draft
from streamd.log.port import Log

from .compare_logs import make_drafts, open_logs, take

_INTERVAL_SECONDS: Final = 0.1
_APPENDS_A_ROUND: Final = 20
_BODY: Final = "x" * 150  # about that of an event of ``compare_logs``

Append = Callable[[], Awaitable[Any]]


async def _measure(append: Append) -> float:
    """Return the CPU time of all threads for one append and its timer (µs)."""
    began = time.process_time()
    for _ in range(_APPENDS_A_ROUND):
        await trio.sleep(_INTERVAL_SECONDS)
        await append()
    return (time.process_time() - began) / _APPENDS_A_ROUND * 1e6


def _prepare(db: apsw.Connection) -> None:
    db.pragma("journal_mode", "WAL")
    db.pragma("synchronous", "normal")
    db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT)")


def _commit(db: apsw.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO rows (body) VALUES (?)", (_BODY,))
    db.execute("COMMIT")


async def _append_next(log: Log, drafts: Iterator[Draft]) -> None:
    await log.append(take(drafts, 1))


async def _run(folder: Path, rounds: int) -> None:
    drafts = make_drafts(1)
    bare: Any = await apsw.Connection.as_async(str(folder / "bare.db"))
    await bare.async_run(_prepare, bare)
    async with open_logs(folder) as logs:
        cases: dict[str, Append] = {
            "timer": trio.lowlevel.checkpoint,
            "bare commit": partial(bare.async_run, _commit, bare),
            **{name: partial(_append_next, each.log, drafts) for name, each in logs.items()},
        }
        costs: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, append in cases.items():
                costs[name].append(await _measure(append))
    await bare.aclose()
    medians = {name: statistics.median(found) for name, found in costs.items()}
    for name, median in medians.items():
        print(f"{name:12} {median - (medians['timer'] if name != 'timer' else 0):6.0f} µs")


@click.command()
@click.option(
    "--rounds", type=click.IntRange(min=1), default=9, show_default=True, help="Rounds of each case."
)
def main(rounds: int) -> None:
    """Compare seldom appends to both logs with a bare commit."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        trio.run(_run, Path(name), rounds)


if __name__ == "__main__":
    main()
