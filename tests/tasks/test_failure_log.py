"""The log line of each task that fails or stalls, on every store and over a restart."""

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from structlog.typing import EventDict

from streamd.tasks import Kind, Progress, WorkFailed
from tests.support.local_work import hang, local
from tests.support.task_rig import SetClock, make_rig, run_rig, running
from tests.support.task_stores import STORES, OpenStore

Clock = trio.testing.MockClock


def failures(logs: list[EventDict]) -> list[tuple[str, str, str, str]]:
    """Return event, level, task and code of the lines about failures."""
    return [
        (entry["event"], entry["log_level"], entry["task"], entry["code"])
        for entry in logs
        if entry["event"] in ("task_failed", "task_stalled")
    ]


@pytest.fixture(params=["memory", "sqlite:file", "redis"])
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    return STORES[request.param]


async def test_each_failure_is_one_warning(open_store: OpenStore, tmp_path: Path) -> None:
    async def refuse(progress: Progress) -> Any:
        raise WorkFailed("the file has no rows", code="no-rows")

    async def crash(progress: Progress) -> Any:
        raise ZeroDivisionError

    kinds = [Kind(name="refuse", work=refuse), Kind(name="crash", work=crash), Kind(name="remote")]
    with capture_logs() as logs:
        async with open_store(tmp_path) as store, run_rig(store=store, kinds=kinds, now=SetClock()) as rig:
            await rig.tasks.create("refuse", id="a")
            await rig.ended("a")
            await rig.tasks.create("crash", id="b")
            await rig.ended("b")
            task = await rig.tasks.create("remote", id="c", worker="w")
            await rig.tasks.fail("c", lease=task.lease, code="bad-file", detail="it is empty")
            await rig.tasks.create("remote", id="d")
            await rig.tasks.cancel("d")
            await rig.ended("d")
    assert failures(logs) == [
        ("task_failed", "warning", "a", "no-rows"),
        ("task_failed", "warning", "b", "internal"),
        ("task_failed", "warning", "c", "bad-file"),
    ]
    assert [entry["task"] for entry in logs if entry.get("exc_info")] == ["b"]


async def test_a_lost_lease_and_a_missed_deadline_are_warnings(autojump_clock: Clock) -> None:
    with capture_logs() as logs:
        async with run_rig(kinds=[Kind(name="remote")], sweep_seconds=1.0) as rig:
            await rig.tasks.create("remote", id="stalled", worker="w", lease_seconds=5)
            await rig.tasks.create("remote", id="late", timeout_seconds=50)
            await rig.ended("stalled")
            await rig.ended("late")
    assert failures(logs) == [
        ("task_stalled", "warning", "stalled", "stalled"),
        ("task_failed", "warning", "late", "timeout"),
    ]


@pytest.mark.parametrize("open_store", ["memory", "sqlite:file"], indirect=True)
async def test_tasks_that_a_restart_ends_are_warnings_of_the_new_process(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store(tmp_path) as store:
        async with run_rig(store=store, kinds=[local(hang)], now=SetClock()) as rig:
            await rig.tasks.create("local", id="cut-off")
            with trio.fail_after(10):
                while not await store.held_by("local:"):
                    await trio.lowlevel.checkpoint()
        with capture_logs() as logs:
            async with running(
                make_rig(store=store, log=rig.log, kinds=[local(hang)], now=SetClock())
            ) as rig:
                await rig.ended("cut-off")
    assert failures(logs) == [("task_stalled", "warning", "cut-off", "stalled")]
