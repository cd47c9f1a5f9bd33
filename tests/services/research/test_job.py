"""The work of a session on a virtual clock: parallel datasets, stall timeouts and other limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import trio
import trio.testing

from streamd.clock import SteadyClock
from streamd.database import StoreSettings
from streamd.events import format_time
from streamd.runtime import Runtime
from streamd.services.research import Reader, ResearchQuery, register_source
from streamd.services.research.configuration import load_areas
from streamd.services.research.job import ResearchJob
from streamd.services.research.settings import ResearchSettings
from streamd.settings import Settings
from streamd.tasks import Kind, StepPlan, Task, Tasks
from tests.support.clocks import WallClock

REQUEST = {"areaId": "a", "companyId": "acme", "userRole": "CEO", "userCompany": "Co"}


class ConcurrencyCounter:
    """The number of concurrent calls, and its maximum."""

    def __init__(self) -> None:
        self.now = 0
        self.maximum = 0


COUNTERS: dict[str, ConcurrencyCounter] = {}


@register_source("job_test_counted")
async def counted(query: ResearchQuery, _reader: Reader) -> bool:
    """Take a second."""
    counter = COUNTERS[query.company_id]
    counter.now += 1
    counter.maximum = max(counter.maximum, counter.now)
    await trio.sleep(1)
    counter.now -= 1
    return True


@register_source("job_test_slow")
async def slow(_query: ResearchQuery, reader: Reader) -> bool:
    """Take 200 s, with a report every 50 s."""
    for quarter in range(4):
        await trio.sleep(50)
        await reader.report(f"quarter {quarter}", 25 * quarter)
    return True


WALL: Final = WallClock()


@register_source("job_test_stepped")
async def stepped(_query: ResearchQuery, _reader: Reader) -> bool:
    """Set the wall clock back by an hour."""
    await trio.sleep(1)
    WALL.step(-3600)
    return True


@register_source("job_test_silent")
async def silent(_query: ResearchQuery, _reader: Reader) -> None:
    """Never report anything."""
    await trio.sleep_forever()


@asynccontextmanager
async def working(folder: Path, functions: list[str], **settings: Any) -> AsyncIterator[Tasks]:
    """Run tasks with an area ``a`` of these functions; in memory, so that no thread delays the clock."""
    text = "".join(
        f'[datasets.d{number}]\nfunction = "job_test_{name}"\ntimeout_seconds = {seconds}\n'
        for number, (name, _, seconds) in enumerate(
            (function.partition(":")[0], "", function.partition(":")[2] or "1000") for function in functions
        )
    )
    names = ", ".join(f'"d{number}"' for number in range(len(functions)))
    (folder / "areas.toml").write_text(f"{text}[areas.a]\ndatasets = [{names}]\n")
    research = ResearchSettings(**settings)
    areas = load_areas(folder / "areas.toml", research, {})
    all_settings = attrs.evolve(Settings(), research=research, store=StoreSettings(url="memory:"))
    runtime = Runtime.create(all_settings, clock=SteadyClock(WALL))
    job = ResearchJob(areas, research, all_settings.tasks.max_result_bytes)
    runtime.tasks.register(Kind(name="research", work=job, timeout_seconds=research.timeout_seconds))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runtime.broker.log.run)
        nursery.start_soon(runtime.broker.hub.run)
        await nursery.start(runtime.runner.run)
        yield runtime.tasks
        nursery.cancel_scope.cancel()


async def run(tasks: Tasks, datasets: int, **asked: str) -> tuple[Task, float]:
    """Return the ended task of a session, and its duration (s)."""
    began = trio.current_time()
    plan = [StepPlan(f"d{number}") for number in range(datasets)]
    task = await tasks.create("research", input=REQUEST | asked, steps=plan)
    while not task.status.ended:
        await trio.sleep(0.125)
        task = await tasks.get(task.id)
    return task, trio.current_time() - began


@pytest.mark.parametrize(("parallel", "seconds"), [(1, 5), (2, 3), (4, 2), (9, 1)])
async def test_number_of_parallel_datasets_is_limited(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, parallel: int, seconds: float
) -> None:
    counter = COUNTERS[f"counted{parallel}"] = ConcurrencyCounter()
    async with working(tmp_path, ["counted"] * 5, parallel_datasets=parallel) as tasks:
        task, took = await run(tasks, 5, companyId=f"counted{parallel}")
    assert task.status == "completed"
    assert counter.maximum == min(parallel, 5)
    assert took == pytest.approx(seconds, abs=0.2)


async def test_reports_of_a_slow_dataset_prevent_a_stall(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with working(tmp_path, ["slow"], stall_seconds=60.0) as tasks:
        task, took = await run(tasks, 1)
    assert task.status == "completed"
    assert took == pytest.approx(200, abs=0.2)


async def test_stall_timeout_starts_at_the_last_report_of_any_dataset(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with working(tmp_path, ["slow", "silent"], stall_seconds=60.0) as tasks:
        task, took = await run(tasks, 2)
    assert task.error is not None
    assert task.error.code == "stalled"
    assert took == pytest.approx(200 + 60, abs=0.2)
    assert [step.status for step in task.steps] == ["completed", "failed"]


async def test_slow_dataset_fails_alone(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with working(tmp_path, ["slow", "silent:20"], stall_seconds=60.0) as tasks:
        task, took = await run(tasks, 2)
        result = await tasks.result(task.id)
    assert task.status == "completed"
    assert took == pytest.approx(200, abs=0.2)
    assert result["missing"] == [
        {"dataset": "d1", "title": "d1", "reason": "the computation of 'd1' took longer than 20 s"}
    ]


async def test_session_has_a_timeout(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with working(tmp_path, ["slow", "silent"], timeout_seconds=120.0) as tasks:
        task, took = await run(tasks, 2)
    assert task.error is not None
    assert (task.error.code, task.error.detail) == (
        "timeout",
        "it took longer than the 120 s that it may take",
    )
    assert took == pytest.approx(120, abs=0.3)


async def test_removed_area_fails_the_session(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with working(tmp_path, ["slow"]) as tasks:
        task, _ = await run(tasks, 1, areaId="removed")
    assert task.error is not None
    assert (task.error.code, task.error.detail) == ("area-gone", "the area removed is not served any more")


async def test_the_times_of_a_session_never_run_backwards(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with working(tmp_path, ["stepped", "stepped"], parallel_datasets=1) as tasks:
        task, seconds = await run(tasks, 2)
        result = await tasks.result(task.id)
        times = [format_time(task.created_at), *(found["time"] for found in result["findings"])]
        times += [result["time"], format_time(task.ended_at or task.created_at)]
        assert len(times) == 5
        assert times == sorted(times)
        assert seconds == pytest.approx(2, abs=0.2)
