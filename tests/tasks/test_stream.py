"""The stream of one task: a snapshot, every later version once, and one end."""

import pytest
import trio
import trio.testing

from streamd.database import MEMORY
from streamd.errors import Gone, NotFound, Unavailable
from streamd.events import EARLIEST
from streamd.tasks import Kind, Message, Publication, Task
from streamd.tasks.store.port import Bounds
from streamd.tasks.stream import open_task
from tests.support.stream_follower import SourceFollower, begin, check_stream, follow, run_to_end, update
from tests.support.task_rig import FailingLog, SetClock, run_rig
from tests.support.task_stores import open_sqlite

# --- from the beginning ---------------------------------------------------------------------------


async def test_a_follower_gets_snapshot_changes_and_end() -> None:
    async with run_rig() as rig, trio.open_nursery() as nursery:
        task = await begin(rig)
        await update(rig, task, 0)
        follower = SourceFollower(rig, "t")
        await nursery.start(follower.run)
        await trio.testing.wait_all_tasks_blocked()
        [snapshot] = follower.messages
        assert (snapshot.type, snapshot.data["version"], snapshot.data["text"]) == ("status", 3, "0 ")
        assert snapshot.id == (await rig.published("t"))[-1].id
        await update(rig, task, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert follower.versions == [3, 4]
        await rig.tasks.complete("t", 7)
        await trio.testing.wait_all_tasks_blocked()
        assert follower.versions == [3, 4, 5]
        check_stream(follower, 5)
        assert follower.messages[-1].data["result"] == 7


async def test_the_stream_of_a_pending_task_ends_when_it_is_cancelled() -> None:
    async with run_rig() as rig, trio.open_nursery() as nursery:
        await rig.tasks.create("remote", id="t")
        follower = SourceFollower(rig, "t")
        await nursery.start(follower.run)
        await trio.testing.wait_all_tasks_blocked()
        assert follower.versions == [1]
        await rig.tasks.cancel("t", message="not wanted")
        await trio.testing.wait_all_tasks_blocked()
        assert follower.ended
        assert (follower.versions, follower.messages[-1].data["code"]) == ([1, 2], "cancelled")


@pytest.mark.parametrize("capacity", [2, 256])
async def test_followers_of_a_fast_worker_miss_nothing_whenever_they_connect(capacity: int) -> None:
    followers: list[SourceFollower] = []
    async with run_rig() as rig, trio.open_nursery() as nursery:
        task = await begin(rig)
        for n in range(300):
            if n % 10 == 0:
                followers.append(SourceFollower(rig, "t", capacity=capacity))
                nursery.start_soon(followers[-1].run)
            await update(rig, task, n)
        await rig.tasks.complete("t", 7)
        with trio.fail_after(30):
            while not all(follower.ended for follower in followers):
                await trio.testing.wait_all_tasks_blocked()
    for follower in followers:
        check_stream(follower, 303)
    assert sum(follower.written for follower in followers) > 300, "the fan-out writes by itself"
    assert len({follower.versions[0] for follower in followers}) > 10


async def test_followers_of_tasks_in_sqlite_miss_nothing() -> None:
    followers: list[SourceFollower] = []
    async with open_sqlite(MEMORY) as store, run_rig(store=store, now=SetClock()) as rig:
        async with trio.open_nursery() as nursery:
            task = await begin(rig)
            for n in range(120):
                if n % 12 == 0:
                    followers.append(SourceFollower(rig, "t", capacity=8))
                    nursery.start_soon(followers[-1].run)
                await update(rig, task, n)
            await rig.tasks.complete("t", 7)
        for follower in followers:
            check_stream(follower, 123)


async def test_a_new_stream_waits_for_unpublished_versions(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log = FailingLog()
    async with run_rig(log=log) as rig, trio.open_nursery() as nursery:
        log.fail_before = 3
        task = await begin(rig)
        await update(rig, task, 0)
        follower = SourceFollower(rig, "t")
        nursery.start_soon(follower.run)
        await trio.sleep(2)
        assert (follower.versions, log.refused) == ([3], 3)
        log.fail_before = 1000
        await update(rig, task, 1)
        with pytest.raises(Unavailable):
            await open_task(rig.tasks, "t", None, log.head)
        assert follower.versions == [3]
        log.fail_before = 0
        await rig.tasks.complete("t", 7)
        await trio.sleep(20)
        check_stream(follower, 5)


# --- resuming ---------------------------------------------------------------------------------------


async def test_a_client_resumes_after_any_event_without_a_snapshot() -> None:
    async with run_rig() as rig:
        await run_to_end(rig, 5)
        await rig.ended("t")
        ids = [event.id for event in await rig.published("t")]
        for index, cursor in enumerate(ids[:-1]):
            follower = await follow(rig, "t", cursor)
            assert follower.versions == list(range(index + 2, 9))
            assert not any(follower.snapshots)
            assert [message.id for message in follower.messages] == ids[index + 1 :]
            assert follower.ended
        follower = await follow(rig, "t", EARLIEST)
        assert follower.versions == list(range(1, 9))


async def test_a_client_with_the_last_event_gets_no_stream() -> None:
    async with run_rig() as rig:
        await run_to_end(rig, 2)
        await rig.ended("t")
        end = (await rig.published("t"))[-1].id
        for cursor in (end, await rig.hub.publish("elsewhere", "x")):
            follower = await follow(rig, "t", cursor)
            assert (follower.refused, follower.messages) == (True, [])
        before = (await rig.published("t"))[-2].id
        assert not (await follow(rig, "t", before)).refused


async def test_a_client_that_resumes_gets_the_end() -> None:
    async with run_rig() as rig, trio.open_nursery() as nursery:
        task = await begin(rig)
        await update(rig, task, 0)
        await rig.until("t", lambda event: event.value["version"] == 3)
        cursor = (await rig.published("t"))[1].id
        follower = SourceFollower(rig, "t", cursor)
        await nursery.start(follower.run)
        await trio.testing.wait_all_tasks_blocked()
        await rig.tasks.fail("t", "it broke")
        await trio.testing.wait_all_tasks_blocked()
        assert (follower.versions, follower.ended) == ([3, 4], True)


async def test_a_new_client_after_the_end_gets_snapshot_and_end() -> None:
    async with run_rig() as rig:
        await run_to_end(rig, 4)
        await rig.ended("t")
        follower = await follow(rig, "t")
        check_stream(follower, 7)
        [snapshot, end] = follower.messages
        assert (snapshot.data["status"], snapshot.data["text"]) == ("completed", "0 1 2 3 ")
        assert (end.type, end.data["result"]) == ("complete", 7)
        assert (await follow(rig, "t", end.id)).refused


async def test_a_missing_task_cannot_be_followed() -> None:
    async with run_rig() as rig:
        with pytest.raises(NotFound):
            await follow(rig, "nobody")
        await run_to_end(rig, 1)
        await rig.ended("t")
        await trio.testing.wait_all_tasks_blocked()
        await rig.store.expire(rig.tasks.now(), {}, Bounds(0, 0), tombstone_seconds=9.0, max_tombstones=9)
        for cursor in (None, EARLIEST):
            with pytest.raises(Gone):
                await follow(rig, "t", cursor)


# --- kinds that present it their own way ------------------------------------------------------------------


async def test_a_kind_presents_snapshot_and_end_too() -> None:
    def present(task: Task, message: Message) -> list[Publication]:
        shown = Message(f"my-{message.type}", {"v": task.version, "of": task.kind})
        return [Publication((task.topic,), shown)]

    async with run_rig(kinds=[Kind(name="remote", present=present)]) as rig:
        await run_to_end(rig, 1)
        await rig.until("t", lambda event: event.type == "my-complete")
        messages = (await follow(rig, "t")).messages
        assert [(message.type, message.data["v"]) for message in messages] == [
            ("my-status", 4),
            ("my-complete", 4),
        ]
        cursor = (await rig.published("t"))[1].id
        messages = (await follow(rig, "t", cursor)).messages
        assert [(message.type, message.data["v"]) for message in messages] == [
            ("my-progress", 3),
            ("my-complete", 4),
        ]
