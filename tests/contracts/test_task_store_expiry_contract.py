"""The contract of the task store: expiry, tombstones and reopened files."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streamd.errors import Gone, NotFound, TaskExists
from streamd.tasks import Status
from streamd.tasks.store.port import Bounds, TaskStore
from tests.support.clocks import at
from tests.support.task_stores import (
    STORES,
    completing,
    contents_of,
    creating,
    failing,
    open_sqlite,
    publish_all,
    starting,
    store_task,
    updating,
    waiting_versions,
)

PLENTY = Bounds(keep_seconds=10_000, max_kept=10_000)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaskStore]:
    async with STORES[request.param](tmp_path) as store:
        yield store


async def expire(store: TaskStore, seconds: float, **values: Any) -> list[str]:
    """Delete expired tasks at a time, and return their ids."""
    bounds = {"bounds": {}, "default": PLENTY, "tombstone_seconds": 1000.0, "max_tombstones": 100, **values}
    return [task.id for task in await store.expire(at(seconds), **bounds)]


# --- expiry -------------------------------------------------------------------------------------------


async def test_tasks_that_ended_too_long_ago_are_deleted_and_gone(store: TaskStore) -> None:
    await store_task(store, "old", starting(), updating(text="text"), completing(10))
    await store_task(store, "young", starting(), failing(11))
    await store_task(store, "running", starting())
    await store_task(store, "pending")
    await publish_all(store)
    default = Bounds(keep_seconds=90, max_kept=100)
    assert await expire(store, 99.9, default=default) == []
    assert await expire(store, 100, default=default) == ["old"]
    for ask in (store.get, store.input, store.snapshot, store.result):
        with pytest.raises(Gone) as caught:
            await ask("old")
        assert caught.value.field == "id"
    with pytest.raises(Gone):
        await store.change("old", lambda _: [])
    with pytest.raises(TaskExists):
        await store.create([creating("old")], max_unfinished=9, max_tasks=1000)
    assert [task.id for task in await store.find()] == ["pending", "running", "young"]


async def test_excess_tasks_are_deleted_in_the_order_of_their_ends(
    store: TaskStore,
) -> None:
    for task_id, end in (("a", 30), ("b", 10), ("c", 20)):
        await store_task(store, task_id, starting(), completing(end))
    await store_task(store, "other", starting(), completing(5), kind="j")
    await store_task(store, "running", starting())
    await publish_all(store)
    bounds = {"k": Bounds(keep_seconds=1000, max_kept=3)}
    assert await expire(store, 50, bounds=bounds) == ["b"]
    assert await expire(store, 50, bounds=bounds) == []
    bounds = {"k": Bounds(keep_seconds=1000, max_kept=1)}
    assert await expire(store, 50, bounds=bounds) == ["c", "a"]
    assert await expire(store, 50, bounds={"k": Bounds(1000, 0), "j": PLENTY}) == []
    assert [task.id for task in await store.find()] == ["running", "other"]


async def test_limits_of_age_and_number_apply_together_by_kind(store: TaskStore) -> None:
    for n in range(6):
        await store_task(store, f"k{n}", starting(), completing(10 + n))
        await store_task(store, f"j{n}", starting(), completing(10 + n), kind="j")
    await publish_all(store)
    gone = await expire(store, 21, bounds={"j": Bounds(9, 5)}, default=Bounds(1000, 2))
    assert sorted(gone) == ["j0", "j1", "j2", "k0", "k1", "k2", "k3"]
    assert [name for name in gone if name[0] == "k"] == ["k0", "k1", "k2", "k3"]


async def test_a_task_stays_until_its_last_message_is_published(store: TaskStore) -> None:
    await store_task(store, "t", starting(), completing(10))
    assert await expire(store, 900, default=Bounds(1, 0)) == []
    assert (await store.get("t")).status is Status.COMPLETED
    await publish_all(store)
    assert await expire(store, 900, default=Bounds(1, 0)) == ["t"]


async def test_a_task_stays_while_its_last_row_is_kept(store: TaskStore) -> None:
    await store_task(store, "t", starting(), completing(10))
    await publish_all(store, keep_last=True)
    assert await expire(store, 900, default=Bounds(1, 0)) == []
    await store.mark_ended("t")
    assert await expire(store, 900, default=Bounds(1, 0)) == ["t"]


async def gone(store: TaskStore, task_id: str) -> bool:
    with pytest.raises((Gone, NotFound)) as caught:
        await store.get(task_id)
    return isinstance(caught.value, Gone)


async def test_tombstones_expire(store: TaskStore) -> None:
    for task_id, seconds in (("a", 100), ("b", 150)):
        await store_task(store, task_id, starting(), completing(10))
        await publish_all(store)
        await expire(store, seconds, default=Bounds(1, 0), tombstone_seconds=60.0)
    assert [await gone(store, "a"), await gone(store, "b")] == [True, True]
    await expire(store, 160, tombstone_seconds=60.0)
    assert [await gone(store, "a"), await gone(store, "b")] == [False, True]
    await store.create([creating("a")], max_unfinished=1, max_tasks=1000)
    assert (await store.get("a")).version == 1


async def test_the_number_of_tombstones_is_limited(store: TaskStore) -> None:
    for n in range(5):
        await store_task(store, f"t{n}", starting(), completing(n))
    await publish_all(store)
    assert len(await expire(store, 900, default=Bounds(1, 0), max_tombstones=2)) == 5
    assert [await gone(store, f"t{n}") for n in range(5)] == [False, False, False, True, True]


async def test_a_reused_id_keeps_nothing_of_the_old_task(store: TaskStore) -> None:
    await store_task(store, "t", starting(), updating(text="old", fields={"x": 1}), completing(10))
    await publish_all(store)
    await expire(store, 900, default=Bounds(1, 0), max_tombstones=0)
    made = creating("t", 1000)
    await store.create([made], max_unfinished=1, max_tasks=1000)
    snapshot = await store.snapshot("t")
    assert (snapshot.task, snapshot.text, snapshot.end) == (made.task, "", None)
    assert (snapshot.published_version, snapshot.published_id) == (0, None)
    assert await store.result("t") is None
    assert await waiting_versions(store) == [("t", 1)]


async def test_many_tasks_are_listed_and_deleted_in_order(store: TaskStore) -> None:
    """More than a store that works in steps takes at once."""
    known = [f"t{n}" for n in range(300)]
    for n, task_id in enumerate(known):
        await store_task(store, task_id, starting(), owner="o" if n % 2 else "")
    assert [task.id for task in await store.find(limit=1000)] == known[::-1]
    assert [task.id for task in await store.find(owner="", limit=1000)] == known[-2::-2]
    assert [task.id for task in await store.find(owner="o", limit=140)] == known[:-280:-2]
    assert [task.id for task in await store.held_by("w")] == known
    assert [task.id for task in await store.overdue(at(100))] == known
    await store.renew(known, at(50))
    assert await store.overdue(at(49)) == []
    for task_id in known:
        await store.change(task_id, completing(5))
    await publish_all(store)
    assert await expire(store, 900, default=Bounds(1, 1000), max_tombstones=250) == known
    assert [await gone(store, task_id) for task_id in ("t49", "t50")] == [False, True]
    assert await store.find() == []
    assert not await store.counts()


# --- on disk --------------------------------------------------------------------------------------------


async def test_a_reopened_file_has_everything(tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    async with open_sqlite(path) as store:
        await store_task(store, "gone", starting(), completing(1))
        await publish_all(store)
        await expire(store, 900, default=Bounds(1, 0))
        await store_task(store, "done", starting(), updating(text="text", fields={"x": 1}), completing(10))
        await publish_all(store)
        await store_task(store, "runs", starting(), updating(progress=30))
        await store_task(store, "waits", raw_input=b'{"a":1}')
        before = await contents_of(store)
    async with open_sqlite(path) as store:
        assert await contents_of(store) == before
        assert await store.input("waits") == b'{"a":1}'
        assert await gone(store, "gone")
        assert (await store.change("runs", completing())).version == 4
