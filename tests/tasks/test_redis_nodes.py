"""Several nodes on one Redis: a task is claimed once, fails once, and looks the same on each node."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from streamd.errors import Gone, InsufficientStorage, InvalidTransition, LeaseLost
from streamd.events import Draft
from streamd.log.redis.access import RedisAccess
from streamd.tasks import Kind, Progress, Status, Task
from streamd.tasks.model import Change
from streamd.tasks.store.port import Bounds
from streamd.tasks.store.redis import RedisTaskStore
from tests.support.clocks import at
from tests.support.local_work import local
from tests.support.logs import redis_log
from tests.support.redis_proxy import lossy_proxy
from tests.support.redis_servers import new_prefix
from tests.support.stream_follower import SourceFollower, begin, check_stream, follow, run_to_end, update
from tests.support.task_rig import Rig, SetClock, check_history, make_rig, run_redis_rig
from tests.support.task_stores import (
    completing,
    contents_of,
    creating,
    open_redis,
    publish_all,
    starting,
    store_task,
    updating,
    waiting_versions,
)

FAR = 30  # timeout of a test that waits for another node (s)
YEARS = (
    10**8
)  # timeout of a stored task whose nodes have the present time: it was created in January 2026 (s)


@pytest.fixture
def prefix() -> str:
    return new_prefix()


@asynccontextmanager
async def two_stores(prefix: str) -> AsyncIterator[tuple[RedisTaskStore, RedisTaskStore]]:
    async with open_redis(prefix) as one, open_redis(prefix) as other:
        yield one, other


@asynccontextmanager
async def two_nodes(prefix: str, **parts: Any) -> AsyncIterator[tuple[Rig, Rig]]:
    async with run_redis_rig(prefix, **parts) as one, run_redis_rig(prefix, **parts) as other:
        yield one, other


# --- the store ------------------------------------------------------------------------------------


async def test_each_node_sees_what_another_has_stored(prefix: str) -> None:
    async with two_stores(prefix) as (one, other):
        await store_task(one, "a", starting(), updating(text="text", fields={"x": [1]}), completing())
        await store_task(other, "b", starting(), owner="o", raw_input=b"[1]")
        assert await contents_of(one) == await contents_of(other)
        await publish_all(other)
        assert await one.outbox_depth() == 0
        bounds = Bounds(keep_seconds=1, max_kept=10)
        expired = await other.expire(at(10), {}, bounds, tombstone_seconds=1, max_tombstones=10)
        assert [task.id for task in expired] == ["a"]
        with pytest.raises(Gone):
            await one.get("a")


async def test_only_one_node_claims_a_task(prefix: str) -> None:
    claimed: list[str] = []
    async with two_stores(prefix) as stores:
        for n in range(20):
            await store_task(stores[0], f"t{n}")

        async def claim(store: RedisTaskStore, worker: str) -> None:
            while (task := await store.claim(["k"], starting(worker=worker))) is not None:
                claimed.append(task.task.id)
                assert (await stores[0].get(task.task.id)).worker == worker

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(claim, stores[number % 2], f"w{number}")
    assert sorted(claimed) == sorted(f"t{n}" for n in range(20))


async def test_changes_of_several_nodes_are_serialized(prefix: str) -> None:
    async with two_stores(prefix) as stores:
        await store_task(stores[0], "t", starting())
        async with trio.open_nursery() as nursery:
            for n in range(20):
                nursery.start_soon(stores[n % 2].change, "t", updating(text=f"{n},"))
        assert (await stores[0].get("t")).version == 22
        assert await waiting_versions(stores[1]) == [("t", version) for version in range(1, 23)]
        said = [row.message.data["text_delta"] for row in (await stores[0].unpublished(99))[2:]]
        assert (await stores[1].snapshot("t")).text == "".join(said)


class OvertakenAccess(RedisAccess):
    """The access of a node: another node changes something between its decision and the next write.

    Attributes:
        overtake: changes it; called once.
    """

    def __init__(self, access: RedisAccess) -> None:
        vars(self).update(vars(access))
        self.overtake: Callable[[], Awaitable[Any]] | None = None

    async def append_with(
        self, script: Any, arguments: Sequence[Any], drafts: Sequence[tuple[Draft, str]]
    ) -> Any:
        overtake, self.overtake = self.overtake, None
        if overtake is not None:
            await overtake()
        return await super().append_with(script, arguments, drafts)


@asynccontextmanager
async def overtaken(prefix: str) -> AsyncIterator[tuple[OvertakenAccess, RedisTaskStore, RedisTaskStore]]:
    async with redis_log(prefix) as log, open_redis(prefix) as other:
        log.access = access = OvertakenAccess(log.access)
        yield access, RedisTaskStore(log), other


async def test_a_change_that_another_node_has_overtaken_is_decided_again(prefix: str) -> None:
    seen: list[int] = []

    def decide(task: Task) -> Sequence[Change]:
        seen.append(task.version)
        return updating(text="two")(task)

    async with overtaken(prefix) as (access, store, other):
        await store_task(store, "t", starting())
        access.overtake = lambda: other.change("t", updating(text="one "))
        assert (await store.change("t", decide)).version == 4
        assert seen == [2, 3]
        assert (await store.snapshot("t")).text == "one two"
        access.overtake = lambda: other.change("t", completing())
        with pytest.raises(InvalidTransition):
            await store.change("t", updating())
        assert (await store.get("t")).status is Status.COMPLETED


async def test_a_renewal_on_another_node_is_part_of_the_decision(prefix: str) -> None:
    async with overtaken(prefix) as (access, store, other):
        await store_task(store, "t", starting())
        access.overtake = lambda: other.renew(["t"], at(500))
        assert (await store.change("t", updating())).lease_until == at(500)


async def test_a_claim_that_was_overtaken_takes_the_next_task(prefix: str) -> None:
    async with overtaken(prefix) as (access, store, other):
        for task_id in ("a", "b"):
            await store_task(store, task_id)
        access.overtake = lambda: other.claim(["k"], starting(worker="other"))
        claimed = await store.claim(["k"], starting(worker="me"))
        assert claimed is not None
        assert (claimed.task.id, claimed.task.version) == ("b", 2)
        assert (await store.get("a")).worker == "other"


async def test_a_new_task_of_the_same_id_is_not_taken_for_the_old_one(prefix: str) -> None:
    async with overtaken(prefix) as (access, store, other):

        async def replace() -> None:
            await delete(other, max_tombstones=0)
            await store_task(other, "t", starting(worker="new"))

        await store_task(store, "t", starting())
        access.overtake = replace
        assert (await store.change("t", updating())).worker == "new"
        access.overtake = lambda: delete(other, max_tombstones=1)
        with pytest.raises(Gone):
            await store.change("t", updating())


async def delete(store: RedisTaskStore, max_tombstones: int) -> None:
    """End the task ``t``, and let it expire."""
    await store.change("t", completing())
    await publish_all(store)
    bounds = Bounds(keep_seconds=1, max_kept=10)
    expired = await store.expire(at(900), {}, bounds, tombstone_seconds=1000, max_tombstones=max_tombstones)
    assert [task.id for task in expired] == ["t"]


# --- lost replies ---------------------------------------------------------------------------------


async def test_a_change_whose_reply_was_lost_is_made_once(prefix: str, tmp_path: Path) -> None:
    decisions: list[int] = []

    def decide(task: Task) -> Sequence[Change]:
        decisions.append(task.version)
        return updating(text="the lost one,")(task)

    async with lossy_proxy(tmp_path) as proxy, open_redis(prefix, proxy.address) as store:
        await store_task(store, "t", starting())
        proxy.loses = b"the lost one"
        assert (await store.change("t", decide)).version == 3
        assert (await store.change("t", updating(text="and the next"))).version == 4
        assert (proxy.lost, decisions) == (1, [2])
        assert (await store.snapshot("t")).text == "the lost one,and the next"
        assert await waiting_versions(store) == [("t", version) for version in (1, 2, 3, 4)]


async def test_a_task_whose_reply_was_lost_is_created_and_claimed_once(prefix: str, tmp_path: Path) -> None:
    async with lossy_proxy(tmp_path) as proxy, open_redis(prefix, proxy.address) as store:
        proxy.loses = b"the lost message"
        assert (
            await store.create([creating("t", message="the lost message")], max_unfinished=1, max_tasks=1000)
            is None
        )
        proxy.loses = b"the lost worker"
        claimed = await store.claim(["k"], starting(worker="the lost worker"))
        assert claimed is not None
        assert (claimed.task.id, claimed.task.version, proxy.lost) == ("t", 2, 2)
        assert await store.claim(["k"], starting()) is None
        assert await waiting_versions(store) == [("t", 1), ("t", 2)]


async def test_an_event_whose_reply_was_lost_is_appended_once(prefix: str, tmp_path: Path) -> None:
    async with lossy_proxy(tmp_path) as proxy, open_redis(prefix, proxy.address) as store:
        rig = make_rig(store=store, now=SetClock())
        task = await begin(rig)
        proxy.loses = b"the lost event"
        await rig.tasks.fail("t", "the lost event", lease=task.lease)
        assert proxy.lost == 1
        check_history(await rig.published("t"), "t")


# --- nodes ----------------------------------------------------------------------------------------


async def test_the_tasks_of_all_nodes_and_kinds_are_bounded_together(prefix: str) -> None:
    async with two_stores(prefix) as stores:
        for number, store in enumerate(stores):
            await store.create([creating(f"t{number}", kind=f"k{number}")], max_unfinished=9, max_tasks=2)
        with pytest.raises(InsufficientStorage, match="all kinds"):
            await stores[0].create([creating("t2", kind="k2")], max_unfinished=9, max_tasks=2)
        await stores[0].change("t0", starting())
        await stores[0].change("t0", completing())
        await publish_all(stores[0])
        bound = Bounds(keep_seconds=1, max_kept=9)
        await stores[0].expire(at(60), {}, bound, tombstone_seconds=1e6, max_tombstones=9)
        assert stores[0].shared_tasks == 2
        await stores[1].create([creating("t2", kind="k2")], max_unfinished=9, max_tasks=2)


async def test_exactly_one_node_fails_an_expired_lease(prefix: str) -> None:
    clock = SetClock()
    clock.seconds = 1000
    async with two_stores(prefix) as stores:
        rigs = [make_rig(store=store, now=clock) for store in stores]
        for n in range(10):
            task = creating(f"t{n}", timeout_seconds=10_000)
            await stores[0].create([task, *starting()(task.task)], max_unfinished=100, max_tasks=1000)
        async with trio.open_nursery() as nursery:
            for rig in rigs:
                nursery.start_soon(rig.runner.end_overdue)
        for n in range(10):
            events = await rigs[1].published(f"t{n}")
            assert [event.type for event in events] == ["status", "status", "error"]
            assert (await stores[1].get(f"t{n}")).version == 3
        stalled = [rig.metric("task_leases_stalled_total") for rig in rigs]
        assert sum(stalled) == 10
        for rig in rigs:
            await rig.runner.end_overdue()
        assert [rig.metric("task_leases_stalled_total") for rig in rigs] == stalled


async def test_nodes_whose_wall_clocks_differ_agree_about_leases(prefix: str) -> None:
    clocks = [SetClock(), SetClock()]
    clocks[1].seconds = 3600
    async with two_stores(prefix) as stores:
        rigs = [make_rig(store=store, now=clock) for store, clock in zip(stores, clocks, strict=True)]
        for store, rig in zip(stores, rigs, strict=True):
            await store.start_clock(rig.tasks.clock)
        task = await begin(rigs[0])
        await rigs[1].runner.end_overdue()
        await update(rigs[1], task, 0)
        assert (await rigs[0].tasks.get("t")).status is Status.RUNNING
        await rigs[1].tasks.complete("t", 1, lease=task.lease)
        check_history(await rigs[0].published("t"), "t")


async def test_a_stream_on_another_node_has_every_message_and_ends(prefix: str) -> None:
    async with two_nodes(prefix) as (one, other), trio.open_nursery() as nursery:
        task = await begin(one)
        followers = [SourceFollower(rig, "t") for rig in (one, other)]
        for follower in followers:
            await nursery.start(follower.run)
        for n in range(20):
            await update((one, other)[n % 2], task, n)
        await other.tasks.complete("t", {"n": 1}, lease=task.lease)
        with trio.fail_after(FAR):
            while not all(follower.ended for follower in followers):
                await trio.lowlevel.checkpoint()
        for follower in followers:
            check_stream(follower, 23)
        check_history(await one.published("t"), "t")
        assert (await follow(one, "t")).messages[-1] == followers[1].messages[-1]
        for rig in (one, other):
            assert (await follow(rig, "t", followers[0].messages[-1].id)).refused


async def test_a_claim_on_one_node_waits_for_a_task_of_another(prefix: str) -> None:
    async with two_nodes(prefix) as (one, other), trio.open_nursery() as nursery:
        claimed: list[Any] = []

        async def claim() -> None:
            claimed.append(await one.tasks.claim(["remote"], "w", wait_seconds=FAR))

        nursery.start_soon(claim)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await other.tasks.create("remote", id="t", input={"n": 1})
        with trio.fail_after(FAR):
            while not claimed:
                await trio.lowlevel.checkpoint()
        assert (claimed[0].task.id, claimed[0].raw_input) == ("t", b'{"n":1}')
        with pytest.raises(LeaseLost):
            await other.tasks.complete("t", 1, lease="another")
        await other.tasks.complete("t", 1, lease=claimed[0].task.lease)


async def test_work_stops_when_another_node_cancels_its_task(prefix: str) -> None:
    began, stopped = trio.Event(), trio.Event()

    async def work(progress: Progress) -> None:
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    async with run_redis_rig(prefix, kinds=[local(work)]), run_redis_rig(prefix) as other:
        with trio.fail_after(FAR):
            await other.tasks.create("local", id="t")
            await began.wait()
            await other.tasks.cancel("t")
            await stopped.wait()
        assert (await other.tasks.get("t")).status is Status.CANCELLED
        check_history(await other.published("t"), "t")


async def test_a_node_that_starts_lets_the_work_of_others_go_on(prefix: str) -> None:
    began, may_end = trio.Event(), trio.Event()

    async def work(progress: Progress) -> int:
        began.set()
        await may_end.wait()
        return 7

    async with run_redis_rig(prefix, kinds=[local(work)]) as one:
        await one.tasks.create("local", id="t")
        await began.wait()
        async with run_redis_rig(prefix, kinds=[local(work)]) as other:
            may_end.set()
            with trio.fail_after(FAR):
                assert (await other.ended("t")).status is Status.COMPLETED
            assert await other.tasks.result("t") == 7


async def test_an_id_that_is_used_again_has_no_end_of_the_old_task_on_any_node(prefix: str) -> None:
    async with two_nodes(prefix) as (one, other):
        await run_to_end(one, 1)
        await other.ended("t")
        bounds = Bounds(keep_seconds=1, max_kept=10)
        assert await one.store.expire(at(10**6), {}, bounds, tombstone_seconds=1, max_tombstones=0)
        await begin(one)
        async with trio.open_nursery() as nursery:
            follower = SourceFollower(other, "t")
            await nursery.start(follower.run)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not follower.ended
            await one.tasks.cancel("t")
            with trio.fail_after(FAR):
                while not follower.ended:
                    await trio.lowlevel.checkpoint()


async def test_rows_of_a_store_without_a_publisher_are_published_first(prefix: str) -> None:
    async with open_redis(prefix) as store:
        begun = starting(lease_seconds=YEARS), *(updating(text=f"{n} ") for n in range(300))
        await store_task(store, "t", *begun, timeout_seconds=YEARS)
        await store_task(store, "other", timeout_seconds=YEARS)
    async with two_nodes(prefix, kinds=[Kind(name="k")]) as (one, other):
        for n in range(20):
            await (one, other)[n % 2].store.change("t", updating())
        await other.tasks.complete("t", 1)
        with trio.fail_after(FAR):
            await other.drained_in_real_time()
        check_history(await one.published("t"), "t")
        assert len(await one.published("other")) == 1
