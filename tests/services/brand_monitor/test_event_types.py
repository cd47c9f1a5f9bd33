"""Followers receive only the event types of the contract, whatever happens to an analysis."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from streamd.events.sse import ServerSentEvent
from streamd.log.settings import LogSettings
from streamd.services.brand_monitor.job import KIND
from streamd.services.brand_monitor.messages import EVENT_TYPES, present
from streamd.settings import Settings
from streamd.tasks import Kind, Message, Publication, Task
from streamd.testing import StreamRefused, open_stream
from tests.support.brand_rig import ERROR_KEYS, PREFIX, PROGRESS_KEYS, Rig, rig
from tests.support.messages import data_of

TYPES: Final = {"connected", "progress", "error", "heartbeat", "gap", "closing"}

Run = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.fixture(params=["memory", "sqlite"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Return a function that runs a server; each has the store of the one before on SQLite."""
    url = "memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'brand.db'}"

    @asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[Rig]:
        async with rig(store={"url": url}, **options) as server:
            yield server

    return run


async def blocks_of(r: Rig, task_id: str, **options: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return type and data of everything that a follower receives until the end of its stream."""
    found = []
    async with open_stream(r.url, path=f"{PREFIX}/progress/{task_id}", **options) as stream:
        while (block := await stream.next_block()) is not None:
            if isinstance(block, ServerSentEvent):
                found.append((block.type, data_of(block)))
    assert {type for type, _ in found} <= TYPES, found
    assert found[0][0] == "connected"
    return [entry for entry in found if entry[0] in ("progress", "error")]


def check_completed(events: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Check that the last event alone says that the analysis is complete, and has its result."""
    assert [data["status"] for _, data in events].count("completed") == 1
    type, last = events[-1]
    assert (type, last["status"], last["progress"]) == ("progress", "completed", 100)
    assert last["result"]["brand"] == "Acme"
    assert set(last) >= PROGRESS_KEYS - {"stage"}  # which the standard message calls step_name
    assert {"stage", "step_name"} & set(last)


def check_error(events: Sequence[tuple[str, dict[str, Any]]], status: str, code: str) -> None:
    type, last = events[-1]
    assert (type, last["status"], last["code"]) == ("error", status, code)
    assert set(last) == ERROR_KEYS
    assert {data["status"] for _, data in events[:-1]} <= {"pending", "running"}


async def test_a_completed_analysis(run: Run) -> None:
    async with run(hold=True) as r:
        task_id = await r.start()
        async with open_stream(r.url, path=f"{PREFIX}/progress/{task_id}") as stream:
            first = await stream.next_event()
            assert first is not None
            r.release.set()
            ids = [first.last_event_id]
            while (event := await stream.next_event()) is not None:
                assert event.type in TYPES
                ids.append(event.last_event_id)
        check_completed(await blocks_of(r, task_id))
        assert len(await blocks_of(r, task_id)) == 1
        for cursor in ids[:-1]:
            check_completed(await blocks_of(r, task_id, last_event_id=cursor))
        with pytest.raises(StreamRefused) as refused:
            await blocks_of(r, task_id, last_event_id=ids[-1])
        assert refused.value.status == 204


async def test_a_cancelled_analysis(run: Run) -> None:
    async with run(hold=True) as r:
        task_id = await r.start()
        await r.client.post(f"/tasks/{task_id}/cancel", json={"message": "not wanted"})
        [end] = await blocks_of(r, task_id)
        check_error([end], "cancelled", "cancelled")
        assert end[1]["error"] == "not wanted"


async def test_an_analysis_past_its_deadline(run: Run) -> None:
    async with run(hold=True, brand_monitor={"timeout_seconds": 0.05}, tasks={"sweep_seconds": 0.02}) as r:
        task_id = await r.start()
        check_error(await blocks_of(r, task_id), "failed", "timeout")
        check_error(await blocks_of(r, task_id), "failed", "timeout")


async def test_an_analysis_that_a_restart_interrupted(tmp_path: Path) -> None:
    store = {"url": f"sqlite:{tmp_path / 'brand.db'}"}
    async with rig(hold=True, store=store) as r:
        task_id = await r.start()
        await r.runtime.tasks.claim([KIND], r.runtime.runner.worker)  # as a process that is killed then
    async with rig(store=store) as r:
        check_error(await blocks_of(r, task_id), "failed", "stalled")


async def test_an_analysis_whose_input_is_broken(run: Run) -> None:
    async with run() as r:
        task = await r.runtime.tasks.create(KIND, input=None)
        check_error(await blocks_of(r, task.id), "failed", "nothing-waits")


async def test_an_analysis_whose_events_the_log_has_dropped(run: Run) -> None:
    settings = Settings(log=LogSettings(max_events=20))
    async with run(settings=settings, hub={"max_lag_events": 20, "ring_events": 5, "batch_events": 5}) as r:
        task_id = await r.start()
        events = await r.follow(task_id)
        for number in range(50):
            await r.client.post("/events", json={"topic": "elsewhere", "data": number})
        check_completed(await blocks_of(r, task_id, last_event_id=events[0].last_event_id))


async def test_a_deleted_analysis(run: Run) -> None:
    async with run(tasks={"keep_seconds": 0.001, "sweep_seconds": 3600.0}) as r:
        task_id = await r.start()
        await r.end_of(task_id)
        while not await r.runtime.runner.expire():
            pass
        with pytest.raises(StreamRefused) as refused:
            await blocks_of(r, task_id)
        assert refused.value.status == 410


async def test_a_presentation_that_fails(run: Run) -> None:
    def broken(task: Task, message: Message) -> list[Publication]:
        raise ZeroDivisionError

    async with run(hold=True) as r:
        kinds = r.runtime.tasks.kinds
        kinds[KIND] = attrs.evolve(kinds[KIND], present=broken)
        done, cancelled = await r.start(), await r.start()
        await r.client.post(f"/tasks/{cancelled}/cancel")
        async with open_stream(r.url, path=f"{PREFIX}/progress/{done}") as stream:
            assert (await stream.take(1))[0].type == "progress"
            r.release.set()
            events = []
            while (event := await stream.next_event()) is not None:
                events.append((event.type, data_of(event)))
        assert {type for type, _ in events} == {"progress"}
        check_completed(events)
        check_completed(await blocks_of(r, done))
        [(type, error)] = await blocks_of(r, cancelled)
        assert (type, error["status"]) == ("error", "cancelled")


async def test_an_end_that_an_older_streamd_stored(run: Run) -> None:
    async with run() as r:
        kinds = r.runtime.tasks.kinds
        kinds[KIND] = Kind(name=KIND, work=kinds[KIND].work)  # with standard messages
        depth = r.runtime.tasks.store.outbox_depth
        task_id = await r.start()
        while not (await r.runtime.tasks.get(task_id)).status.ended or await depth():
            pass
        kinds[KIND] = attrs.evolve(kinds[KIND], present=present, event_types=EVENT_TYPES)
        check_completed(await blocks_of(r, task_id))
