"""Tasks under idempotency keys: the content that is compared, the scope of a key, the counters."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from streamd.errors import IdempotencyConflict, InvalidField, TaskExists
from streamd.tasks import Kind, Progress, Status, StepPlan
from tests.support.task_rig import Rig, SetClock, check_rejected, make_rig, run_rig
from tests.support.task_stores import STORES

KEY: dict[str, Any] = {"idempotency_key": "k"}
CONTENT: dict[str, Any] = {
    "id": "t",
    "input": {"a": 1, "b": [1.5, None]},
    "steps": [StepPlan("read"), StepPlan("save", 2)],
    "timeout_seconds": 60.0,
    "message": "soon",
    "worker": "me",
    "lease_seconds": 20.0,
}


async def work(progress: Progress) -> Any:
    return progress.input


KINDS = [Kind(name="private", work=work, private=True), Kind(name="other", work=work, private=True)]


@pytest.fixture(params=STORES)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with STORES[request.param](tmp_path) as store:
        yield make_rig(store=store, now=SetClock(), kinds=KINDS)


async def test_the_same_content_returns_the_task_with_its_lease(rig: Rig) -> None:
    task = await rig.tasks.create("k", owner="ann", **CONTENT, **KEY)
    again = {**CONTENT, "input": {"b": [1.5, None], "a": 1}}
    assert await rig.tasks.create("k", owner="ann", **again, **KEY) == task
    assert (task.status, task.worker, bool(task.lease)) == (Status.RUNNING, "me", True)
    assert await rig.tasks.list() == [task]


async def test_generated_ids_are_not_part_of_the_content(rig: Rig) -> None:
    task = await rig.tasks.create("k", **KEY)
    assert await rig.tasks.create("k", **KEY) == task
    assert (await rig.tasks.create("k")).id != task.id


@pytest.mark.parametrize(
    "change",
    [
        {"id": "u"},
        {"id": None},
        {"input": {"a": 2, "b": [1.5, None]}},
        {"steps": [StepPlan("read"), StepPlan("save", 3)]},
        {"steps": []},
        {"timeout_seconds": 61.0},
        {"message": "later"},
        {"worker": "you"},
        {"lease_seconds": None},
        {"kind": "another"},
    ],
)
async def test_any_other_argument_is_a_conflict(rig: Rig, change: dict[str, Any]) -> None:
    task = await rig.tasks.create("k", **CONTENT, **KEY)
    arguments = {"kind": "k", **CONTENT, **change, **KEY}
    await check_rejected(IdempotencyConflict, "Idempotency-Key", lambda: rig.tasks.create(**arguments))
    assert await rig.tasks.list() == [task]


async def test_a_private_kind_compares_the_input_which_the_caller_chose(rig: Rig) -> None:
    task = await rig.tasks.create("private", input=1, steps=[StepPlan("old")], message="old", **KEY)
    assert await rig.tasks.create("private", input=1, steps=[StepPlan("new")], message="new", **KEY) == task
    await check_rejected(
        IdempotencyConflict, "Idempotency-Key", lambda: rig.tasks.create("private", input=2, **KEY)
    )


async def test_a_key_belongs_to_its_owner_and_to_a_private_kind(rig: Rig) -> None:
    ids = set()
    for kind in ("k", "private", "other"):
        for owner in ("", "ann", "bob"):
            for _ in range(2):
                ids.add((await rig.tasks.create(kind, owner=owner, input=owner + kind, **KEY)).id)
    assert len(ids) == 9


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
async def test_an_invalid_key_is_rejected_and_stores_nothing(rig: Rig, key: str) -> None:
    await check_rejected(InvalidField, "Idempotency-Key", lambda: rig.tasks.create("k", idempotency_key=key))
    assert await rig.tasks.list() == []


async def test_a_rejected_request_uses_up_no_key(rig: Rig) -> None:
    await rig.tasks.create("k", id="t")
    await check_rejected(TaskExists, "id", lambda: rig.tasks.create("k", id="t", **KEY))
    await check_rejected(InvalidField, "message", lambda: rig.tasks.create("k", message="m" * 3000, **KEY))
    assert (await rig.tasks.create("k", id="u", **KEY)).id == "u"


async def test_a_repeated_creation_is_neither_counted_nor_published(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with run_rig(kinds=KINDS) as rig:
        task = await rig.tasks.create("private", input=1, **KEY)
        ended = await rig.ended(task.id)
        published = await rig.data_of(task.id)
        assert await rig.tasks.create("private", input=1, **KEY) == ended
        await rig.drained()
        assert await rig.data_of(task.id) == published
        assert +rig.metrics.counts == {("private", Status.COMPLETED): 1}
