"""The wall clock is set while workers elsewhere hold tasks: over HTTP, on both stores, and over a restart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamd.app import create_app
from streamd.clock import SteadyClock
from streamd.database import StoreSettings
from streamd.settings import Settings
from streamd.tasks.settings import TaskSettings
from streamd.testing import run_server
from tests.support.api import SECONDS
from tests.support.clocks import WallClock
from tests.support.tasks_client import TasksApi

STEPS = [120, 86_400, -3600]
TIMES = ("created_at", "started_at", "updated_at", "ended_at")


@asynccontextmanager
async def serving(url: str, wall: WallClock) -> AsyncIterator[TasksApi]:
    """Run a server with a wall clock that the test sets, and with frequent sweeps."""
    settings = Settings(store=StoreSettings(url=url), tasks=TaskSettings(sweep_seconds=0.01))
    async with run_server(app=create_app(settings, clock=SteadyClock(wall))) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
            yield TasksApi(server, http)


async def swept(api: TasksApi) -> None:
    """Wait for a sweep that began after this call: it fails a task whose deadline has passed."""
    task = await api.create(kind="overdue", timeout_seconds=0.001)
    while task["status"] == "pending":
        task = (await api.http.get(f"/tasks/{task['id']}")).json()
    assert task["error"]["code"] == "timeout"
    check_times(task)


def check_times(task: dict[str, Any]) -> None:
    times = [task[name] for name in TIMES if task[name] is not None]
    assert times == sorted(times)


@pytest.mark.parametrize("step", STEPS)
async def test_workers_keep_their_tasks_when_the_clock_is_set(step: float, store_url: str) -> None:
    wall = WallClock()
    async with serving(store_url, wall) as api:
        done = await api.create(id="done", worker="w")
        await api.report(done, status="completed", result=7)
        held = await api.create(id="held", worker="w", lease_seconds=60, timeout_seconds=90)
        await api.create(id="waits", timeout_seconds=90)
        wall.step(step)
        await swept(api)
        listed = {task["id"]: task for task in (await api.http.get("/tasks?kind=import")).json()["tasks"]}
        assert {name: task["status"] for name, task in listed.items()} == {
            "done": "completed",
            "held": "running",
            "waits": "pending",
        }
        assert (await api.http.get("/tasks/done/result")).json() == 7
        answer = await api.report(held, progress=50)
        assert answer["lease_until"] > answer["updated_at"] < answer["deadline"]
        claimed = (await api.post("/tasks/claim", kinds=["import"], worker="w")).json()
        assert claimed["id"] == "waits"
        wall.step(-step)
        await swept(api)
        for task in (held, claimed):
            ended = await api.report(task, status="completed", result=1)
            assert ended["status"] == "completed"
            check_times(ended)


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_goes_on_after_a_restart_with_another_clock(step: float, tmp_path: Path) -> None:
    wall, url = WallClock(), f"sqlite:{tmp_path / 'streamd.db'}"
    async with serving(url, wall) as api:
        held = await api.create(worker="w", timeout_seconds=80_000)
        await api.report(held, progress=10)
    wall.step(min(step, 3600))
    async with serving(url, wall) as api:
        await swept(api)
        answer = await api.report(held, progress=20)
        assert answer["status"] == "running"
        check_times(answer)
        check_times(await api.report(held, status="completed", result=1))
