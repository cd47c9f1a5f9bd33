"""The profile of JSON at every door of the server: one sentence for a fault, whatever the route."""

import itertools
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import msgspec
import pytest
import trio
from trio_websocket import open_websocket_url

from streamd.client import ReceivedEvent, TaskClient, subscribe
from streamd.client.subscription import Transport
from streamd.connections.settings import ConnectionSettings
from streamd.database import StoreSettings
from streamd.http.schema import NDJSON
from streamd.json import EncodedJson
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.api import Api
from tests.support.json_texts import FAULTS, JsonFault, nested
from tests.support.subscriptions import take

JSON_ROUTES = [
    ("POST", "/connections/broadcast"),
    ("POST", "/connections/unknown/send"),
    ("POST", "/auth/revocations"),
    ("POST", "/events"),
    ("POST", "/tasks"),
    ("POST", "/tasks/claim"),
    ("POST", "/tasks/unknown/cancel"),
    ("PATCH", "/tasks/unknown"),
    ("POST", "/api/brand-monitor/analyses"),
    ("POST", "/api/brand-monitor/analyses/unknown/cancel"),
    ("POST", "/api/purchase-orders?merchantId=m"),
    ("POST", "/api/strategy"),
    ("POST", "/api/strategy/unknown/cancel"),
    ("POST", "/api/v2/items"),
    ("POST", "/research/stream"),
    ("POST", "/research/stream/unknown/cancel"),
]
"""All routes with a JSON body. The profile is checked before the names of fields."""


@attrs.frozen
class JsonApi(Api):
    async def send(self, method: str, path: str, body: bytes, media_type: str = "application/json") -> Any:
        return await self.http.request(method, path, content=body, headers={"Content-Type": media_type})


@pytest.fixture
async def api() -> AsyncIterator[JsonApi]:
    settings = Settings(connections=ConnectionSettings(control=True))
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        yield JsonApi(server, http)


async def test_the_routes_are_those_of_the_document(api: JsonApi) -> None:
    document = (await api.http.get("/openapi.json")).json()
    described = {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    described = {(method, re.sub("{\\w+}", "unknown", path)) for method, path in described}
    assert described == {(method, path.partition("?")[0]) for method, path in JSON_ROUTES}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_every_route_refuses_it_with_the_same_sentence(api: JsonApi, fault: JsonFault) -> None:
    # Some routes allow for one or two levels around the values in their bodies.
    text = fault.text if "deep" not in fault.name else fault.text.replace(b"[", b"[[[", 1)
    for method, path in JSON_ROUTES:
        if path.endswith("/cancel") and not text.strip():
            continue  # a reason need not be given
        answer = await api.send(method, path, text)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (400, "invalid-body"), (path, problem)
        assert problem["detail"] == fault.sentence, path
        whole = "body" if path.startswith("/api/purchase-orders") else None
        assert problem.get("field") == (fault.field or whole), path


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_line_and_a_message_are_refused_with_the_sentence_of_the_routes(
    api: JsonApi, fault: JsonFault
) -> None:
    text = fault.text if "deep" not in fault.name else fault.text.replace(b"[", b"[[[", 1)
    if b"\n" not in text and text.strip():  # a blank line has no answer
        answer = await api.send("POST", "/events", text, NDJSON)
        error = answer.json()["error"]
        assert error["detail"] == fault.sentence.replace("the body", "the line")
        assert error.get("field") == fault.field
    url = api.server.url.replace("http", "ws") + "/events?topic=t"
    with trio.fail_after(30):
        async with open_websocket_url(url, max_message_size=1_000_000) as socket:
            await socket.get_message()
            try:
                text.decode()
            except UnicodeDecodeError:
                return  # a text message is UTF-8
            await socket.send_message(text.decode()[:60_000])
            if not text:
                return
            error = json.loads(await socket.get_message())
    assert error["control"] == "error"
    assert error["detail"] == fault.sentence.replace("the body", "the message")
    assert error.get("field") == fault.field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"topic":"a","data":%b}' % nested(65), "data"),
        (b'[{"topic":"a"},{"topic":"a","data":{"x":%b}}]' % nested(64), "[1].data"),
        (b'{"topics":%b}' % nested(65), "topics"),
    ],
    ids=itertools.count(),
)
async def test_an_event_with_more_than_64_levels_is_refused(api: JsonApi, body: bytes, field: str) -> None:
    answer = await api.send("POST", "/events", body)
    assert answer.json()["detail"] == f"{field} is nested deeper than 64 levels"
    assert answer.json()["field"] == field


# --- values with all the levels that are allowed -----------------------------------------------


async def make_task(api: JsonApi) -> tuple[str, str]:
    """Create a running task whose worker is this test, and return its id and lease."""
    answer = await api.http.post("/tasks", json={"kind": "k", "worker": "me"})
    return answer.json()["id"], answer.json()["lease"]


@pytest.fixture(params=["memory:", "sqlite"])
async def stored_api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JsonApi]:
    url = request.param if request.param == "memory:" else f"sqlite:{tmp_path / 'tasks.db'}"
    settings = Settings(store=StoreSettings(url=url))
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        yield JsonApi(server, http)


@pytest.mark.parametrize("name", ["input", "steps", "message"])
async def test_a_task_with_more_than_64_levels_is_refused(stored_api: JsonApi, name: str) -> None:
    body = b'{"kind":"k","%b":%b}' % (name.encode(), nested(65))
    answer = await stored_api.send("POST", "/tasks", body)
    assert (answer.status_code, answer.json()["field"]) == (400, name)
    assert (await stored_api.http.get("/tasks")).json() == {"tasks": []}


@pytest.mark.parametrize("name", ["result", "fields", "error"])
async def test_a_report_with_more_than_64_levels_changes_nothing(stored_api: JsonApi, name: str) -> None:
    task_id, lease = await make_task(stored_api)
    deep = nested(65, objects=True)
    body = b'{"lease":"%b","status":"completed","%b":%b}' % (lease.encode(), name.encode(), deep)
    answer = await stored_api.send("PATCH", f"/tasks/{task_id}", body)
    assert (answer.status_code, answer.json()["field"]) == (400, name)
    task = (await stored_api.http.get(f"/tasks/{task_id}")).json()
    assert (task["status"], task["version"]) == ("running", 2)


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
async def test_a_task_with_64_levels_everywhere_can_be_followed(
    stored_api: JsonApi, transport: Transport
) -> None:
    """Read it over each transport of events, by the client of tasks, and as a follower who comes late."""
    deep = msgspec.json.decode(nested(63, objects=True))
    task_id, lease = await make_task(stored_api)
    report = {"lease": lease, "fields": {"deep": deep}, "status": "completed", "result": {"deep": deep}}
    answer = await stored_api.http.patch(f"/tasks/{task_id}", json=report)
    assert answer.status_code == 200, answer.text
    url = stored_api.server.url
    with trio.fail_after(60):
        async with subscribe(
            url, topics=[f"tasks/{task_id}"], after="earliest", transport=transport
        ) as events:
            data = [json.loads((await take(events, ReceivedEvent)).data) for _ in range(4)]
        client = TaskClient(url)
        async with client.follow(task_id) as messages:
            followed = [json.loads((await take(messages, ReceivedEvent)).data) for _ in range(2)]
        listed = await client.list()
        result = await client.result(task_id)
    assert data[-2]["deep"] == data[-1]["result"]["deep"] == deep
    assert followed[0]["deep"] == followed[1]["result"]["deep"] == deep
    assert result == {"deep": deep}
    assert listed[0].fields["details"] == {"deep": deep}


async def test_a_task_that_an_earlier_version_stored_with_more_levels_can_be_followed(
    stored_api: JsonApi,
) -> None:
    """Its events are reduced to the fields that fit."""
    task_id, _ = await make_task(stored_api)
    await stored_api.server.streamd.tasks.complete(task_id, EncodedJson(nested(90)))
    reduced = {"taskId", "version", "status", "progress", "timestamp", "message"}
    with trio.fail_after(60):
        async with subscribe(stored_api.server.url, topics=[f"tasks/{task_id}"], after="earliest") as events:
            data = [json.loads((await take(events, ReceivedEvent)).data) for _ in range(3)]
        async with TaskClient(stored_api.server.url).follow(task_id) as messages:
            snapshot, end = [json.loads((await take(messages, ReceivedEvent)).data) for _ in range(2)]
    assert data[-1].keys() >= reduced
    assert data[-1] == end
    assert "result" not in end
    assert (snapshot["status"], end["status"]) == ("completed", "completed")
