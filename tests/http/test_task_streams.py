"""Task streams over real sockets."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import StreamRefused, open_stream, run_server
from tests.support.api import SECONDS, check_problem
from tests.support.tasks_client import TasksApi, serving


@pytest.fixture
async def api() -> AsyncIterator[TasksApi]:
    async with serving() as api:
        yield api


async def test_a_disconnect_does_not_cancel_the_task(api: TasksApi) -> None:
    task = await api.create(worker="w")
    async with open_stream(api.server.url, path=f"/tasks/{task['id']}/events") as reader:
        await reader.take(1)
    assert (await api.report(task, progress=50))["cancelled"] is False


async def test_a_hundred_clients_see_every_version_once(api: TasksApi) -> None:
    task = await api.create(worker="w")
    seen: list[list[int]] = []

    async def follow(*, task_status: trio.TaskStatus[None]) -> None:
        async with open_stream(api.server.url, path=f"/tasks/{task['id']}/events") as reader:
            [snapshot] = await reader.take(1)
            versions = [json.loads(snapshot.data)["version"]]
            task_status.started()
            while (event := await reader.next_event()) is not None:
                versions.append(json.loads(event.data)["version"])
            seen.append(versions)

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                await nursery.start(follow)
            for number in range(20):
                await api.report(task, progress=number)
            await api.report(task, status="completed")
    assert len(seen) == 100
    for versions in seen:
        assert versions == list(range(2, 24))


async def test_a_stream_resumes_ends_and_then_answers_204(api: TasksApi) -> None:
    task = await api.create(worker="w")
    path = f"/tasks/{task['id']}/events"
    async with open_stream(api.server.url, path=path) as reader:
        await reader.take(1)
        cursor = reader.last_event_id
    await api.report(task, progress=10)
    await api.report(task, status="completed")
    async with open_stream(api.server.url, path=path, last_event_id=cursor) as reader:
        events = await reader.take(2)
        assert [json.loads(event.data)["version"] for event in events] == [3, 4]
        assert await reader.next_control("closing") == {"reason": "ended"}
        end = reader.last_event_id
    with pytest.raises(StreamRefused) as rejected:
        async with open_stream(api.server.url, path=path, last_event_id=end):
            pass
    assert rejected.value.status == 204
    check_problem(await api.http.get(f"{path}?last_event_id=nonsense"), 400, "invalid-field", "last_event_id")


async def test_cors_allows_patch() -> None:
    settings = Settings(server=ServerSettings(cors_origins=["https://app.example"]))
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}
        answer = await http.options("/tasks/x", headers=preflight)
        assert "PATCH" in answer.headers["access-control-allow-methods"]
