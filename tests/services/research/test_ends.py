"""Sessions without a result: cancelled, stalled, timed out, unknown or expired."""

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import httpx
import pytest

from streamd.testing import RunningServer
from tests.support.research_rig import BEGUN, REQUEST, new_gate, rig_settings, running, start


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[tuple[RunningServer, httpx.AsyncClient]]:
    """Run a server with the areas of the rig."""
    async with running(rig_settings(tmp_path)) as rig:
        yield rig


async def test_cancelled_session_fails(rig: tuple[RunningServer, httpx.AsyncClient]) -> None:
    new_gate("stopped")
    session = await start(*rig, areaId="gated", companyId="stopped")
    await BEGUN["stopped"].wait()
    answer = await session.client.post(f"/research/stream/{session.id}/cancel")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["error"]) == ("failed", "The session was cancelled")
    assert answer.json()["steps"][1]["status"] == "failed"
    end = (await session.follow())[-1]
    assert (end.type, end.data["code"], end.data["status"]) == ("error", "cancelled", "cancelled")
    assert (await session.status())["status"] == "failed"
    refused = await session.get("result")
    assert (refused.status_code, refused.json()["code"]) == (409, "no-result")
    again = await session.client.post(f"/research/stream/{session.id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "invalid-transition")


async def test_session_without_reports_stalls(tmp_path: Path) -> None:
    new_gate("silent")  # never opened
    async with running(rig_settings(tmp_path, stall_seconds=0.2)) as rig:
        session = await start(*rig, areaId="gated", companyId="silent")
        end = (await session.follow())[-1]
        assert (end.type, end.data["code"]) == ("error", "stalled")
        assert end.data["error"] == "no dataset has given a sign of life for 0.2 s"
        assert (await session.status())["status"] == "failed"


async def test_slow_session_times_out(tmp_path: Path) -> None:
    new_gate("slow")
    async with running(rig_settings(tmp_path, timeout_seconds=0.2)) as rig:
        session = await start(*rig, areaId="gated", companyId="slow")
        end = (await session.follow())[-1]
        assert (end.type, end.data["code"]) == ("error", "timeout")
        assert (await session.status())["status"] == "failed"


PATHS = [("get", "events"), ("get", "status"), ("get", "result"), ("post", "cancel")]


async def test_unknown_session_is_not_found(rig: tuple[RunningServer, httpx.AsyncClient]) -> None:
    server, client = rig
    other = await server.streamd.runtime.tasks.create("something-else")
    for (method, what), id in product(PATHS, ("no-such-session", other.id, "%2e%2e", "x" * 500)):
        refused = await client.request(method, f"/research/stream/{id}/{what}")
        assert (refused.status_code, refused.json()["code"]) == (404, "not-found")


async def test_expired_sessions_are_gone(tmp_path: Path) -> None:
    async with running(rig_settings(tmp_path, keep_seconds=1e-6)) as rig:
        session = await start(*rig, areaId="partly")
        await session.follow()
        assert await session.server.streamd.runtime.runner.expire() == 1
        for method, what in PATHS:
            refused = await session.client.request(method, f"/research/stream/{session.id}/{what}")
            assert (refused.status_code, refused.json()["code"]) == (410, "gone")


async def test_sessions_that_ended_first_are_deleted_first(tmp_path: Path) -> None:
    opened = new_gate("oldest")
    async with running(rig_settings(tmp_path, max_sessions=3)) as rig:
        unfinished = await start(*rig, areaId="gated", companyId="oldest")
        ended = []
        for _ in range(3):
            ended.append(await start(*rig, areaId="partly"))
            await ended[-1].follow()
        await rig[0].streamd.runtime.runner.expire()
        statuses = [(await session.get("status")).status_code for session in (unfinished, *ended)]
        assert statuses == [200, 410, 200, 200]
        opened.set()
        assert (await unfinished.result())["findings"]


async def test_sessions_cannot_be_created_as_tasks(rig: tuple[RunningServer, httpx.AsyncClient]) -> None:
    # POST /tasks would not validate the fields.
    _, client = rig
    answer = await client.post("/tasks", json={"kind": "research", "input": REQUEST | {"companyId": "../x"}})
    assert (answer.status_code, answer.json()["field"]) == (400, "kind")
