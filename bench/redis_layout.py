"""Measure what events take in Redis: memory by topics, and CPU of the node and of the server.

``python -m bench.redis_layout`` starts a redis-server of its own for each number of topics, appends events
to them in turns, and prints bytes of the server's memory for one event, and CPU times (µs) of the server
and of this process, which also reads its own tail: for appends of 100 events and of one, and for replays.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import click
import psutil
import trio

from streamd.events import EARLIEST, Draft, EventId, EventSettings, Pattern, Selectors
from streamd.log.redis import RedisLog
from streamd.log.settings import LogSettings
from streamd.redis.address import RedisAddress

from .redis_server import redis_server

TOPICS: Final = (10, 10_000, 1_000_000)
_EVENTS: Final = 100_000
_AT_ONCE: Final = 100
_CALLERS: Final = 16
_NO_BOUND: Final = 1 << 40


def make_drafts(topics: int, events: int) -> list[Draft]:
    """Return drafts whose topics take turns."""
    data = {"percent": 50, "step": "parse", "message": "half way", "at": "2026-03-01T09:30:00.000Z"}
    limits = EventSettings()
    return [Draft.create(f"orders/{n % topics}", data | {"number": n}, limits=limits) for n in range(events)]


async def _append(log: RedisLog, drafts: list[Draft], at_once: int) -> int:
    groups = iter([drafts[first : first + at_once] for first in range(0, len(drafts), at_once)])

    async def call() -> None:
        for group in groups:
            await log.append(group)

    async with trio.open_nursery() as nursery:
        for _ in range(_CALLERS):
            nursery.start_soon(call)
    return len(drafts)


async def _replay(log: RedisLog, selectors: Selectors) -> int:
    cursor: EventId = EARLIEST
    found, more = 0, True
    while more:
        page = await log.read(selectors, cursor, max_events=256, max_bytes=1 << 20)
        cursor, more, found = page.cursor, page.more, found + len(page.events)
    return found


async def _measure(name: str, server: psutil.Process, work: Callable[[], Awaitable[int]]) -> None:
    began, cpu, before = time.perf_counter(), time.process_time(), sum(server.cpu_times()[:2])
    events = await work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    of_server = sum(server.cpu_times()[:2]) - before
    print(
        f"  {name:24} {events / seconds:10,.0f}/s   node {cpu / events * 1e6:6.1f} µs"
        f"   server {of_server / events * 1e6:6.1f} µs",
        flush=True,
    )


async def _run(topics: int, address: RedisAddress, server: psutil.Process) -> None:
    log = RedisLog(
        address,
        LogSettings(
            max_events=_NO_BOUND, max_bytes=_NO_BOUND, topic_max_events=_NO_BOUND, topic_max_bytes=_NO_BOUND
        ),
    )
    events = max(_EVENTS, topics)
    drafts = make_drafts(topics, events)
    async with trio.open_nursery() as nursery:
        await nursery.start(log.serve)
        await log.open()
        print(f"{topics:,} topics, {events:,} events of {drafts[0].size} bytes", flush=True)
        empty = await _used_memory(log)
        await _measure("append 100 at once", server, lambda: _append(log, drafts, _AT_ONCE))
        used = await _used_memory(log) - empty
        print(
            f"  {used / events:,.0f} bytes of memory for one event, {used / 1e6:,.0f} MB in all", flush=True
        )
        await _measure("append single", server, lambda: _append(log, drafts[:20_000], 1))
        await _measure("replay a topic", server, lambda: _replay(log, Selectors(topics=["orders/0"])))
        everything = Selectors(patterns=[Pattern("**")])
        await _measure("replay everything", server, lambda: _replay(log, everything))
        nursery.cancel_scope.cancel()


async def _used_memory(log: RedisLog) -> int:
    info: Any = await log.call(b"INFO", b"memory")
    return int(info.partition(b"used_memory:")[2].split(b"\r\n")[0])


@click.command()
@click.option(
    "--topics", type=click.IntRange(min=1), multiple=True, help="Number of topics; repeat for several."
)
def main(topics: tuple[int, ...]) -> None:
    """Measure memory and CPU of the log in Redis."""
    for each in topics or TOPICS:
        with redis_server() as (socket, server):
            trio.run(_run, each, RedisAddress(path=str(socket)), server)


if __name__ == "__main__":
    main()
