"""The work of a session on a virtual clock: how many datasets at once, and what counts as a sign of life."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from streamd.database import StoreSettings
from streamd.runtime import Runtime
from streamd.services.research import Inputs, Query, register_source
from streamd.services.research.configuration import load_areas
from streamd.services.research.job import Research
from streamd.services.research.settings import ResearchSettings
from streamd.settings import Settings
from streamd.tasks import Kind, StepPlan, Task, Tasks

ASKED = {"areaId": "a", "companyId": "acme", "userRole": "CEO", "userCompany": "Co"}


class Crowd:
    """Counts who is here."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.order: list[str] = []


CROWDS: dict[str, Crowd] = {}


@register_source("work_test_crowd")
async def crowd(query: Query, _inputs: Inputs) -> bool:
    """Takes a second."""
    crowd = CROWDS[query.company_id]
    crowd.now += 1
    crowd.most = max(crowd.most, crowd.now)
    await trio.sleep(1)
    crowd.now -= 1
    return True


@register_source("work_test_slow")
async def slow(_query: Query, inputs: Inputs) -> bool:
    """Takes 200 s, and says so every 50 s."""
    for quarter in range(4):
        await trio.sleep(50)
        await inputs.report(f"quarter {quarter}", 25 * quarter)
    return True


@register_source("work_test_silent")
async def silent(_query: Query, _inputs: Inputs) -> None:
    """Never says anything."""
    await trio.sleep_forever()


@asynccontextmanager
async def working(folder: Path, functions: list[str], **settings: Any) -> AsyncIterator[Tasks]:
    """Tasks with an area ``a`` of these functions; all in memory, so that no thread holds up the clock."""
    text = "".join(
        f'[datasets.d{number}]\nfunction = "work_test_{name}"\ntimeout_seconds = {seconds}\n'
        for number, (name, _, seconds) in enumerate(
            (function.partition(":")[0], "", function.partition(":")[2] or "1000") for function in functions
        )
    )
    names = ", ".join(f'"d{number}"' for number in range(len(functions)))
    (folder / "areas.toml").write_text(f"{text}[areas.a]\ndatasets = [{names}]\n")
    research = ResearchSettings(**settings)
    areas = load_areas(folder / "areas.toml", research, {})
    all_settings = attrs.evolve(Settings(), research=research, store=StoreSettings(url="memory:"))
    runtime = Runtime.create(all_settings)
    work = Research(areas, research, all_settings.tasks.max_result_bytes).work
    runtime.tasks.register(Kind(name="research", work=work, timeout_seconds=research.timeout_seconds))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runtime.broker.log.run)
        nursery.start_soon(runtime.broker.hub.run)
        await nursery.start(runtime.runner.run)
        yield runtime.tasks
        nursery.cancel_scope.cancel()


async def run(tasks: Tasks, datasets: int, **asked: str) -> tuple[Task, float]:
    """A session's end, and the seconds until it."""
    began = trio.current_time()
    plan = [StepPlan(f"d{number}") for number in range(datasets)]
    task = await tasks.create("research", input=ASKED | asked, steps=plan)
    while not task.status.ended:
        await trio.sleep(0.125)
        task = await tasks.get(task.id)
    return task, trio.current_time() - began


@pytest.mark.parametrize(("parallel", "seconds"), [(1, 5), (2, 3), (4, 2), (9, 1)])
async def test_so_many_datasets_are_fetched_at_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, parallel: int, seconds: float
) -> None:
    counted = CROWDS[f"crowd{parallel}"] = Crowd()
    async with working(tmp_path, ["crowd"] * 5, parallel_datasets=parallel) as tasks:
        task, took = await run(tasks, 5, companyId=f"crowd{parallel}")
    assert task.status == "completed"
    assert counted.most == min(parallel, 5)
    assert took == pytest.approx(seconds, abs=0.2)


async def test_a_slow_dataset_that_speaks_does_not_stall(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with working(tmp_path, ["slow"], stall_seconds=60.0) as tasks:
        task, took = await run(tasks, 1)
    assert task.status == "completed"
    assert took == pytest.approx(200, abs=0.2)


async def test_silence_is_counted_from_the_last_sign_of_life_of_any(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with working(tmp_path, ["slow", "silent"], stall_seconds=60.0) as tasks:
        task, took = await run(tasks, 2)
    assert task.error is not None
    assert task.error.code == "stalled"
    assert took == pytest.approx(200 + 60, abs=0.2)
    assert [step.status for step in task.steps] == ["completed", "failed"]


async def test_a_dataset_that_takes_too_long_fails_alone(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with working(tmp_path, ["slow", "silent:20"], stall_seconds=60.0) as tasks:
        task, took = await run(tasks, 2)
        result = await tasks.result(task.id)
    assert task.status == "completed"
    assert took == pytest.approx(200, abs=0.2)
    assert result["missing"] == [
        {"dataset": "d1", "title": "d1", "reason": "work_test_silent took longer than 20 s"}
    ]


async def test_the_whole_has_a_limit(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with working(tmp_path, ["slow", "silent"], timeout_seconds=120.0) as tasks:
        task, took = await run(tasks, 2)
    assert task.error is not None
    assert (task.error.code, task.error.detail) == (
        "timeout",
        "it took longer than the 120 s that it may take",
    )
    assert took == pytest.approx(120, abs=0.3)


async def test_an_area_that_is_gone_by_the_time_of_the_work(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with working(tmp_path, ["slow"]) as tasks:
        task, _ = await run(tasks, 1, areaId="removed")
    assert task.error is not None
    assert (task.error.code, task.error.detail) == ("area-gone", "the area removed is not served any more")
