"""Attacks on tasks: tasks, kinds, steps, claims, reports."""

import itertools
import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import trio

from tests.hostile.attack import LITTLE_STORAGE, attack
from tests.hostile.target import Target, ask, ask_each, head, post, post_json, quietly

_SQLITE: Final = ("--log", "sqlite:{folder}/streamd.db", "--store", "sqlite:{folder}/streamd.db")
_LEASE: Final = re.compile(rb'"lease": ?"([^"]+)"')


def _create(**fields: Any) -> bytes:
    return post_json("/tasks", fields)


def _report(task_id: str, fields: dict[str, Any]) -> bytes:
    return post(f"/tasks/{task_id}", json.dumps(fields).encode()).replace(b"POST", b"PATCH", 1)


async def _own(target: Target, task_id: str, **fields: Any) -> str:
    """Create a task with a worker, and return its lease."""
    answer = await ask(target, _create(kind="hostile", id=task_id, worker="w", **fields))
    found = _LEASE.search(answer)
    return found[1].decode() if found else ""


@attack()
async def many_tasks(target: Target) -> None:
    """Create tasks of one kind."""
    await target.together(8, ask_each, itertools.repeat(_create(kind="hostile")))


@attack(options=_SQLITE)
async def many_tasks_in_sqlite(target: Target) -> None:
    """Create tasks of one kind in SQLite."""
    await target.together(8, ask_each, itertools.repeat(_create(kind="hostile")))


@attack()
async def many_kinds(target: Target) -> None:
    """Create tasks of another kind each."""
    await target.together(8, ask_each, (_create(kind=f"kind{number}") for number in itertools.count()))


@attack(**LITTLE_STORAGE)
async def many_steps(target: Target) -> None:
    """Create tasks of 200 steps with long names."""
    steps = [{"name": f"{number}" + "s" * 80} for number in range(200)]
    await target.together(8, ask_each, itertools.repeat(_create(kind="hostile", steps=steps)))


@attack(**LITTLE_STORAGE)
async def large_inputs(target: Target) -> None:
    """Create tasks with an input of 1 MB."""
    await target.together(8, ask_each, itertools.repeat(_create(kind="hostile", input="x" * 1_000_000)))


@attack(**LITTLE_STORAGE)
async def deep_inputs(target: Target) -> None:
    """Create tasks with an input of 3,000 deep arrays."""
    body = b'{"kind":"hostile","input":[' + b",".join([b"[" * 60 + b"]" * 60] * 3000) + b"]}"
    await target.together(8, ask_each, itertools.repeat(post("/tasks", body)))


@attack(seconds=4.0)
async def waiting_claims(target: Target) -> None:
    """Let 600 workers wait for tasks, and create tasks beside them."""
    claim = post_json("/tasks/claim", {"kinds": ["claimed"], "worker": "w", "wait_seconds": 30})

    async def claim_often(target: Target) -> None:
        await ask_each(target, itertools.repeat(claim))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(target.together, 600, claim_often)
        await trio.sleep(1.0)
        nursery.start_soon(quietly, partial(ask_each, target, itertools.repeat(_create(kind="claimed"))))


@attack()
async def claims_of_many_kinds(target: Target) -> None:
    """Claim tasks of 100 kinds that have none."""
    kinds = [f"k{number}" for number in range(100)]
    claim = post_json("/tasks/claim", {"kinds": kinds, "worker": "w"})
    await target.together(8, ask_each, itertools.repeat(claim))


@attack()
async def texts_by_the_byte(target: Target) -> None:
    """Report a byte of text at a time, to 50 followers."""
    lease = await _own(target, "bytes")

    async def follow(target: Target) -> None:
        async with await target.connect() as stream:
            await stream.send_all(head("GET", "/tasks/bytes/events"))
            while await stream.receive_some(65_536):
                pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(target.together, 50, follow)
        nursery.start_soon(
            target.together, 4, ask_each, itertools.repeat(_report("bytes", {"lease": lease, "text": "x"}))
        )


@attack()
async def late_followers(target: Target) -> None:
    """Follow a task with 1 MB of text from its beginning, again and again."""
    lease = await _own(target, "long")
    for _ in range(5):
        await ask(target, _report("long", {"lease": lease, "text": "x" * 200_000}))

    async def follow(target: Target) -> None:
        while True:
            await ask(target, head("GET", "/tasks/long/events"))

    await target.together(16, follow)


@attack(**LITTLE_STORAGE)
async def nested_results(target: Target) -> None:
    """Report results of 250 kB of nothing but brackets, which the last events carry."""
    result = json.loads("[" + ",".join(["[" * 50 + "]" * 50] * 2500) + "]")
    for number in itertools.count():
        name = f"n{number}-{trio.current_time()}".replace(".", "")
        lease = await _own(target, name)
        await ask(target, _report(name, {"lease": lease, "status": "completed", "result": result}))


@attack()
async def listings(target: Target) -> None:
    """List 1,000 tasks, again and again."""

    async def create_all(target: Target) -> None:
        await ask_each(target, itertools.repeat(_create(kind="listed", message="m" * 500), 125))

    await target.together(8, create_all)
    await target.together(8, ask_each, itertools.repeat(head("GET", "/tasks?limit=1000")))


@attack()
async def cancellations(target: Target) -> None:
    """Create tasks and cancel them."""

    def pairs(part: int) -> Iterator[bytes]:
        for number in itertools.count():
            name = f"c{part}-{number}-{trio.current_time()}".replace(".", "")
            yield _create(kind="hostile", id=name)
            yield post_json(f"/tasks/{name}/cancel", {})

    async with trio.open_nursery() as nursery:
        for part in range(8):
            nursery.start_soon(quietly, partial(ask_each, target, pairs(part)))


@attack()
async def ended_leases(target: Target) -> None:
    """Start tasks with a lease that runs out at once."""
    await target.together(
        8, ask_each, itertools.repeat(_create(kind="hostile", worker="w", lease_seconds=0.01))
    )
