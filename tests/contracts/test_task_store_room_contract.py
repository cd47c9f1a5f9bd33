"""The contract of task stores without room: new tasks and long results are refused, all else goes on."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from streamd.errors import InsufficientStorage, NotFound
from streamd.idempotency import IdempotencyKey
from streamd.tasks import Status, StepPlan
from streamd.tasks.store.port import Bounds, TaskStore
from tests.support.clocks import at
from tests.support.task_stores import (
    STORES,
    completing,
    contents_of,
    creating,
    failing,
    publish_all,
    starting,
    store_task,
    updating,
)

KEY = IdempotencyKey("scope", "key", b"fingerprint")
LONG = b'"' + b"x" * 200_000 + b'"'  # more than the pages that are free by chance
BOUNDED = [name for name in STORES if name != "redis"]  # whose server has a bound of its own


@pytest.fixture(params=BOUNDED)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaskStore]:
    async with STORES[request.param](tmp_path) as store:
        yield store


async def fill(store: TaskStore) -> None:
    """Store two tasks, and leave no room."""
    await store_task(store, "large", starting(), raw_input=LONG)
    await store.create([creating("kept")], raw_input=LONG, max_unfinished=9, max_tasks=1000, key=KEY)
    store.room.max_bytes = store.room.used_bytes


async def test_a_store_without_room_takes_no_new_task(store: TaskStore) -> None:
    refusals = []
    store.room.count_refusal = lambda: refusals.append(1)
    await fill(store)
    before = await contents_of(store)
    with pytest.raises(InsufficientStorage) as caught:
        await store.create([creating("new")], max_unfinished=9, max_tasks=1000)
    assert caught.value.status == 503
    assert caught.value.retry_after_seconds
    assert refusals == [1]
    assert await contents_of(store) == before
    again = await store.create([creating("new")], max_unfinished=9, max_tasks=1000, key=KEY)
    assert again is not None, "the retry of a request gets its task"
    assert again.id == "kept"


async def test_steps_take_room(store: TaskStore) -> None:
    steps = [StepPlan(f"{number} " + "s" * 1000) for number in range(200)]
    used = store.room.used_bytes
    await store.create([creating("new", steps=steps)], max_unfinished=9, max_tasks=1000)
    assert store.room.used_bytes >= used + 150_000


async def test_tasks_of_a_store_without_room_go_on_and_end(store: TaskStore) -> None:
    await fill(store)
    assert (await store.change("large", updating(text="short"))).version == 3
    before = await contents_of(store)
    for long in (updating(text="x" * 10_000), completing(result=LONG)):
        with pytest.raises(InsufficientStorage):
            await store.change("large", long)
    assert await contents_of(store) == before
    assert (await store.change("large", completing())).status is Status.COMPLETED
    assert (await store.change("kept", failing())).status is Status.FAILED


async def test_there_is_room_again_when_tasks_have_expired(store: TaskStore) -> None:
    await fill(store)
    await store.change("large", completing())
    await publish_all(store)
    used, bound = store.room.used_bytes, Bounds(keep_seconds=1, max_kept=9)
    now = at(60) + timedelta(hours=1)
    [expired] = await store.expire(now, {}, bound, tombstone_seconds=1e6, max_tombstones=9)
    assert expired.id == "large"
    assert store.room.used_bytes <= used - len(LONG) + 50_000
    await store.create([creating("new")], max_unfinished=9, max_tasks=1000)


async def test_no_room_for_a_task_of_any_kind_is_told_as_such(store: TaskStore) -> None:
    await store.create([creating("kept")], max_unfinished=9, max_tasks=1000, key=KEY)
    with pytest.raises(InsufficientStorage, match="all kinds"):
        await store.create([creating("new")], max_unfinished=0, max_tasks=1000)
    with pytest.raises(NotFound):
        await store.get("new")
    again = await store.create([creating("new")], max_unfinished=0, max_tasks=1000, key=KEY)
    assert again is not None
    assert again.id == "kept"
