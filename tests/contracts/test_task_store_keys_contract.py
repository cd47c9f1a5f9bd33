"""The contract of the task store: idempotency keys."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from streamd.errors import IdempotencyConflict, NotFound, TaskExists, Unavailable
from streamd.idempotency import IdempotencyKey
from streamd.tasks import Task
from streamd.tasks.store.port import Bounds, TaskStore
from tests.support.clocks import at
from tests.support.task_stores import (
    STORES,
    completing,
    contents_of,
    creating,
    open_sqlite,
    publish_all,
    starting,
    store_task,
    updating,
)

KEY = IdempotencyKey.create("k", "content")


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaskStore]:
    async with STORES[request.param](tmp_path) as store:
        yield store


async def create(store: TaskStore, task_id: str, key: IdempotencyKey = KEY, **fields: Any) -> Task | None:
    """Create a task under a key; return the one that was stored before."""
    return await store.create([creating(task_id, **fields)], max_unfinished=100, max_tasks=1000, key=key)


async def test_a_key_returns_its_task_as_it_is_now_and_stores_nothing(store: TaskStore) -> None:
    assert await create(store, "t") is None
    for operation in (starting(), updating(progress=10, text="x"), completing()):
        changed = await store.change("t", operation)
        before = await contents_of(store)
        assert await create(store, "other") == changed
        assert await contents_of(store) == before
    with pytest.raises(NotFound):
        await store.get("other")


async def test_a_known_key_comes_before_the_checks_of_a_new_task(store: TaskStore) -> None:
    await create(store, "t")
    task = await store.get("t")
    assert await create(store, "t") == task
    assert await store.create([creating("more")], max_unfinished=1, max_tasks=1000, key=KEY) == task


async def test_other_content_under_a_key_is_a_conflict(store: TaskStore) -> None:
    await create(store, "t")
    before = await contents_of(store)
    for task_id in ("t", "other"):
        with pytest.raises(IdempotencyConflict) as conflict:
            await create(store, task_id, IdempotencyKey.create("k", "other content"))
        assert conflict.value.field == "Idempotency-Key"
    assert await contents_of(store) == before


@pytest.mark.parametrize(
    "other",
    [
        IdempotencyKey.create("K", "content"),
        IdempotencyKey.create("k", "content", scope="/ann"),
        IdempotencyKey.create("k", "other content", scope="kind/"),
    ],
)
async def test_other_keys_and_scopes_have_tasks_of_their_own(store: TaskStore, other: IdempotencyKey) -> None:
    assert await create(store, "a") is None
    assert await create(store, "b", other) is None
    assert await create(store, "c") == await store.get("a")
    assert await create(store, "c", other) == await store.get("b")


async def test_a_rejected_task_uses_up_no_key(store: TaskStore) -> None:
    await store_task(store, "t")
    with pytest.raises(TaskExists):
        await create(store, "t")
    with pytest.raises(Unavailable):
        await store.create([creating("u")], max_unfinished=1, max_tasks=1000, key=KEY)
    assert await create(store, "v", IdempotencyKey.create("k", "corrected content")) is None


async def test_concurrent_creations_under_one_key_store_one_task(store: TaskStore) -> None:
    found: list[Task | None] = []

    async def create_one(task_id: str) -> None:
        found.append(await create(store, task_id))

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(create_one, f"t{number}")
    [task] = await store.find()
    assert found.count(None) == 1
    assert found.count(task) == 9
    assert await store.outbox_depth() == 1


async def test_a_key_is_kept_as_long_as_its_task(store: TaskStore) -> None:
    keys = {"a": KEY, "b": IdempotencyKey.create("b", 1), "c": IdempotencyKey.create("c", 1)}
    for task_id, key in keys.items():
        await create(store, task_id, key)
    await store.change("a", starting())
    await store.change("a", completing(10))
    await publish_all(store)
    bounds = Bounds(keep_seconds=90, max_kept=100)

    async def expire(seconds: float) -> int:
        expired = await store.expire(at(seconds), {}, bounds, tombstone_seconds=1000, max_tombstones=100)
        return len(expired)

    assert await expire(99) == 0
    assert await create(store, "again") == await store.get("a")
    assert await expire(100) == 1
    with pytest.raises(TaskExists):  # the id is remembered longer than the key
        await create(store, "a")
    assert await create(store, "again", IdempotencyKey.create("k", "other content")) is None
    assert await create(store, "more", keys["b"]) == await store.get("b")


async def test_a_key_survives_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    async with open_sqlite(path) as store:
        await create(store, "t")
    async with open_sqlite(path) as store:
        assert await create(store, "other") == await store.get("t")
        with pytest.raises(IdempotencyConflict):
            await create(store, "other", IdempotencyKey.create("k", "other content"))
