"""Compare the log in SQLite with the log in memory, in this process: the cost of an event as history grows.

``python -m bench.compare_logs`` appends to both logs in turns, at histories of 10,000, 100,000 and 1,000,000
events, and prints medians for one event: CPU time of all threads (µs), p99 of an append (ms), bytes of the
file. Then it lowers the bounds to what the logs have, so that each append also drops. At last it opens the
file again. ``--topics`` spreads the events over topics, ``--max-history`` ends earlier.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import click
import trio

from streamd.database import Database
from streamd.events import EARLIEST, Draft, EventSettings, Pattern, Selectors
from streamd.log.memory import MemoryLog
from streamd.log.port import Log
from streamd.log.settings import LogSettings
from streamd.log.sqlite import SQLiteLog

HISTORIES: Final = (10_000, 100_000, 1_000_000)
DATA: Final = {"percent": 50, "step": "parse", "message": "half way", "at": "2026-03-01T09:30:00.000Z"}
_ROUNDS: Final = 9
_EVENTS_A_ROUND: Final = 2_048
_EVENTS_TO_FILL: Final = 256  # in one append
_PAGE: Final = {"max_events": 256, "max_bytes": 1 << 20}
_READ_EVENTS: Final = 10_000  # in one round
_NO_BOUND: Final = 1 << 60
_LIMITS: Final = EventSettings()


@attrs.frozen
class AppendCase:
    """One way to append.

    Args:
        name: of the case.
        events: in one append.
        callers: number of trio tasks that append at the same time.
    """

    name: str
    events: int
    callers: int = 1


CASES: Final = (
    AppendCase("single", 1),
    AppendCase("single, 64 callers", 1, 64),
    AppendCase("arrays of 100", 100),
    AppendCase("lines: 256", 256),
)


@attrs.define
class OpenLog:
    """A log to be measured.

    Args:
        log: the log, whose events are read by a tail as the hub does.
        path: of its file; None for the log in memory.
    """

    log: Log
    path: Path | None = None

    @property
    def file_bytes(self) -> int:
        """The size of its file and of the write-ahead log."""
        if self.path is None:
            return 0
        return sum(file.stat().st_size for file in self.path.parent.iterdir())


def make_drafts(topics: int) -> Iterator[Draft]:
    """Yield drafts without end, whose topics take turns."""
    number = 0
    while True:
        yield Draft.create(f"orders/{number % topics}", DATA | {"number": number}, limits=_LIMITS)
        number += 1


def take(drafts: Iterator[Draft], number: int) -> list[Draft]:
    """Take the next drafts."""
    return [next(drafts) for _ in range(number)]


def settings(events: int = _NO_BOUND) -> LogSettings:
    """Return bounds of the number of events only."""
    return LogSettings(
        max_events=events,
        topic_max_events=events,
        max_bytes=_NO_BOUND,
        topic_max_bytes=_NO_BOUND,
    )


@asynccontextmanager
async def open_logs(folder: Path) -> AsyncIterator[dict[str, OpenLog]]:
    """Run both logs during the block, each with a reader of its tail."""
    path = folder / "log.db"
    database = Database(str(path))
    logs = {
        "memory": OpenLog(MemoryLog(settings())),
        "sqlite": OpenLog(SQLiteLog(database, settings()), path),
    }
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        for each in logs.values():
            await each.log.open()
            nursery.start_soon(_follow, each.log)
            nursery.start_soon(each.log.run)
        yield logs
        nursery.cancel_scope.cancel()


async def _follow(log: Log) -> None:
    cursor = log.head
    while True:
        cursor = (await log.tail(cursor, max_events=256, max_bytes=1 << 20)).cursor


async def append(log: Log, drafts: Sequence[Draft], case: AppendCase) -> list[float]:
    """Append as a case says, and return the duration of each append (ms)."""
    batches = iter([drafts[first : first + case.events] for first in range(0, len(drafts), case.events)])
    delays: list[float] = []

    async def call() -> None:
        for batch in batches:
            began = time.perf_counter()
            await log.append(batch)
            delays.append((time.perf_counter() - began) * 1000)

    async with trio.open_nursery() as nursery:
        for _ in range(case.callers):
            nursery.start_soon(call)
    return delays


async def replay(log: Log, selectors: Selectors, events: int) -> int:
    """Read the first events of a log, and return their number."""
    cursor, read = EARLIEST, 0
    more = True
    while more and read < events:
        page = await log.read(selectors, cursor, **_PAGE)
        cursor, more, read = page.cursor, page.more, read + len(page.events)
    return read


@attrs.frozen
class Cost:
    """The cost of one event in a round.

    Args:
        cpu_us: CPU time of all threads (µs).
        seconds: duration (s).
        p99_ms: 99th percentile of the appends (ms); 0 for reads.
    """

    cpu_us: float
    seconds: float
    p99_ms: float = 0.0


async def measure(work: Callable[[], Awaitable[tuple[int, Sequence[float]]]]) -> Cost:
    """Measure a round, which returns its number of events and the durations of its appends (ms)."""
    cpu, began = time.process_time(), time.perf_counter()
    events, delays = await work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    p99 = statistics.quantiles(delays, n=100, method="inclusive")[98] if len(delays) > 1 else 0.0
    return Cost(cpu / events * 1e6, seconds / events, p99)


async def compare(
    name: str, logs: dict[str, OpenLog], work: Callable[[Log], Awaitable[tuple[int, Sequence[float]]]]
) -> None:
    """Measure rounds of all logs in turns, and print the medians."""
    costs: dict[str, list[Cost]] = {each: [] for each in logs}
    for _ in range(_ROUNDS):
        for each, opened in logs.items():
            costs[each].append(await measure(partial(work, opened.log)))
    parts = []
    for each, found in costs.items():
        cpu_us = statistics.median(cost.cpu_us for cost in found)
        rate = 1 / statistics.median(cost.seconds for cost in found)
        p99_ms = statistics.median(cost.p99_ms for cost in found)
        parts.append(f"{each} {cpu_us:7.1f} µs {rate:9,.0f}/s p99 {p99_ms:6.2f} ms")
    print(f"  {name:20} " + "   ".join(parts), flush=True)


async def compare_all(logs: dict[str, OpenLog], drafts: Iterator[Draft], *, reads: bool) -> None:
    """Compare all cases of appends, and reads from the beginning."""
    for case in CASES:
        batch = take(drafts, _EVENTS_A_ROUND)

        async def work(
            log: Log, batch: Sequence[Draft] = batch, case: AppendCase = case
        ) -> tuple[int, list[float]]:
            return len(batch), await append(log, batch, case)

        await compare(f"append {case.name}", logs, work)
    if reads:
        for name, selectors in (
            ("replay a topic", Selectors(topics=["orders/0"])),
            ("replay a pattern", Selectors(patterns=[Pattern("orders/**")])),
        ):

            async def read(log: Log, selectors: Selectors = selectors) -> tuple[int, list[float]]:
                return await replay(log, selectors, _READ_EVENTS), []

            await compare(name, logs, read)


async def run(topics: int, max_history: int, folder: Path) -> None:
    """Measure the logs at each history, then at their bounds, then a start."""
    drafts = make_drafts(topics)
    async with open_logs(folder) as logs:
        stored = 0
        for history in (each for each in HISTORIES if each <= max_history):
            for each in logs.values():
                missing = history - each.log.statistics()["events"]
                for _ in range(max(0, missing) // _EVENTS_TO_FILL):
                    await each.log.append(take(drafts, _EVENTS_TO_FILL))
            print(f"history of {history:,} events, {topics:,} topics; {_file(logs['sqlite'])}", flush=True)
            await compare_all(logs, drafts, reads=True)
            stored = logs["sqlite"].log.statistics()["events"]
        bounds = settings(stored)
        for each in logs.values():
            each.log.apply_settings(bounds)
        print(f"at the bound of {stored:,} events; {_file(logs['sqlite'])}", flush=True)
        await compare_all(logs, drafts, reads=False)
        for each in logs.values():  # a topic keeps half of what it has
            each.log.apply_settings(attrs.evolve(bounds, topic_max_events=max(1, stored // topics // 2)))
        began = time.perf_counter()
        while logs["sqlite"].log.statistics()["events"] > stored // 2 + topics:
            await trio.lowlevel.checkpoint()
        print(
            f"at the bound of each topic, after {time.perf_counter() - began:.1f} s of dropping", flush=True
        )
        await compare_all(logs, drafts, reads=False)
        print(f"at the end: {_file(logs['sqlite'])}")
    await _measure_start(folder)


async def _measure_start(folder: Path) -> None:
    """Open the file again."""
    began, cpu = time.perf_counter(), time.process_time()
    async with trio.open_nursery() as nursery:
        database = Database(str(folder / "log.db"))
        log = SQLiteLog(database, settings())
        await nursery.start(database.run)
        await log.open()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        events = log.statistics()["events"]
        nursery.cancel_scope.cancel()
    print(f"start with {events:,} events: {seconds:.3f} s, CPU {cpu:.3f} s")


def _file(sqlite: OpenLog) -> str:
    events = max(1, sqlite.log.statistics()["events"])
    return f"file of {sqlite.file_bytes / 1e6:.1f} MB, {sqlite.file_bytes / events:.0f} bytes an event"


@click.command()
@click.option("--topics", type=click.IntRange(min=1), default=1, show_default=True, help="Number of topics.")
@click.option("--max-history", type=int, default=HISTORIES[-1], show_default=True, help="Largest history.")
def main(topics: int, max_history: int) -> None:
    """Compare the log in SQLite with the log in memory."""
    gc.disable()  # a collection of a million events takes a second
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        trio.run(run, topics, max_history, Path(name))


if __name__ == "__main__":
    main()
