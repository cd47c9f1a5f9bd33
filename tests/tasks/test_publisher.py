"""From the outbox to the log: each event once and in order, across failures and restarts."""

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from streamd.errors import InvalidField, TaskExists
from streamd.events.settings import EventSettings
from streamd.hub.settings import HubSettings
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.tasks import Kind, Message, Publication, Task, operations
from streamd.tasks.publisher import OutboxPublisher
from streamd.tasks.store.port import Bounds
from streamd.time_slice import TimeSlice
from tests.support.task_rig import (
    FailingLog,
    ForgetfulStore,
    Rig,
    SetClock,
    check_history,
    make_rig,
    publishing,
    run_rig,
    running,
)
from tests.support.task_stores import open_sqlite

REMOTE = Kind(name="remote")


def own(task: Task, message: Message) -> list[Publication]:
    """Publish a message on the task's own topic alone."""
    return [Publication((task.topic,), message)]


async def work_through(rig: Rig, task_id: str, updates: int = 3) -> Task:
    """Create, update and complete a task as a worker elsewhere does."""
    task = await rig.tasks.create("remote", id=task_id, worker="w")
    for n in range(updates):
        await rig.tasks.perform(task_id, updating(rig, progress=min(n, 100), text=f"{n} "), lease=task.lease)
    return await rig.tasks.complete(task_id, {"n": updates}, lease=task.lease)


def updating(rig: Rig, **values: Any) -> Any:
    return lambda task: [operations.update(task, rig.tasks.now(), **values)]


async def test_every_message_is_published_in_order_under_the_key_of_its_version(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with run_rig() as rig:
        await work_through(rig, "t")
        await rig.ended("t")
        events = await rig.published("t")
        check_history(events, "t")
        assert [event.type for event in events] == ["status", "status", *["progress"] * 3, "complete"]
        assert events[-1].value["result"] == {"n": 3}
        assert events[-1].topics == ("tasks/t",)


@pytest.mark.parametrize("failures", [1, 5])
async def test_an_unavailable_log_delays_events_and_loses_none(
    autojump_clock: trio.testing.MockClock, failures: int
) -> None:
    log = FailingLog()
    async with run_rig(log=log) as rig:
        log.fail_before = failures
        assert (await work_through(rig, "t")).status.ended
        await work_through(rig, "u")
        assert (await rig.published("t"), rig.metric("task_outbox_depth")) == ([], 12)
        for task_id in ("t", "u"):
            await rig.ended(task_id)
            check_history(await rig.published(task_id), task_id)
        assert rig.metric("task_publish_failures_total") == failures == log.refused
        await trio.testing.wait_all_tasks_blocked()
        assert rig.metric("task_outbox_depth") == await rig.store.outbox_depth() == 0


async def test_a_lost_answer_of_the_log_repeats_no_event(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log = FailingLog()
    async with run_rig(log=log) as rig:
        log.fail_after = 4
        for n in range(3):
            await work_through(rig, f"t{n}")
            await trio.sleep(0.07)
        await rig.drained()
        for n in range(3):
            check_history(await rig.published(f"t{n}"), f"t{n}")
        assert rig.metric("task_publish_failures_total") == 4


async def test_a_failure_to_mark_rows_repeats_no_event(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = ForgetfulStore()
    async with run_rig(store=store) as rig:
        store.fail_marks = 3
        await work_through(rig, "t")
        await rig.ended("t")
        await rig.drained()
        check_history(await rig.published("t"), "t")
        assert rig.metric("task_publish_failures_total") == 3
        assert rig.metric("task_outbox_depth") == 0


async def test_a_crash_between_log_and_store_repeats_no_event(tmp_path: Path) -> None:
    log = FailingLog()
    path = str(tmp_path / "tasks.db")
    log.fail_after = 1
    async with open_sqlite(path) as store:
        rig = make_rig(store=store, log=log, now=SetClock())
        await work_through(rig, "t")
        async with publishing(rig):  # cancelled after the log has all events, and before the store knows
            await rig.until("t", lambda event: event.type == "complete")
        assert await store.outbox_depth() == 6
    before = await rig.published("t")
    async with open_sqlite(path) as store:
        rig = make_rig(store=store, log=log, now=SetClock())
        async with publishing(rig):
            await work_through(rig, "u")
            await rig.until("u", lambda event: event.type == "complete")
        assert [event.id for event in await rig.published("t")] == [event.id for event in before]
        for task_id in ("t", "u"):
            check_history(await rig.published(task_id), task_id)
        assert await store.outbox_depth() == 0
        snapshot = await store.snapshot("t")
        assert (snapshot.published_version, snapshot.published_id) == (6, before[-1].id)


async def test_the_next_process_publishes_the_remaining_rows(tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    async with open_sqlite(path) as store:
        await work_through(make_rig(store=store, now=SetClock()), "t")
    async with open_sqlite(path) as store:
        rig = make_rig(store=store, now=SetClock())
        async with running(rig):
            assert (await rig.ended("t")).version == 6
            check_history(await rig.published("t"), "t")


async def test_a_lagging_hub_is_given_smaller_batches(
    autojump_clock: trio.testing.MockClock,
) -> None:
    rig = make_rig(hub=HubSettings(max_lag_events=10, batch_events=5))
    await work_through(rig, "t", updates=300)
    async with running(rig):
        await rig.ended("t")
        check_history(await rig.published("t"), "t")
        assert rig.metric("task_publish_failures_total") > 0


# --- messages that cannot be events ---------------------------------------------------------------


@pytest.mark.parametrize(("end", "kind_of_end"), [("complete", "complete"), ("fail", "error")])
async def test_a_message_that_is_too_large_is_reduced(
    autojump_clock: trio.testing.MockClock, end: str, kind_of_end: str
) -> None:
    def swell(task: Task, message: Message) -> list[Publication]:
        return own(task, Message(message.type, message.data | {"padding": "x" * 2000}))

    kind = Kind(name="remote", present=swell)
    async with run_rig(kinds=[kind], limits=EventSettings(max_event_bytes=1000)) as rig:
        task = await rig.tasks.create("remote", id="t", worker="w")
        await rig.tasks.perform("t", updating(rig, progress=40), lease=task.lease)
        if end == "complete":
            await rig.tasks.complete("t", {"n": 1})
        else:
            await rig.tasks.fail("t", "it broke", code="broken")
        await rig.ended("t")
        events = await rig.published("t")
        check_history(events, "t")
        assert [event.type for event in events] == ["progress"] * 3 + [kind_of_end]
        assert "padding" not in events[2].value
        assert [event.value["step"] for event in events] == [None] * 4
        assert events[-1].value["message"] == ("The task is complete" if end == "complete" else "it broke")
        assert (events[2].value["progress"], events[2].value["status"]) == (40, "running")
        assert events[-1].value.get("code") == ("broken" if end == "fail" else None)
        assert rig.metric("task_messages_reduced_total") == 4


@pytest.mark.parametrize("name", ["code", "timestamp", "message"])
async def test_a_field_that_is_too_large_is_left_out_of_a_reduced_message(
    autojump_clock: trio.testing.MockClock, name: str
) -> None:
    def swell(task: Task, message: Message) -> list[Publication]:
        return own(task, Message(message.type, message.data | {name: "é" * 2000}))

    kind = Kind(name="remote", present=swell)
    with trio.fail_after(60):
        async with run_rig(kinds=[kind], limits=EventSettings(max_event_bytes=1000)) as rig:
            await rig.tasks.create("remote", id="t", worker="w")
            await rig.tasks.fail("t", "it broke", code="broken")
            await rig.ended("t")
            last = (await rig.published("t"))[-1].value
            assert name not in last
            assert (last["taskId"], last["version"], last["status"], last["progress"]) == (
                "t",
                3,
                "failed",
                0,
            )


async def test_a_reduced_message_has_the_event_type_of_its_kind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def swell(task: Task, message: Message) -> list[Publication]:
        return own(task, Message("progress", message.data | {"padding": "x" * 2000}))

    kind = Kind(name="remote", present=swell, event_types={"complete": "progress"})
    async with run_rig(kinds=[kind], limits=EventSettings(max_event_bytes=1000)) as rig:
        await rig.tasks.create("remote", id="t", worker="w")
        await rig.tasks.complete("t", {"n": 1})
        await rig.drained()
        events = await rig.published("t")
        assert [event.type for event in events] == ["progress"] * 3
        assert events[-1].value["status"] == "completed"


@pytest.mark.parametrize("type", ["heartbeat", "two\nlines", "é" * 33])
async def test_a_kind_with_an_invalid_event_type_is_refused(type: str) -> None:
    kind = Kind(name="remote", event_types={"complete": type})
    with pytest.raises(InvalidField, match="event_types"):
        make_rig(kinds=[kind])
    tasks = make_rig(kinds=[Kind(name="remote")]).tasks
    with pytest.raises(InvalidField, match="event_types"):
        tasks.replace(kind)


@pytest.mark.parametrize("type", ["heartbeat", "two\nlines"])
async def test_an_invalid_event_type_does_not_stop_the_outbox(
    autojump_clock: trio.testing.MockClock, type: str
) -> None:
    kind = Kind(name="remote", present=lambda task, message: own(task, Message(type, message.data)))
    async with run_rig(kinds=[kind]) as rig:
        await work_through(rig, "t")
        await rig.ended("t")
        check_history(await rig.published("t"), "t")


def raise_(task: Task, message: Message) -> list[Publication]:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "present",
    [
        raise_,
        lambda task, message: own(task, Message(message.type, {"what": object()})),
        lambda *_: None,
    ],
)
async def test_a_kind_that_fails_to_present_gets_the_standard_message(
    autojump_clock: trio.testing.MockClock, present: Any
) -> None:
    async with run_rig(kinds=[Kind(name="remote", present=present)]) as rig:
        await work_through(rig, "t")
        await rig.ended("t")
        check_history(await rig.published("t"), "t")
        view = await rig.tasks.view("t")
        assert view.message is not None
        assert view.message.data["snapshot"] is True


# --- ids that are used again --------------------------------------------------------------------------


async def test_a_reused_id_publishes_its_own_events_despite_known_keys(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Reuse the id of a task that the store has forgotten, while the log still knows its keys."""
    log, store = FailingLog(), ForgetfulStore()
    async with run_rig(log=log, store=store, max_tombstones=1) as rig:
        await work_through(rig, "t")
        await rig.ended("t")
        first = await rig.published("t")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(TaskExists):
            await rig.tasks.create("remote", id="t")
        none = {"tombstone_seconds": 1e9, "max_tombstones": 0}
        gone = await store.expire(rig.tasks.now(), {}, Bounds(0, 0), **none)  # type: ignore[arg-type]
        assert [task.id for task in gone] == ["t"]

        # Rows of other tasks are in the same batch, and are repeated after the failure.
        await trio.sleep(10)
        await rig.tasks.create("remote", id="other", worker="w")
        log.fail_after = 2
        store.fail_marks = 2
        await work_through(rig, "t", updates=5)
        await rig.tasks.complete("other", 1)
        for _ in range(20):
            await trio.sleep(10)
        assert await store.outbox_depth() == 0
        again = (await rig.published("t"))[len(first) :]
        check_history(again, "t")
        assert len(again) == 8
        check_history(await rig.published("other"), "other")
        view = await rig.tasks.view("t")
        assert view.message is not None
        assert (view.position, view.task.version) == (again[-1].id, 8)


async def test_limits_of_publishers_leave_room_for_the_end_of_a_task() -> None:
    tiny = EventSettings(max_event_bytes=1, max_topic_bytes=1, max_idempotency_key_bytes=1)
    async with run_rig(limits=tiny) as rig:
        task = await rig.tasks.create("remote", id="x" * 128, worker="w")
        await rig.tasks.complete(task.id, "r" * 5000)
        view = await rig.tasks.view(task.id)
    assert view.task.version == 3
    assert view.end is not None


class PassingLog(MemoryLog):
    """A log that notes the pass of the event loop in which it is appended to."""

    def __init__(self) -> None:
        super().__init__(LogSettings())
        self.passes = 0
        self.appended_in: list[int] = []

    async def count_passes(self) -> None:
        while True:
            self.passes += 1
            await trio.lowlevel.checkpoint()

    async def append(self, *args: Any, **options: Any) -> Any:
        self.appended_in.append(self.passes)
        return await super().append(*args, **options)


async def test_other_trio_tasks_run_while_the_events_of_many_rows_are_made() -> None:
    log = PassingLog()
    rig = make_rig(log=log)
    for number in range(20):
        await rig.tasks.create("remote", id=f"t{number}")
    publisher = OutboxPublisher(
        rig.store, rig.hub, EventSettings(), rig.metrics, {}, time_slice=TimeSlice(seconds=0)
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.count_passes)
        nursery.start_soon(publisher.run)
        await rig.drained()
        nursery.cancel_scope.cancel()
    assert len(log.appended_in) == 1
    assert log.appended_in[0] >= 20
