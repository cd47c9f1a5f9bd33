"""Damaged rows of a file: an error for one task; lists, claims, sweeps and the publisher go on."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from streamd.errors import Gone, Unreadable
from streamd.tasks import Kind, Message, Progress, Publication, Status, Task
from streamd.tasks.store.port import Bounds
from streamd.tasks.store.sqlite import SQLiteTaskStore
from tests.support.clocks import at
from tests.support.damage import JSON_DAMAGE, counted, damage
from tests.support.local_work import failure_of
from tests.support.task_rig import Rig, SetClock, make_rig, names, publishing, running
from tests.support.task_stores import (
    completing,
    open_sqlite,
    publish_all,
    starting,
    store_task,
    updating,
)

BODY = "UPDATE tasks SET body = ? WHERE id LIKE 'bad%'"
IDS = ["pending", "running", "ended"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "tasks.db")


async def check_unreadable(task_id: str, *calls: Callable[[str], Awaitable[Any]]) -> None:
    for call in calls:
        with pytest.raises(Unreadable) as caught:
            await call(task_id)
        assert (caught.value.code, caught.value.status) == ("unreadable", 500)
        assert task_id in caught.value.detail


async def fill(store: SQLiteTaskStore) -> None:
    """Store a damaged and a good task of each status, the damaged one first."""
    for name in ("bad", "good"):
        await store_task(store, f"{name}-pending", raw_input=b'"in"')
        await store_task(store, f"{name}-running", starting())
        await store_task(store, f"{name}-ended", starting(), updating(text="text"), completing())
    await publish_all(store)


# --- the store --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", JSON_DAMAGE)
async def test_a_damaged_task_is_an_error_for_itself_alone(path: str, value: Any) -> None:
    async with open_sqlite(path) as store:
        await fill(store)
    damage(path, BODY, value)
    async with open_sqlite(path) as store:
        found = counted(store.unreadable)
        for name in IDS:
            await check_unreadable(
                f"bad-{name}",
                store.get,
                store.snapshot,
                store.result,
                store.input,
                lambda task_id: store.change(task_id, updating()),
            )
        assert names(await store.find()) == ["good-ended", "good-running", "good-pending"]
        assert names(await store.find(limit=2)) == ["good-ended", "good-running"]
        assert names(await store.find(status=Status.RUNNING)) == ["good-running"]
        assert names(await store.held_by("")) == ["good-running"]
        assert names(await store.overdue(at(10_000))) == ["good-pending", "good-running"]
        assert sum((await store.counts()).values()) == 6
        claimed = await store.claim(["k"], starting())
        assert claimed is not None
        assert (claimed.task.id, claimed.raw_input) == ("good-pending", b'"in"')
        assert await store.claim(["k"], starting()) is None
        assert found == ["task"] * 3  # each is counted and logged once


async def test_damaged_tasks_are_deleted_like_others(path: str) -> None:
    async with open_sqlite(path) as store:
        await fill(store)
    damage(path, BODY, b"{")
    async with open_sqlite(path) as store:

        async def expire(seconds: float) -> list[str]:
            kept: dict[str, Any] = {"tombstone_seconds": 1e6, "max_tombstones": 99}
            return sorted(task.id for task in await store.expire(at(seconds), {}, Bounds(100, 99), **kept))

        assert await expire(102) == []
        assert await expire(103) == ["bad-ended", "good-ended"]
        assert await expire(159) == []
        # Nobody can fail these two at their deadline, which was at 60 s.
        assert await expire(160) == ["bad-pending", "bad-running"]
        for name in IDS:
            with pytest.raises(Gone):
                await store.get(f"bad-{name}")
        assert names(await store.find()) == ["good-running", "good-pending"]


@pytest.mark.parametrize("status", ["'finished'", "x'ff'", "CAST(x'ff' AS TEXT)", "''", "5"])
async def test_a_damaged_status_leaves_the_others_counted(path: str, status: str) -> None:
    async with open_sqlite(path) as store:
        await fill(store)
    damage(path, f"UPDATE tasks SET status = {status} WHERE id = 'bad-ended'")
    async with open_sqlite(path) as store:
        counts = await store.counts()
        assert counts == {("k", Status.PENDING): 2, ("k", Status.RUNNING): 2, ("k", Status.COMPLETED): 1}


async def test_names_that_are_no_text_fail_no_list(path: str) -> None:
    async with open_sqlite(path) as store:
        await fill(store)
    damage(
        path, "UPDATE tasks SET id = CAST(x'62ff' AS TEXT), kind = CAST(x'ff' AS TEXT) WHERE id = 'bad-ended'"
    )
    damage(path, "UPDATE task_texts SET text = CAST(x'ff' AS TEXT) WHERE task = 6")
    async with open_sqlite(path) as store:
        assert len(await store.find()) == 6
        assert sum((await store.counts()).values()) == 6
        await store.expire(at(50), {}, Bounds(100, 99), tombstone_seconds=9, max_tombstones=9)
        await check_unreadable("good-ended", store.snapshot)
        assert (await store.get("good-ended")).status is Status.COMPLETED


@pytest.mark.parametrize("value", JSON_DAMAGE)
async def test_a_damaged_last_message_is_an_error_for_the_streams_of_its_task(path: str, value: Any) -> None:
    async with open_sqlite(path) as store:
        await fill(store)
    damage(path, "UPDATE task_ends SET message = ? WHERE task = 3", value)
    async with open_sqlite(path) as store:
        await check_unreadable("bad-ended", store.snapshot)
        assert (await store.snapshot("good-ended")).end is not None
        assert (await store.get("bad-ended")).status is Status.COMPLETED


# --- the engine and the runner ------------------------------------------------------------------------


@asynccontextmanager
async def reopened(path: str, *kinds: Kind) -> AsyncIterator[Rig]:
    async with open_sqlite(path) as store:
        yield make_rig(store=store, now=SetClock(), kinds=kinds, sweep_seconds=0.01)


async def echo(progress: Progress) -> Any:
    return progress.input


@pytest.mark.parametrize("value", JSON_DAMAGE)
async def test_after_a_restart_everything_else_goes_on(path: str, value: Any) -> None:
    async with reopened(path) as rig:
        for name in ("bad", "good"):
            await rig.tasks.create("echo", id=f"{name}-local", input=name)
            await rig.tasks.create("k", id=f"{name}-remote", worker="w", lease_seconds=60)
            await rig.tasks.create("echo", id=f"{name}-held", worker="local:before")
    damage(path, BODY, value)
    async with reopened(path, Kind(name="echo", work=echo)) as rig, running(rig):
        assert (await rig.ended("good-local")).status is Status.COMPLETED
        assert await rig.tasks.result("good-local") == "good"
        assert failure_of(await rig.ended("good-held"))[1] == "stalled"
        assert (await rig.tasks.get("good-remote")).status is Status.RUNNING
        await rig.tasks.create("k", id="late", timeout_seconds=0.001)
        assert failure_of(await rig.ended("late"))[1] == "timeout"
        await check_unreadable("bad-local", rig.tasks.get, rig.tasks.cancel, rig.tasks.view)


@pytest.mark.parametrize(
    "value", [value for value in JSON_DAMAGE if value not in (b"null", b"[1]", b'{"id":5}')]
)
async def test_a_task_with_a_damaged_input_fails_when_it_is_claimed(path: str, value: Any) -> None:
    async with reopened(path) as rig:
        for kind in ("echo", "remote"):
            await rig.tasks.create(kind, id=f"bad-{kind}", input={"n": 1})
            await rig.tasks.create(kind, id=f"good-{kind}", input={"n": 1})
    damage(path, "UPDATE task_inputs SET input = ? WHERE task IN (1, 3)", value)
    async with reopened(path, Kind(name="echo", work=echo)) as rig, running(rig):
        claimed = await rig.tasks.claim(["remote"], "w")
        assert claimed is not None
        assert (claimed.task.id, claimed.raw_input) == ("good-remote", b'{"n":1}')
        assert (await rig.ended("good-echo")).status is Status.COMPLETED
        for task_id in ("bad-remote", "bad-echo"):
            status, code, detail = failure_of(await rig.ended(task_id))
            assert (status, code) == (Status.FAILED, "unreadable")
            assert task_id in detail
            await check_unreadable(task_id, rig.tasks.input)


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"\x78\x9c1", b"\x78", "1", 5, None])
async def test_a_damaged_result_is_an_error_for_itself(path: str, value: Any) -> None:
    async with reopened(path) as rig:
        for task_id in ("bad", "good"):
            await rig.tasks.create("k", id=task_id, worker="w")
            await rig.tasks.complete(task_id, {"n": 1})
    damage(path, "UPDATE task_ends SET result = ? WHERE task = 1", value)
    async with reopened(path) as rig:
        await check_unreadable("bad", rig.tasks.result)
        assert await rig.tasks.result("good") == {"n": 1}


# --- the outbox -----------------------------------------------------------------------------------------


def twice(task: Task, message: Message) -> list[Publication]:
    """Publish each message on a second topic as well."""
    return [Publication((task.topic,), message), Publication((f"copy:{task.id}",), message)]


async def published_after(path: str, *statements: tuple[Any, ...]) -> dict[str, list[tuple[str, Any]]]:
    """Run two tasks to their ends, damage rows, and return the types and versions that are published."""
    kind = Kind(name="k", present=twice, event_types={"progress": "at-work"})
    async with reopened(path, kind) as rig:
        for task_id in ("bad", "good"):
            await rig.tasks.create("k", id=task_id, worker="w")
            await rig.tasks.complete(task_id, 1)
    for statement in statements:
        damage(path, *statement)
    async with reopened(path, kind) as rig, publishing(rig):
        with trio.fail_after(20):
            await rig.drained_in_real_time()
        topics = [f"{prefix}{task_id}" for task_id in ("bad", "good") for prefix in ("tasks/", "copy:")]
        return {
            topic: [(event.type, event.value.get("version")) for event in await rig.published_on(topic)]
            for topic in topics
        }


ALL = [("status", 1), ("status", 2), ("complete", 3)]


@pytest.mark.parametrize("value", JSON_DAMAGE)
async def test_a_damaged_event_does_not_stop_the_publisher(path: str, value: Any) -> None:
    published = await published_after(
        path, ("UPDATE task_outbox SET message = ? WHERE task = 'bad' AND version > 1", value)
    )
    assert published["tasks/good"] == published["copy:good"] == ALL
    # The stream of the task needs every version, and its end; other subscribers expect another shape.
    assert published["tasks/bad"] == [("status", 1), ("at-work", 2), ("complete", 3)]
    assert published["copy:bad"] == ALL[:1]


@pytest.mark.parametrize("topics", ["{", "[1]", "null", b"\xff", 5])
async def test_damaged_topics_do_not_stop_the_publisher(path: str, topics: Any) -> None:
    published = await published_after(
        path, ("UPDATE task_outbox SET topics = ? WHERE task = 'bad' AND part = 1", topics)
    )
    assert published["tasks/bad"] == published["tasks/good"] == published["copy:good"] == ALL
    assert published["copy:bad"] == []


async def test_events_of_a_damaged_task_are_published(path: str) -> None:
    published = await published_after(path, ("UPDATE tasks SET body = x'' WHERE id = 'bad'",))
    assert published["tasks/bad"] == published["copy:bad"] == published["tasks/good"] == ALL


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", b"a\0b", b"x" * 5000, b""])
async def test_an_event_whose_task_is_no_id_is_dropped(path: str, name: bytes) -> None:
    published = await published_after(
        path, ("UPDATE task_outbox SET task = CAST(? AS TEXT) WHERE task = 'bad' AND version = 2", name)
    )
    assert published["tasks/good"] == ALL
    assert published["tasks/bad"] == [ALL[0], ALL[2]]


async def test_the_end_of_a_damaged_task_is_not_awaited(path: str) -> None:
    ended: list[str] = []

    async def note(task: Task) -> None:
        ended.append(task.id)

    async with reopened(path) as rig:
        for task_id in ("bad", "good"):
            await rig.tasks.create("k", id=task_id, worker="w")
            await rig.tasks.complete(task_id, 1)
    damage(path, BODY, b"{")
    async with reopened(path, Kind(name="k", ended=note)) as rig, publishing(rig):
        with trio.fail_after(20):
            await rig.drained_in_real_time()
    assert ended == ["good"]
