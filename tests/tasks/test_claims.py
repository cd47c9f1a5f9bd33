"""Waiting claims: one is woken for each task, in the order of their arrival, and no task is left behind."""

import random
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
import trio
import trio.testing

from streamd.errors import Unavailable
from streamd.tasks import ClaimedTask, Kind, Status, Tasks
from streamd.tasks.claims import ClaimQueue
from streamd.tasks.model import Operation
from streamd.tasks.store.memory import MemoryTaskStore
from streamd.tasks.store.port import TaskStore
from streamd.tasks.store.redis import RedisTaskStore
from tests.support.local_work import CountingStore
from tests.support.task_rig import make_rig, publishing, run_rig
from tests.support.task_stores import STORES

Clock = trio.testing.MockClock

FAR = 60  # longer than any claim of these tests waits (s)


class GatedStore(MemoryTaskStore):
    """A store whose claims can be held up before they look, or fail.

    Attributes:
        gate: claims wait until it is set.
        failures: number of claims still to fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = trio.Event()
        self.gate.set()
        self.failures = 0

    async def claim(self, kinds: Collection[str], operation: Operation) -> ClaimedTask | None:
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise Unavailable("the disk is away")
        return await super().claim(kinds, operation)


class Workers:
    """Workers elsewhere that wait for a task.

    Attributes:
        got: the task of each worker, in the order of the claims' ends.
        failed: the workers whose claims failed.
    """

    def __init__(self, tasks: Tasks, nursery: trio.Nursery) -> None:
        self._tasks = tasks
        self._nursery = nursery
        self.got: dict[str, str] = {}
        self.failed: list[str] = []

    async def begin(
        self, *names: str, kinds: Collection[str] = ("k",), wait_seconds: float = FAR
    ) -> list[trio.CancelScope]:
        """Begin to wait, in the order of the names; return what cancels each claim."""
        scopes = []
        for name in names:
            scopes.append(await self._nursery.start(self.claim, name, kinds, wait_seconds))
            await trio.testing.wait_all_tasks_blocked()
        return scopes

    async def claim(
        self,
        name: str,
        kinds: Collection[str],
        wait_seconds: float,
        task_status: trio.TaskStatus[trio.CancelScope],
    ) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            try:
                claimed = await self._tasks.claim(kinds, name, wait_seconds=wait_seconds)
            except Unavailable:
                self.failed.append(name)
                return
            if claimed is not None:
                self.got[name] = claimed.task.id


async def test_of_600_waiting_claims_a_task_wakes_the_first_alone(autojump_clock: Clock) -> None:
    store = CountingStore()
    tasks = make_rig(store=store).tasks
    async with trio.open_nursery() as nursery:
        workers = Workers(tasks, nursery)
        for n in range(600):
            await nursery.start(workers.claim, f"w{n}", ("k",), FAR)
        await trio.testing.wait_all_tasks_blocked()
        store.calls.clear()
        await tasks.create("k", id="t")
        await trio.testing.wait_all_tasks_blocked()
        assert store.calls.count("claim") == 1
        assert len(workers.got) == 1
        for n in range(1, 10):
            await tasks.create("k", id=f"t{n}")
        await trio.testing.wait_all_tasks_blocked()
        assert store.calls.count("claim") == 10
        assert len(workers.got) == 10
        nursery.cancel_scope.cancel()


async def test_waiting_claims_are_served_in_the_order_of_their_arrival(autojump_clock: Clock) -> None:
    tasks = make_rig().tasks
    async with trio.open_nursery() as nursery:
        workers = Workers(tasks, nursery)
        await workers.begin("a")
        await workers.begin("b", kinds=("j",))
        await workers.begin("c", kinds=("j", "k", "j"))
        await workers.begin("d")
        for task_id, kind in (("k1", "k"), ("k2", "k"), ("j1", "j"), ("k3", "k")):
            await tasks.create(kind, id=task_id)
            await trio.testing.wait_all_tasks_blocked()
        assert list(workers.got.items()) == [("a", "k1"), ("c", "k2"), ("b", "j1"), ("d", "k3")]


async def test_a_claim_that_another_one_overtook_keeps_its_position(autojump_clock: Clock) -> None:
    store = GatedStore()
    tasks = make_rig(store=store).tasks
    async with trio.open_nursery() as nursery:
        workers = Workers(tasks, nursery)
        await workers.begin("a", "b")
        store.gate = trio.Event()
        await tasks.create("k", id="t1")
        await trio.testing.wait_all_tasks_blocked()
        assert await MemoryTaskStore.claim(store, ["k"], lambda task: []) is not None
        await tasks.cancel("t1")  # as a claim on another node would take it
        store.gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert not workers.got
        await tasks.create("k", id="t2")
        await trio.testing.wait_all_tasks_blocked()
        assert workers.got == {"a": "t2"}
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("by", ["timeout", "cancellation"])
async def test_a_woken_claim_that_ends_passes_its_task_on(autojump_clock: Clock, by: str) -> None:
    tasks = make_rig().tasks
    async with trio.open_nursery() as nursery:
        workers = Workers(tasks, nursery)
        [scope] = await workers.begin("a", wait_seconds=5)
        await workers.begin("b")
        if by == "timeout":
            await trio.sleep_until(5)  # now the claim and this test go on in the same pass
        else:
            scope.cancel()
        await tasks.create("k", id="t")
        await trio.testing.wait_all_tasks_blocked()
        assert [*workers.got.values()] == ["t"]
        nursery.cancel_scope.cancel()


async def test_a_claim_that_fails_passes_its_task_on(autojump_clock: Clock) -> None:
    store = GatedStore()
    tasks = make_rig(store=store).tasks
    async with trio.open_nursery() as nursery:
        workers = Workers(tasks, nursery)
        await workers.begin("a", "b", "c")
        store.failures = 2
        await tasks.create("k", id="t")
        await trio.testing.wait_all_tasks_blocked()
        assert (workers.failed, workers.got) == (["a", "b"], {"c": "t"})


async def test_a_task_that_comes_while_all_claims_look_is_not_left_behind(autojump_clock: Clock) -> None:
    store = GatedStore()
    tasks = make_rig(store=store).tasks
    async with trio.open_nursery() as nursery:
        workers = Workers(tasks, nursery)
        await workers.begin("a", "b", "c")
        store.gate = trio.Event()
        for n in range(6):  # twice as many as there are claims
            await tasks.create("k", id=f"t{n}")
            await trio.testing.wait_all_tasks_blocked()
        await workers.begin("d", "e", "f")
        store.gate.set()
    assert sorted(workers.got.values()) == [f"t{n}" for n in range(6)]


async def test_claims_of_tasks_whose_kinds_are_unknown_are_woken_by_kind(autojump_clock: Clock) -> None:
    store = MemoryTaskStore()
    tasks, other = make_rig(store=store).tasks, make_rig(store=store).tasks
    async with trio.open_nursery() as nursery:
        workers = Workers(tasks, nursery)
        await workers.begin("a", "b")
        await workers.begin("c", kinds=("j",))
        await other.create("j", id="j1")
        await other.create("k", id="k1")
        assert not workers.got
        tasks.offer()
        await trio.testing.wait_all_tasks_blocked()
        assert workers.got == {"c": "j1", "a": "k1"}
        nursery.cancel_scope.cancel()


async def test_as_many_tasks_as_waiting_claims_wake_each_of_them_once(autojump_clock: Clock) -> None:
    queue = ClaimQueue()
    with queue.join(["k"]) as first, queue.join(["k"]) as second:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.wait)
            nursery.start_soon(second.wait)
            await trio.testing.wait_all_tasks_blocked()
            queue.offer("k", 2)
        assert (dict(first.offers), dict(second.offers)) == ({"k": 1}, {"k": 1})
        first.offers.clear()
        second.offers.clear()
        queue.offer("k", 0)
        assert not first.offers


def test_the_queue_keeps_nothing_of_claims_that_left() -> None:
    queue = ClaimQueue()
    with queue.join(["a", "b", "a"]) as first:
        queue.offer("a", 3)
        assert first.offers == {"a": 3}
        with queue.join(["a"]) as second:
            queue.offer("b")
        assert not second.offers
    queue.offer("a")
    queue.offer_all()
    assert not queue._by_kind


@pytest.mark.parametrize("seed", range(20))
async def test_no_task_stays_pending_beside_a_waiting_claim(autojump_clock: Clock, seed: int) -> None:
    """Claims come, are cancelled, time out and fail at any moment; tasks come in bursts."""
    chance = random.Random(seed)
    store = GatedStore()
    tasks = make_rig(store=store).tasks
    kinds = ("x", "y", "z")
    created = 0
    async with trio.open_nursery() as nursery:
        workers = Workers(tasks, nursery)
        scopes: list[trio.CancelScope] = []
        for n in range(300):
            match chance.randrange(6):
                case 0 | 1:
                    some = chance.sample(kinds, chance.randint(1, 3))
                    wait_seconds = chance.choice([0, 1, FAR])
                    scopes.append(await nursery.start(workers.claim, f"w{n}", some, wait_seconds))
                case 2:
                    for _ in range(chance.randint(1, 3)):
                        await tasks.create(chance.choice(kinds))
                        created += 1
                case 3 if scopes:
                    chance.choice(scopes).cancel()
                case 4:
                    store.failures = chance.choice([0, 0, 1])
                case _:
                    await trio.sleep(chance.choice([0, 0.5, 1]))
        store.failures = 0
        await trio.testing.wait_all_tasks_blocked()
        pending = {task.kind for task in await tasks.list(status=Status.PENDING, limit=1000)}
        assert not {kind for kind in pending if kind in tasks._claims._by_kind}
        running = await tasks.list(status=Status.RUNNING, limit=1000)
        assert {task.id for task in running} == set(workers.got.values())
        assert created >= len(running) > 0
        nursery.cancel_scope.cancel()


# --- every store ------------------------------------------------------------------------------------


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaskStore]:
    async with STORES[request.param](tmp_path) as store:
        yield store


async def test_every_waiting_claim_gets_a_task_of_its_own(store: TaskStore) -> None:
    rig = make_rig(store=store)
    claims = 20
    async with publishing(rig), trio.open_nursery() as nursery:
        workers = Workers(rig.tasks, nursery)
        for n in range(claims):
            await nursery.start(workers.claim, f"w{n}", ("k",), FAR)
        with trio.fail_after(FAR):
            for n in range(claims):
                await rig.tasks.create("k", id=f"t{n}")
            while len(workers.got) < claims:
                await trio.lowlevel.checkpoint()
    assert sorted(workers.got.values()) == sorted(f"t{n}" for n in range(claims))


async def test_a_kind_of_this_process_starts_a_task_of_every_store(store: TaskStore) -> None:
    async def work(progress: object) -> int:
        return 1

    shared = {"log": store.log} if isinstance(store, RedisTaskStore) else {}
    kinds = [Kind(name=name, work=work) for name in ("a", "b")]
    async with run_rig(store=store, kinds=kinds, **shared) as rig:
        with trio.fail_after(FAR):
            for n in range(10):
                await rig.tasks.create("ab"[n % 2], id=f"t{n}")
            for n in range(10):
                assert (await rig.ended(f"t{n}")).status is Status.COMPLETED
