"""One run: the clients, the rounds of the nemesis, and the checks after each part."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import trio

from tests.chaos.check_events import check_events
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.history import END_TOPIC, ReaderHistory, Violation
from tests.chaos.parts import come_to_rest, look_at_tasks, new_history, replay
from tests.chaos.plan import Plan, Report
from tests.chaos.preload import preloading
from tests.chaos.proxy import Proxy
from tests.chaos.publishers import Publisher
from tests.chaos.readers import PollReader, Reader, SSEReader, WebSocketReader
from tests.chaos.redis_faults import REDIS_FAULTS
from tests.chaos.redis_side import redis_side
from tests.chaos.server import ServerFailed, launched
from tests.chaos.server_log import unexpected_error
from tests.chaos.story import tell
from tests.chaos.task_clients import Worker
from tests.chaos.world import World

PUBLISHERS: Final = 4
WORKERS: Final = 2
ROUND_SECONDS: Final = 60  # without progress for so long, the run fails
_SHOWN_CHARS: Final = 2000  # of the server's log
_SERVICES: Final = ("research", "sentiment", "strategy", "brand_monitor", "purchase_orders")
_SETTINGS: Final[dict[str, object]] = {
    **{f"{name}__enabled": "false" for name in _SERVICES},
    # Nothing is dropped for its age or number.
    "log__max_events": 10_000_000,
    "log__topic_max_events": 10_000_000,
    "log__max_bytes": 1 << 40,
    "log__topic_max_bytes": 1 << 40,
    # A small ring, small pages and queues: readers read the log often.
    "tuning__hub__ring_events": 12,
    "tuning__hub__batch_events": 8,
    "tuning__hub__send_queue_events": 32,
    "server__drain_seconds": 0.1,
    "tuning__server__grace_seconds": 0.1,
    "logging__level": "warning",
}


class Run:
    """A run of a plan; see :meth:`run`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._report = Report()
        self._part = 0
        self._readers: list[Reader] = []
        self._task_ids: set[str] = set()

    async def run(self) -> Report:
        """Run all rounds, or up to the first part with a violation."""
        began = trio.current_time()
        try:
            async with self._world() as world:
                await self._rounds(world)
        except* ServerFailed as failures:
            self._add(Violation("server", f"{_leaf(failures)}\n{self._last_lines()}"), None)
        self._report.seconds = trio.current_time() - began
        return self._report

    @asynccontextmanager
    async def _world(self) -> AsyncIterator[World]:
        """Start the server, the proxy and the clients."""
        plan = self._plan
        async with AsyncExitStack() as stack:
            preload = stack.enter_context(preloading(plan.folder))
            redis = stack.enter_context(redis_side(plan.log, plan.folder))
            log = plan.log.format(folder=plan.folder) if redis is None else redis.url
            servers = []
            for number in range(plan.nodes):
                store = f"sqlite:{plan.folder}/streamd{number or ''}.db"
                command = ["serve", "--bind", "127.0.0.1:0", "--log", log, "--store", store]
                if plan.fault is not None:
                    command += ["--app", "tests.chaos.sabotaged:make_app"]
                servers.append(
                    await stack.enter_async_context(
                        launched(plan.folder, preload, command, _SETTINGS, self._variables())
                    )
                )
            for server in servers:
                await server.start()
            history = new_history(self._part, durable=plan.is_durable)
            rng = random.Random(plan.seed)
            world = World(
                plan.seed,
                servers,
                Proxy(lambda: rng.choice([each for each in servers if each.up.is_set()] or servers).port),
                Proxy(lambda: servers[0].port),
                history,
                redis,
            )
            history.lives = world.lives
            async with trio.open_nursery() as nursery:
                for proxy in world.proxies:
                    await nursery.start(proxy.run)
                self._start_clients(world, nursery)
                yield world
                nursery.cancel_scope.cancel()

    def _variables(self) -> dict[str, str]:
        if self._plan.fault is None:
            return {}
        return {"CHAOS_FAULT": self._plan.fault, "CHAOS_RATE": str(self._plan.rate)}

    def _start_clients(self, world: World, nursery: trio.Nursery) -> None:
        self._readers = [
            SSEReader(world, ReaderHistory("sse topics", ("chaos/a", "chaos/b"))),
            SSEReader(world, ReaderHistory("sse pattern", patterns=("chaos/*",))),
            SSEReader(world, ReaderHistory("sse leaving", ("chaos/c",), ("chaos/**",)), leaves=True),
            PollReader(world, ReaderHistory("poll topics", ("chaos/d", "chaos/e"))),
            PollReader(world, ReaderHistory("poll pattern", patterns=("chaos/**",))),
            WebSocketReader(world, ReaderHistory("websocket", ("chaos/f",), ("*/a",))),
            SSEReader(world, ReaderHistory("tasks", patterns=("tasks/**",))),
        ]
        for reader in self._readers:
            reader.history.topics += (END_TOPIC,)
            world.history.readers.append(reader.history)
            nursery.start_soon(reader.run)
        for number in range(PUBLISHERS):
            nursery.start_soon(Publisher(world, f"p{number}").run)
        for number in range(WORKERS):
            nursery.start_soon(Worker(world, f"w{number}", nursery).run)

    # --- rounds -------------------------------------------------------------------------------

    async def _rounds(self, world: World) -> None:
        plan, report = self._plan, self._report
        rng = world.rng("nemesis")
        faults = self._available(world)
        await self._until_readers_began(world)
        while report.rounds < plan.rounds and not self._enough_kills() and not report.violations:
            world.gate.open()
            for _ in range(min(plan.part_rounds, plan.rounds - report.rounds)):
                world.number_of_round = report.rounds
                if not await self._round(world, faults, rng):
                    return
                if self._enough_kills():
                    break
            await self._end_part(world)

    def _enough_kills(self) -> bool:
        return self._plan.kills is not None and self._report.kills >= self._plan.kills

    def _available(self, world: World) -> list[Fault]:
        available = []
        for fault in FAULTS if world.redis is None else REDIS_FAULTS:
            if self._plan.only and fault.name not in self._plan.only:
                continue
            if reason := fault.unavailable(world):
                self._plan.say(f"skipped: {fault.name}: {reason}")
            else:
                available.append(fault)
        return available

    async def _round(self, world: World, faults: list[Fault], rng: random.Random) -> bool:
        """Run one round; return False if nothing moves any more."""
        report = self._report
        [fault] = rng.choices(faults, [fault.weight for fault in faults])
        world.server = rng.choice(world.servers)
        lives = len(world.server.lives)
        with trio.move_on_after(ROUND_SECONDS) as scope:
            await fault.inject(world, rng)
        if scope.cancelled_caught:
            text = f"round {report.rounds} ({fault.name}) made no progress for {ROUND_SECONDS} s"
            text += f"\n{self._last_lines()}"
            self._add(Violation("stuck", text), world)
            return False
        report.rounds += 1
        report.kills += len(world.server.lives) - lives if fault.name != "terminate" else 0
        report.faults[fault.name] = report.faults.get(fault.name, 0) + 1
        return True

    async def _until_readers_began(self, world: World) -> None:
        with trio.fail_after(ROUND_SECONDS):
            await world.until(lambda: all(reader.history.start is not None for reader in self._readers))

    # --- the end of a part --------------------------------------------------------------------

    async def _end_part(self, world: World) -> None:
        """Let the clients finish, check what they saw, and begin the next part."""
        with trio.move_on_after(ROUND_SECONDS) as scope:
            await come_to_rest(world, self._readers)
            await replay(world, min(str(reader.history.start) for reader in self._readers))
        if scope.cancelled_caught:
            self._plan.say(f"the part did not come to its end within {ROUND_SECONDS} s")
        for violation in await look_at_tasks(world, self._readers[-1], self._task_ids):
            self._add(violation, world)
        for note in world.notes:
            self._add(Violation("answer", note), world)
        for violation in check_events(world.history):
            self._add(violation, world)
        self._check_log()
        self._report.count(world.history, world.tasks)
        if not self._report.violations:
            end_token = world.history.end_token
            self._part += 1
            world.history = new_history(self._part, world, durable=world.history.durable)
            world.history.readers = [reader.begin_part(end_token) for reader in self._readers]
            world.tasks = []

    def _check_log(self) -> None:
        """Check that the server logged no error that it did not expect."""
        text = (self._plan.folder / "server.log").read_text(errors="replace")
        if (found := unexpected_error(text)) is not None:
            self._add(Violation("error", found[-_SHOWN_CHARS:]), None)

    def _add(self, violation: Violation, world: World | None) -> None:
        story = tell(violation, world.history) if world is not None else f"{violation.kind}: {violation.text}"
        self._report.violations.append((violation, story))

    def _last_lines(self) -> str:
        """Return the end of the server's log."""
        text = (self._plan.folder / "server.log").read_text(errors="replace")
        return (unexpected_error(text) or text)[-_SHOWN_CHARS:]


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
