"""Damaged tasks in Redis: an error for one task; lists, claims and sweeps go on."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamd.errors import Gone, Unreadable
from streamd.tasks import Status
from streamd.tasks.store.port import Bounds
from streamd.tasks.store.redis import RedisTaskStore
from tests.support.clocks import at
from tests.support.damage import counted
from tests.support.redis_servers import new_prefix, shared_server
from tests.support.task_rig import names
from tests.support.task_stores import (
    completing,
    open_redis,
    publish_all,
    starting,
    store_task,
    updating,
    waiting_versions,
)

IDS = ["pending", "running", "ended"]
DAMAGE = ["", "{", "[" * 20_000, "null", "[1]", '{"id":5}', None]


@pytest.fixture
def prefix() -> str:
    return new_prefix()


def damage(prefix: str, key: str, field: str, value: str | None) -> None:
    """Set a field of a hash; None deletes it."""
    command = (
        ("HDEL", f"{prefix}:{key}", field) if value is None else ("HSET", f"{prefix}:{key}", field, value)
    )
    shared_server().command(*command)


async def check_unreadable(task_id: str, *calls: Callable[[str], Awaitable[Any]]) -> None:
    for call in calls:
        with pytest.raises(Unreadable) as caught:
            await call(task_id)
        assert task_id in caught.value.detail


async def fill(store: RedisTaskStore) -> None:
    """Store a task that will be damaged and a good one of each status, the former first."""
    for name in ("bad", "good"):
        await store_task(store, f"{name}-pending", raw_input=b'"in"')
        await store_task(store, f"{name}-running", starting())
        await store_task(store, f"{name}-ended", starting(), updating(text="text"), completing())
    await publish_all(store)


@pytest.mark.parametrize("value", DAMAGE)
async def test_a_damaged_task_is_an_error_for_itself_alone(prefix: str, value: str | None) -> None:
    async with open_redis(prefix) as store:
        await fill(store)
        for name in IDS:
            damage(prefix, f"task:bad-{name}", "body", value)
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
        assert claimed.task.id == "good-pending"
        assert await store.claim(["k"], starting()) is None
        assert found == ["task"] * 3


async def test_a_claim_passes_over_any_number_of_damaged_tasks(prefix: str) -> None:
    async with open_redis(prefix) as store:
        for n in range(120):
            await store_task(store, f"bad{n}")
        await store_task(store, "good")
        ids = " ".join(f"'bad{n}'" for n in range(120)).replace(" ", ", ")
        script = f"for _, id in ipairs({{{ids}}}) do redis.call('HSET', KEYS[1] .. id, 'body', '{{') end"
        shared_server().command("EVAL", script, "1", f"{prefix}:task:")
        claimed = await store.claim(["k"], starting())
        assert claimed is not None
        assert claimed.task.id == "good"


async def expire(store: RedisTaskStore, seconds: float) -> list[str]:
    bounds = Bounds(keep_seconds=100, max_kept=100)
    expired = await store.expire(at(seconds), {}, bounds, tombstone_seconds=1000, max_tombstones=100)
    return sorted(task.id for task in expired)


async def test_damaged_tasks_expire(prefix: str) -> None:
    async with open_redis(prefix) as store:
        await fill(store)
        for name in IDS:
            damage(prefix, f"task:bad-{name}", "body", "{")
        assert await expire(store, 102) == []
        assert await expire(store, 103) == ["bad-ended", "good-ended"]
        assert await expire(store, 159) == []  # an unfinished task is kept as long after its deadline
        assert await expire(store, 160) == ["bad-pending", "bad-running"]
        with pytest.raises(Gone):
            await store.get("bad-running")
        assert names(await store.find()) == ["good-running", "good-pending"]


async def test_a_task_that_has_lost_its_hash_stops_nothing(prefix: str) -> None:
    async with open_redis(prefix) as store:
        await fill(store)
        for name in IDS:
            shared_server().command("DEL", f"{prefix}:task:bad-{name}")
        assert names(await store.find()) == ["good-ended", "good-running", "good-pending"]
        assert names(await store.overdue(at(10_000))) == ["good-pending", "good-running"]
        claimed = await store.claim(["k"], starting())
        assert claimed is not None
        assert claimed.task.id == "good-pending"
        assert await expire(store, 1000) == ["bad-ended", "bad-pending", "bad-running", "good-ended"]
        assert await expire(store, 1000) == []


@pytest.mark.parametrize("field", ["published_version", "end", "result", "input"])
async def test_damage_to_a_field_is_an_error_for_its_task_alone(prefix: str, field: str) -> None:
    async with open_redis(prefix) as store:
        await fill(store)
        damage(prefix, "task:bad-ended", field, "{")
        assert len(await store.find()) == 6
        snapshot = await store.snapshot("good-ended")
        assert snapshot.end is not None
        if field == "end":
            await check_unreadable("bad-ended", store.snapshot)
        elif field == "result":
            assert await store.result("bad-ended") == b"{"  # the caller decodes it
        elif field == "input":
            assert await store.input("bad-ended") == b"{"
        else:
            assert (await store.snapshot("bad-ended")).published_version == 0


@pytest.mark.parametrize("value", DAMAGE)
async def test_a_damaged_row_of_the_outbox_does_not_stop_the_others(prefix: str, value: str | None) -> None:
    async with open_redis(prefix) as store:
        await store_task(store, "bad", starting())
        await store_task(store, "good", starting())
        damage(prefix, "tasks:outbox:rows", "bad:1:0", value)
        assert await waiting_versions(store) == [("bad", 2), ("good", 1), ("good", 2)]
        assert await store.outbox_depth() == 3
