"""Measure the CPU time of publishing one event within this process, stage by stage.

``python -m bench.publishing_cost`` publishes single events through the door of ``POST /events``, without
HTTP, and prints the CPU time of one event on the thread of the event loop (µs), the best of several rounds.
Each stage adds a part to the one before it; then subscriptions are added. ``--log sqlite`` measures the log
in SQLite, whose own thread is not counted. To measure another checkout, run this file with the environment
variable ``PYTHONPATH`` set to it.
"""

import gc
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import click
import trio

from streamd.auth import EVERYBODY, Access, AuthSettings, Caller
from streamd.broker import Broker, BrokerSettings
from streamd.database import Database
from streamd.events import Batch, Draft, Event, EventSettings, Selectors
from streamd.events.bodies import decode_draft
from streamd.http.publishing import PublishingDoor
from streamd.hub import DeliveryRecord, HubSettings, SendQueue
from streamd.log.memory import MemoryLog
from streamd.log.port import Log
from streamd.log.settings import LogSettings
from streamd.log.sqlite import SQLiteLog

TOPIC: Final = "orders/7"
BODY: Final = (
    b'{"topic":"orders/7","type":"progress","data":{"percent":50,"step":"parse","message":"half way",'
    b'"at":"2026-03-01T09:30:00.000Z"}}'
)
_LIMITS: Final = EventSettings()
_NO_BOUND: Final = 1 << 60


class _Nobody:
    """The tokens, tickets and revocations of a server without keys."""

    def knows(self, name: str) -> bool:
        return False

    def is_revoked(self, caller: Caller) -> bool:
        return False

    async def verify(self, text: str) -> Caller:
        raise NotImplementedError

    async def redeem(self, text: str) -> Caller:
        raise NotImplementedError


class _NullWire:
    """A wire that takes every batch, and encodes it as a stream over HTTP/1.1 does."""

    def write_nowait(self, batch: Batch) -> int:
        return len(batch.chunk)

    async def write(self, batch: Batch) -> int:
        return len(batch.chunk)

    def release(self) -> None:
        pass


@attrs.frozen
class Stage:
    """A way to publish one event.

    Args:
        name: of the stage.
        work: does it once.
        events: in one round.
        fans_out: the fan-out runs meanwhile, and its work counts.
        topic: of the subscriptions.
        subscriptions: their number.
    """

    name: str
    work: Callable[[], Awaitable[Any]]
    events: int
    fans_out: bool = False
    topic: str = TOPIC
    subscriptions: int = 0


def stages(log: Log, broker: Broker, door: PublishingDoor, events: int) -> Sequence[Stage]:
    """Return the stages, each with the parts of those before it."""
    draft = decode_draft(BODY, _LIMITS)

    async def do_nothing() -> None:
        pass

    async def decode() -> None:
        decode_draft(BODY, _LIMITS)

    async def make_event() -> None:
        Event.from_draft(decode_draft(BODY, _LIMITS), log.head)

    async def check() -> None:
        found = decode_draft(BODY, _LIMITS)
        await door.take_limits(1, len(BODY))
        door.check(found)

    async def append() -> None:
        await log.append([draft])

    async def publish_on_hub() -> None:
        await broker.hub.publish_drafts([draft])

    async def publish() -> None:
        found: Draft = decode_draft(BODY, _LIMITS)
        await door.take_limits(1, len(BODY))
        await door.publish([found])

    other = "orders/8"
    return [
        Stage("an empty loop", do_nothing, events),
        Stage("a checkpoint of trio", trio.lowlevel.checkpoint, events),
        Stage("decode", decode, events),
        Stage("decode and make an event", make_event, events),
        Stage("decode, rights and limits", check, events),
        Stage("append", append, events),
        Stage("append, hub and metrics; no fan-out", publish_on_hub, events),
        Stage("all; no fan-out", publish, events),
        Stage("all; 0 subscribers", publish, events, True),
        Stage("all; 1 subscriber of another topic", publish, events, True, other, 1),
        Stage("all; 1,000 subscribers of another topic", publish, events, True, other, 1000),
        Stage("all; 1 subscriber of the topic", publish, events, True, TOPIC, 1),
        Stage("all; 1,000 subscribers of the topic", publish, max(1, events // 20), True, TOPIC, 1000),
    ]


@asynccontextmanager
async def open_log(kind: str, folder: Path) -> AsyncIterator[Log]:
    """Run a log during the block."""
    settings = LogSettings()
    if kind == "memory":
        yield MemoryLog(settings)
        return
    database = Database(str(folder / "log.db"))
    log = SQLiteLog(database, settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        await log.open()
        nursery.start_soon(log.run)
        yield log
        nursery.cancel_scope.cancel()


async def measure(broker: Broker, stage: Stage) -> float:
    """Run one round of a stage, and return the CPU time of an event on this thread (s)."""
    hub = broker.hub
    async with trio.open_nursery() as nursery:
        with ExitStack() as subscriptions:
            if stage.fans_out:
                nursery.start_soon(hub.run)
                while hub.position != broker.log.head:
                    await trio.lowlevel.checkpoint()
            wire = _NullWire()
            for _ in range(stage.subscriptions):
                subscription = hub.subscribe(Selectors(topics=[stage.topic]), None, SendQueue(64, 1 << 20))
                subscriptions.enter_context(subscription)
                subscription.write_through(wire, DeliveryRecord(0.0))
            work = stage.work
            began = time.thread_time()
            for _ in range(stage.events):
                await work()
            while stage.fans_out and hub.position != broker.log.head:
                await trio.lowlevel.checkpoint()
            seconds = time.thread_time() - began
        nursery.cancel_scope.cancel()
    return seconds / stage.events


async def run(kind: str, events: int, rounds: int, folder: Path) -> None:
    """Measure all stages, in turns, and print the best round of each."""
    async with open_log(kind, folder) as log:
        # Without a fan-out all events are ahead of it, which would be refused.
        settings = BrokerSettings(hub=HubSettings(max_lag_events=_NO_BOUND))
        broker = Broker.create(settings, log)
        nobody = _Nobody()
        access = Access(AuthSettings(), nobody, nobody, nobody)
        door = PublishingDoor(broker, access, EVERYBODY, "address:127.0.0.1")
        all_stages = stages(log, broker, door, events)
        best = dict.fromkeys([stage.name for stage in all_stages], float("inf"))
        for _ in range(rounds):
            for stage in all_stages:
                best[stage.name] = min(best[stage.name], await measure(broker, stage))
    for name, seconds in best.items():
        print(f"{name:44} {seconds * 1e6:8.1f} µs")


@click.command()
@click.option("--log", "kind", type=click.Choice(["memory", "sqlite"]), default="memory", show_default=True)
@click.option("--events", type=int, default=20_000, show_default=True, help="Events in a round.")
@click.option("--rounds", type=int, default=5, show_default=True, help="Rounds, of which the best counts.")
def main(kind: str, events: int, rounds: int) -> None:
    """Measure the CPU time of publishing one event, stage by stage."""
    gc.disable()  # a server collects seldom
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        trio.run(run, kind, events, rounds, Path(name))


if __name__ == "__main__":
    main()
