"""Random operations, failures, restarts and steps of the wall clock.

Each task ends once, no version is lost or repeated, and no time runs backwards.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import trio
import trio.testing
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from streamd.clock import ClockRecord, SteadyClock
from streamd.database import MEMORY
from streamd.errors import StreamdError, Unavailable
from streamd.tasks import (
    Kind,
    Message,
    Progress,
    Publication,
    StepFailed,
    StepPlan,
    StepStatus,
    Task,
    WorkFailed,
    operations,
)
from streamd.tasks.reports import Report, ReportedFailure, StepReport
from streamd.tasks.store.memory import MemoryTaskStore
from streamd.tasks.store.port import TaskStore
from streamd.tasks.store.redis import RedisTaskStore
from tests.support.clocks import WallClock
from tests.support.redis_servers import new_prefix
from tests.support.task_rig import FailingLog, Rig, check_history, make_rig, running
from tests.support.task_stores import open_redis, open_sqlite

STEPS = ("a", "b", "c")
TASKS = st.integers(0, 5)
FIGURES = st.sampled_from([None, 0, 1, 12.5, 50, 99.9, 100])
INSTRUCTIONS = st.sampled_from(
    ["say 10", "say 90", "say 30", "step a", "step b", "lose c", "wait", "fail", "break", "return", "hang"]
)


async def work(progress: Progress) -> Any:
    """Follow the instructions in the input."""
    for instruction in progress.input:
        match instruction.split():
            case ["say", figure]:
                await progress.update(progress=float(figure), text=figure)
            case ["step", name]:
                async with progress.step(name) as step:
                    await step.update(50)
            case ["lose", name]:
                async with progress.step(name):
                    raise StepFailed("not found")
            case ["wait"]:
                await trio.sleep(1)
            case ["fail"]:
                raise WorkFailed("cannot be done")
            case ["break"]:
                raise ZeroDivisionError
            case ["hang"]:
                await trio.sleep_forever()
            case _:
                return {"worked": True}
    return None


def publish_twice(task: Task, message: Message) -> list[Publication]:
    """Publish each message on a second topic as well, before the task's own event."""
    return [Publication((f"copy:{task.id}",), message), Publication((task.topic,), message)]


class World:
    """A system with numbered tasks, and the actions on them. An action may be rejected, and nothing worse.

    Args:
        stores: the store, or one for each node of several, which take turns.
    """

    def __init__(self, stores: Sequence[TaskStore]) -> None:
        self.log = FailingLog()
        self.wall = WallClock()
        self.clock = SteadyClock(self.wall)
        self.stores = stores
        self.ids: list[str] = []
        self.leases: dict[str, str] = {}
        self.noted: dict[str, int] = {}  # calls of Kind.ended, of which every third fails
        self.calls = 0
        self.rigs = self._make()
        self.turns = 0
        self.restart = trio.Event()

    @property
    def rig(self) -> Rig:
        """The next node."""
        self.turns += 1
        return self.rigs[self.turns % len(self.rigs)]

    def _make(self) -> list[Rig]:
        kinds = [
            Kind(name="local", work=work),
            Kind(name="remote", present=publish_twice, ended=self.note_end),
        ]
        return [
            make_rig(
                store=store,
                log=store.log if isinstance(store, RedisTaskStore) else self.log,
                clock=self.clock,
                kinds=kinds,
                max_running=3,
            )
            for store in self.stores
        ]

    async def note_end(self, task: Task) -> None:
        self.calls += 1
        if self.calls % 3 == 0:
            raise Unavailable("not this time")
        self.noted[task.id] = self.noted.get(task.id, 0) + 1

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the system; after each restart, a new one with the same store and log."""
        while True:
            self.restart = trio.Event()
            async with AsyncExitStack() as stack:
                for rig in self.rigs:
                    await stack.enter_async_context(running(rig))
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await self.restart.wait()
            record = ClockRecord(self.clock.now(), self.clock.offset())
            self.clock = SteadyClock(self.wall)
            self.clock.resume(record)
            self.rigs = self._make()

    def _id(self, number: int) -> str:
        return self.ids[number % len(self.ids)] if self.ids else "nobody"

    async def create_local(self, instructions: Sequence[str], timeout: float) -> None:
        task = await self.rig.tasks.create("local", input=list(instructions), timeout_seconds=timeout)
        self.ids.append(task.id)

    async def create_remote(self, planned: int, worker: bool, timeout: float) -> None:
        task = await self.rig.tasks.create(
            "remote",
            steps=[StepPlan(name, 1 + n) for n, name in enumerate(STEPS[:planned])],
            worker="me" if worker else None,
            timeout_seconds=timeout,
        )
        self.ids.append(task.id)
        self.leases[task.id] = task.lease

    async def claim(self) -> None:
        claimed = await self.rig.tasks.claim(["remote"], "me")
        if claimed is not None:
            self.leases[claimed.task.id] = claimed.task.lease

    async def report(self, number: int, report: dict[str, Any], wrong_lease: bool) -> None:
        task_id = self._id(number)
        lease = "wrong" if wrong_lease else self.leases.get(task_id, "")
        await self.rig.tasks.report(task_id, Report(lease=lease, **report))

    async def update(self, number: int, figure: float) -> None:
        tasks = self.rig.tasks
        await tasks.perform(
            self._id(number), lambda task: [operations.update(task, tasks.now(), progress=figure)]
        )

    async def end(self, number: int, how: str) -> None:
        tasks, task_id = self.rig.tasks, self._id(number)
        if how == "cancel":
            await tasks.cancel(task_id)
        elif how == "fail":
            await tasks.fail(task_id, "so it is")
        else:
            await tasks.complete(task_id, [1, 2])

    async def end_step(self, number: int, name: str, status: StepStatus) -> None:
        tasks = self.rig.tasks
        await tasks.perform(
            self._id(number), lambda task: [operations.end_step(task, tasks.now(), name, status)]
        )

    async def pass_time(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def set_clock(self, seconds: float) -> None:
        self.wall.step(seconds)

    async def break_log(self, before: int, after: int) -> None:
        self.log.fail_before, self.log.fail_after = before, after

    async def begin_again(self) -> None:
        self.restart.set()


Action = Callable[[World], Awaitable[None]]


def action(method: Callable[..., Awaitable[None]], **arguments: st.SearchStrategy[Any]) -> Any:
    return st.fixed_dictionaries(arguments).map(
        lambda values: partial(lambda world, values: method(world, **values), values=values)
    )


REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "progress": FIGURES,
        "text": st.just("text "),
        "step": st.builds(
            StepReport,
            st.sampled_from(STEPS),
            st.sampled_from(["running", "completed", "failed", "skipped"]),
            FIGURES,
        ),
    },
)
ENDS = st.one_of(
    st.just({"status": "completed", "result": 1}),
    st.just({"status": "failed", "error": ReportedFailure("no")}),
    st.just({"status": "cancelled"}),
)
TIMEOUTS = st.sampled_from([0.5, 5.0, 60.0, 500.0])
ACTIONS: st.SearchStrategy[Action] = st.one_of(
    action(World.create_local, instructions=st.lists(INSTRUCTIONS, max_size=6), timeout=TIMEOUTS),
    action(World.create_remote, planned=st.integers(0, 3), worker=st.booleans(), timeout=TIMEOUTS),
    action(World.claim),
    action(World.report, number=TASKS, report=REPORTS, wrong_lease=st.just(False)),
    action(World.report, number=TASKS, report=REPORTS, wrong_lease=st.just(False)),
    action(World.report, number=TASKS, report=ENDS, wrong_lease=st.booleans()),
    action(World.update, number=TASKS, figure=st.sampled_from([0, 33, 66, 100])),
    action(World.end, number=TASKS, how=st.sampled_from(["cancel", "fail", "complete"])),
    action(
        World.end_step,
        number=TASKS,
        name=st.sampled_from(STEPS),
        status=st.sampled_from([StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED]),
    ),
    action(World.pass_time, seconds=st.sampled_from([0.1, 2.0, 20.0, 40.0])),
    action(World.set_clock, seconds=st.sampled_from([-86_400, -3600, -0.3, 0.3, 120, 86_400])),
    action(World.break_log, before=st.integers(0, 3), after=st.integers(0, 3)),
    action(World.begin_again),
)


async def do(world: World, action: Action) -> None:
    try:
        await action(world)
    except StreamdError:
        pass  # rejected, because the state of the task or the step does not allow it


async def live(rounds: Sequence[Sequence[Action]], *stores: TaskStore) -> None:
    world = World(stores)
    async with trio.open_nursery() as outer:
        await outer.start(world.run)
        for actions in rounds:
            async with trio.open_nursery() as nursery:  # the actions of one round are concurrent
                for action in actions:
                    nursery.start_soon(do, world, action)
        world.log.fail_before = world.log.fail_after = 0
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(3600)  # every deadline has passed
        for task_id in world.ids:
            await world.rig.ended(task_id)
        await world.rig.drained()
        for task_id in world.ids:
            events = await world.rig.published(task_id)
            check_history(events, task_id)
            task = await world.rig.tasks.get(task_id)
            assert task.status.ended
            assert task.version == len(events)
            if task.kind == "remote":
                copies = await world.rig.published_on(f"copy:{task_id}")
                assert [copy.value for copy in copies] == [event.value for event in events]
                assert world.noted[task_id] >= 1
        outer.cancel_scope.cancel()


@asynccontextmanager
async def in_memory() -> AsyncIterator[TaskStore]:
    yield MemoryTaskStore()


ROUNDS = st.lists(st.lists(ACTIONS, min_size=1, max_size=4), max_size=12)


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(ROUNDS)
def test_each_task_ends_once_in_memory(rounds: Sequence[Sequence[Action]]) -> None:
    async def main() -> None:
        async with in_memory() as store:
            await live(rounds, store)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(ROUNDS)
def test_each_task_ends_once_in_sqlite(rounds: Sequence[Sequence[Action]]) -> None:
    async def main() -> None:
        async with open_sqlite(MEMORY) as store:
            await live(rounds, store)

    # A short wait for the database's thread must not let the clock jump.
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.005))


@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(ROUNDS)
def test_each_task_ends_once_on_two_nodes(rounds: Sequence[Sequence[Action]]) -> None:
    clock = trio.testing.MockClock(rate=1)

    async def main() -> None:
        prefix = new_prefix()
        async with open_redis(prefix) as one, open_redis(prefix) as other:
            clock.rate, clock.autojump_threshold = 0, 0.01  # connecting has timeouts, which must not jump
            await live(rounds, one, other)

    trio.run(main, clock=clock)
