"""Tasks and events in one file: a change and its events are one transaction, and there is no outbox."""

from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest
import trio
import trio.testing

from streamd.database import Database
from streamd.errors import Unavailable
from streamd.events import EARLIEST, Selectors
from streamd.events.settings import EventSettings
from streamd.log.settings import LogSettings
from streamd.log.sqlite import SQLiteLog
from streamd.tasks import Kind, Message, Progress, Publication, Status, Task
from streamd.tasks.model import Change
from streamd.tasks.store.sqlite import SQLiteTaskStore
from tests.support.stream_follower import SourceFollower, begin, follow, run_to_end, update
from tests.support.task_rig import Rig, check_history, make_rig, run_shared_rig, running
from tests.support.task_stores import open_sqlite


def spread(task: Task, message: Message) -> list[Publication]:
    """Publish on two more topics, one before and one after the task's own event."""
    return [
        Publication(("audit",), Message("audit", {"audited": task.version})),
        Publication((task.topic,), message),
        Publication(("customer",), Message("note", {"v": task.version})),
    ]


async def active(rig: Rig) -> None:
    """Wait until the outbox that an earlier process may have left is empty."""
    while not rig.store.publishes:
        await trio.lowlevel.checkpoint()


async def test_the_events_of_a_change_are_in_the_log_when_it_returns(tmp_path: Path) -> None:
    async with run_shared_rig(tmp_path / "db", kinds=[Kind(name="remote", present=spread)]) as rig:
        await active(rig)
        task = await begin(rig)
        for version in (2, 3, 4):
            if version > 2:
                await update(rig, task, version)
            snapshot = await rig.store.snapshot("t")
            assert (snapshot.task.version, snapshot.published_version) == (version, version)
            page = await rig.log.read(
                Selectors(topics=["tasks/t"]), EARLIEST, max_events=100, max_bytes=1_000_000
            )
            assert page.events[-1].id == snapshot.published_id
            assert page.events[-1].value["version"] == version
            assert await rig.store.unpublished(100) == []
        await rig.tasks.complete("t", {"n": 1})
        check_history(await rig.published("t"), "t")
        assert [e.value["audited"] for e in await rig.published_on("audit")] == [1, 2, 3, 4, 5]
        topics = [e.topics[0] for e in await rig.published_on("audit", "tasks/t", "customer")]
        assert topics == ["audit", "tasks/t", "customer"] * 5
        assert rig.metric("task_outbox_depth") == 0
        assert (
            rig.hub.metrics.registry.get_sample_value("streamd_events_published_total", {"type": "audit"})
            == 5
        )


async def test_a_change_that_cannot_be_stored_publishes_nothing(tmp_path: Path) -> None:
    async with run_shared_rig(tmp_path / "db") as rig:
        await active(rig)
        task = await begin(rig)
        head = rig.log.head

        def fail(task: Task) -> Sequence[Change]:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await rig.tasks.perform("t", fail)
        assert isinstance(rig.log, SQLiteLog)

        def forbid(db: apsw.Connection) -> None:
            db.execute("CREATE TRIGGER no BEFORE UPDATE ON tasks BEGIN SELECT RAISE(ABORT, 'no'); END")

        await rig.log.database.write(forbid)
        with pytest.raises(Unavailable):
            await update(rig, task, 1)
        assert rig.log.head == head
        await rig.log.database.write(lambda db: db.execute("DROP TRIGGER no").fetchall())
        await update(rig, task, 1)
        await rig.tasks.complete("t", 1)
        check_history(await rig.published("t"), "t")


async def test_what_an_outbox_still_has_is_published_first(tmp_path: Path) -> None:
    """The file of an earlier version, or of a server with another log."""
    path = tmp_path / "db"
    async with open_sqlite(str(path)) as store:
        rig = make_rig(store=store)
        task = await begin(rig)
        for n in range(300):  # more than one batch of the publisher
            await update(rig, task, n)
        await rig.tasks.create("remote", id="other")
    async with run_shared_rig(path) as rig:
        task = await rig.tasks.get("t")
        for n in range(300, 320):
            await update(rig, task, n)
            await trio.lowlevel.checkpoint()
        await active(rig)
        await rig.tasks.complete("t", 7)
        check_history(await rig.published("t"), "t")
        assert len(await rig.published("other")) == 1
        assert await rig.store.outbox_depth() == 0


async def test_a_kind_acts_on_the_end_at_least_once_also_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "db"
    acted: list[str] = []
    begun = trio.Event()

    async def hang(task: Task) -> None:
        begun.set()
        await trio.sleep_forever()

    async def act(task: Task) -> None:
        acted.append(task.id)
        begun.set()

    async with run_shared_rig(path, kinds=[Kind(name="remote", ended=hang)]) as rig:
        await active(rig)
        await run_to_end(rig, 2)
        await begun.wait()
        assert await rig.store.ending() == ["t"]
        assert await rig.store.unpublished(10) == []
    begun = trio.Event()
    async with run_shared_rig(path, kinds=[Kind(name="remote", ended=act)]) as rig:
        await begun.wait()
        assert acted == ["t"]
        check_history(await rig.published("t"), "t")
        with trio.fail_after(30):
            while await rig.store.outbox_depth() or rig.metric("task_outbox_depth"):
                await trio.lowlevel.checkpoint()


def boast(task: Task, message: Message) -> list[Publication]:
    """Publish more than an event may hold, on the task's own topic and on another one."""
    large = Message(message.type, {**message.data, "large": "x" * 5000})
    return [Publication((task.topic,), large), Publication(("audit",), large)]


async def test_messages_that_cannot_be_events_are_reduced_or_dropped(tmp_path: Path) -> None:
    limits = EventSettings(max_event_bytes=2000)
    kinds = [Kind(name="remote", present=boast)]
    async with run_shared_rig(tmp_path / "db", kinds=kinds, limits=limits) as rig:
        await active(rig)
        await run_to_end(rig, 3)
        events = await rig.published("t")
        assert [event.value["version"] for event in events] == [1, 2, 3, 4, 5, 6]
        assert all(event.size <= 2000 for event in events)
        assert await rig.published_on("audit") == []
        assert rig.metric("task_messages_reduced_total") == 12


async def test_followers_resume_message_by_message_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "db"
    async with run_shared_rig(path) as rig:
        await active(rig)
        task = await begin(rig)
        for n in range(5):
            await update(rig, task, n)
        places = [event.id for event in await rig.published("t")]
    async with run_shared_rig(path) as rig, trio.open_nursery() as nursery:
        await active(rig)
        followers = [SourceFollower(rig, "t", place) for place in places]
        for follower in followers:
            await nursery.start(follower.run)
        task = await rig.tasks.get("t")
        for n in range(5, 8):
            await update(rig, task, n)
        await rig.tasks.complete("t", 7)
        with trio.fail_after(30):
            while not all(follower.ended for follower in followers):
                await trio.lowlevel.checkpoint()
        for index, follower in enumerate(followers):
            assert follower.versions == list(range(index + 2, 12))
            assert not any(follower.snapshots)
            assert (await follow(rig, "t", follower.messages[-1].id)).refused


async def test_many_tasks_that_run_at_once_have_whole_histories(tmp_path: Path) -> None:
    async def work(progress: Progress) -> int:
        for n in range(10):
            await progress.update(progress=n * 10, message=f"step {n}")
        return 1

    async with run_shared_rig(tmp_path / "db", kinds=[Kind(name="work", work=work)]) as rig:
        for n in range(20):
            await rig.tasks.create("work", id=f"t{n}")
        for n in range(20):
            assert (await rig.ended(f"t{n}")).status is Status.COMPLETED
            check_history(await rig.published(f"t{n}"), f"t{n}")


async def test_a_log_in_another_file_is_published_to_through_the_outbox(tmp_path: Path) -> None:
    async with open_sqlite(str(tmp_path / "tasks.db")) as store, trio.open_nursery() as nursery:
        database = Database(str(tmp_path / "log.db"))
        log = SQLiteLog(database, LogSettings())
        await nursery.start(database.run)
        await log.open()
        assert isinstance(store, SQLiteTaskStore)
        async with running(make_rig(store=store, log=log)) as rig:
            await run_to_end(rig, 5)
            await rig.ended("t")
            check_history(await rig.published("t"), "t")
            assert not rig.store.publishes
        nursery.cancel_scope.cancel()
