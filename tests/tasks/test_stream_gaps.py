"""Streams of a task over events that the log has dropped, and over a restart of the log."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from streamd.events import EARLIEST, EventId
from streamd.events.ids import make_event_id
from streamd.hub.settings import HubSettings
from streamd.log.clock import wall_clock_ms
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.tasks.store.memory import MemoryTaskStore
from streamd.tasks.store.port import Bounds, Snapshot
from tests.support.stream_follower import SourceFollower, begin, check_stream, follow, run_to_end, update
from tests.support.task_rig import SetClock, make_rig, publishing, run_rig, running

HOUR_MS = 3_600_000
SHORT_RING = HubSettings(ring_events=3, batch_events=3)  # otherwise it still has the dropped events


async def test_a_cursor_before_the_kept_events_gets_a_snapshot() -> None:
    log = MemoryLog(LogSettings(topic_max_events=4))
    async with run_rig(log=log, hub=SHORT_RING) as rig, trio.open_nursery() as nursery:
        task = await begin(rig)
        early = (await rig.until("t", lambda event: True)).id
        for n in range(20):
            await update(rig, task, n)
        follower = SourceFollower(rig, "t", early)
        await nursery.start(follower.run)
        await trio.testing.wait_all_tasks_blocked()
        assert follower.snapshots == [True]
        assert follower.versions == [22]
        await update(rig, task, 20)
        await rig.tasks.complete("t", 7)
        await trio.testing.wait_all_tasks_blocked()
        check_stream(follower, 24)


async def test_a_stalled_client_behind_the_kept_events_gets_a_snapshot() -> None:
    log = MemoryLog(LogSettings(topic_max_events=6))
    async with run_rig(log=log, hub=SHORT_RING) as rig, trio.open_nursery() as nursery:
        task = await begin(rig)
        follower = SourceFollower(rig, "t", capacity=3)
        await nursery.start(follower.run)
        await trio.testing.wait_all_tasks_blocked()
        follower.may_read = trio.Event()
        for n in range(100):
            await update(rig, task, n)
            await trio.testing.wait_all_tasks_blocked()
        follower.may_read.set()
        await trio.testing.wait_all_tasks_blocked()
        for n in range(100, 105):
            await update(rig, task, n)
        await rig.tasks.complete("t", 7)
        await trio.testing.wait_all_tasks_blocked()
        check_stream(follower, 108, gaps=True)
        assert sum(follower.snapshots) == 2


class LosingLog(MemoryLog):
    """A log that says that it has lost its newest events."""

    lost: EventId | None = None

    def lost_until(self, cursor: EventId) -> EventId | None:
        return self.lost if self.lost is not None and cursor < self.lost else None


class InterruptedStore(MemoryTaskStore):
    """A store that lets something happen after its next snapshot was taken."""

    interrupt: Callable[[], Awaitable[None]] | None = None

    async def snapshot(self, task_id: str) -> Snapshot:
        snapshot = await super().snapshot(task_id)
        if self.interrupt is not None:
            interrupt, self.interrupt = self.interrupt, None
            await interrupt()
        return snapshot


async def test_a_snapshot_is_not_older_than_the_loss_whose_end_is_its_position() -> None:
    log, store = LosingLog(LogSettings()), InterruptedStore()
    async with run_rig(log=log, store=store) as rig:
        task = await begin(rig)
        await rig.until("t", lambda event: event.value["version"] == 2)

        async def lose() -> None:
            await update(rig, task, 0)
            newest = await rig.until("t", lambda event: event.value["version"] == 3)
            log.lost = make_event_id(int(newest.id[:13]) + 1, 0)

        store.interrupt = lose
        view = await rig.tasks.view("t")
        assert view.position == log.lost
        assert view.task.version == 3


async def test_the_snapshot_of_an_ended_task_has_no_id_of_its_own() -> None:
    async with run_rig() as rig:
        await run_to_end(rig, 1)
        last = await rig.until("t", lambda event: event.value["version"] == 4)
        follower = SourceFollower(rig, "t")
        await follower.run()
        assert [message.id for message in follower.messages] == ["", last.id]


async def test_an_end_that_the_log_has_dropped_is_sent() -> None:
    log = MemoryLog(LogSettings(max_events=3))
    async with run_rig(log=log, hub=SHORT_RING) as rig:
        await run_to_end(rig, 5)
        await rig.ended("t")
        places = [event.id for event in await rig.published("t")]
        for _ in range(5):
            await rig.hub.publish("elsewhere", "x")
        assert await rig.published("t") == []
        for cursor in (None, places[0]):
            check_stream(await follow(rig, "t", cursor), 8)
        assert (await follow(rig, "t", places[-1])).refused


# --- another log ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("set_by_ms", [HOUR_MS, 1000, -HOUR_MS])
async def test_after_a_restart_of_the_log_a_stream_resumes_with_a_snapshot(set_by_ms: int) -> None:
    store = MemoryTaskStore()
    rig = make_rig(store=store, now=SetClock())
    async with publishing(rig):
        task = await begin(rig)
        await update(rig, task, 0)
        cursor = (await rig.until("t", lambda event: event.value["version"] == 3)).id
        await trio.testing.wait_all_tasks_blocked()
    log = MemoryLog(LogSettings(), lambda: wall_clock_ms() + set_by_ms)
    rig = make_rig(store=store, log=log, now=SetClock())
    async with running(rig), trio.open_nursery() as nursery:
        followers = [
            SourceFollower(rig, "t"),
            SourceFollower(rig, "t", cursor),
            SourceFollower(rig, "t", EARLIEST),
        ]
        for follower in followers[:2]:
            await nursery.start(follower.run)
        await trio.testing.wait_all_tasks_blocked()
        for follower in followers[:2]:
            assert follower.versions[:1] == [3]
            assert len(follower.messages) == 1
        await update(rig, task, 1)
        await rig.tasks.complete("t", 7)
        await trio.testing.wait_all_tasks_blocked()
        for follower in followers[:2]:
            check_stream(follower, 5)
            assert (await follow(rig, "t", follower.messages[-1].id)).refused


@pytest.mark.parametrize("set_by_ms", [HOUR_MS, 1000, -HOUR_MS])
async def test_after_a_restart_of_the_log_an_end_is_sent_once(set_by_ms: int) -> None:
    store = MemoryTaskStore()
    rig = make_rig(store=store, now=SetClock())
    async with publishing(rig):
        await run_to_end(rig, 2)
        await rig.ended("t")
        ids = [event.id for event in await rig.published("t")]
        await trio.testing.wait_all_tasks_blocked()
    log = MemoryLog(LogSettings(), lambda: wall_clock_ms() + set_by_ms)
    async with run_rig(store=store, log=log, now=SetClock()) as rig:
        assert (await follow(rig, "t", ids[-1])).refused
        for cursor in (None, ids[0], ids[-2]):
            follower = await follow(rig, "t", cursor)
            check_stream(follower, 5)
            assert len(follower.messages) == 2
            assert (await follow(rig, "t", follower.messages[-1].id)).refused


async def test_the_stream_of_a_reused_id_ends_with_its_own_task() -> None:
    clock = SetClock()
    async with run_rig(store=MemoryTaskStore(), now=clock) as rig, trio.open_nursery() as nursery:
        await run_to_end(rig, 2)
        await rig.ended("t")
        before = len(await rig.published("t"))
        await trio.testing.wait_all_tasks_blocked()
        await rig.store.expire(rig.tasks.now(), {}, Bounds(0, 0), tombstone_seconds=1.0, max_tombstones=0)
        clock.seconds += 1
        task = await begin(rig)
        follower = SourceFollower(rig, "t")
        await nursery.start(follower.run)
        for n in range(6):
            await update(rig, task, n)
            await trio.testing.wait_all_tasks_blocked()
        assert not follower.ended
        await rig.tasks.complete("t", 8)
        await trio.testing.wait_all_tasks_blocked()
        check_stream(follower, 9)
        assert len(await rig.published("t")) == before + 9
