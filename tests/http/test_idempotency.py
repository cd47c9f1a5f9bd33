"""``Idempotency-Key`` over real sockets: retries, conflicts, and values that are no key."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from streamd import create_app
from streamd.database import StoreSettings
from streamd.events.settings import EventSettings
from streamd.settings import Settings
from streamd.tasks.settings import TaskSettings
from streamd.testing import RunningServer, run_server
from tests.support.api import SECONDS, check_problem
from tests.support.at_once import post_at_once
from tests.support.tasks_client import TasksApi

HEADER = "Idempotency-Key"
KEY = {HEADER: "k"}
JSON = {"Content-Type": "application/json"}
TASK = {"kind": "import", "input": {"file": "a.csv", "rows": 7}, "steps": [{"name": "read"}], "worker": "w"}
EVENT = {"topic": "a", "data": {"n": 1}}

CREATING = {
    "POST /api/brand-monitor/analyses",
    "POST /api/purchase-orders",
    "POST /api/strategy",
    "POST /api/v2/items",
    "POST /events",
    "POST /research/stream",
    "POST /tasks",
}
"""The operations that create a resource."""


@pytest.fixture(params=["memory:", "sqlite"])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TasksApi]:
    url = request.param if request.param == "memory:" else f"sqlite:{tmp_path / 'streamd.db'}"
    settings = Settings(store=StoreSettings(url=url), tasks=TaskSettings(max_per_kind=100))
    async with run_server(settings) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
            yield TasksApi(server, http)


async def post(api: TasksApi, path: str, body: Any, *keys: str) -> httpx.Response:
    return await api.http.post(path, json=body, headers=[(HEADER, key) for key in keys])


async def task_ids(api: TasksApi) -> list[str]:
    return [task["id"] for task in (await api.http.get("/tasks")).json()["tasks"]]


# --- tasks ----------------------------------------------------------------------------------------


async def test_a_retry_gets_the_task_with_the_lease_that_its_worker_needs(api: TasksApi) -> None:
    first = await post(api, "/tasks", TASK, "k")
    again = await post(api, "/tasks", dict(reversed(TASK.items())), "k")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    await api.report(again.json(), progress=50)
    third = await post(api, "/tasks", TASK, "k")
    assert third.status_code == 201
    assert third.json()["progress"] == 50  # as it is now
    assert await task_ids(api) == [first.json()["id"]]


async def test_quotes_are_not_part_of_the_key(api: TasksApi) -> None:
    """The draft defines a string in quotes (RFC 9651); most clients send it without."""
    ids = {
        (await post(api, "/tasks", TASK, key)).json()["id"]
        for key in (r"a\b", r'"a\\b"', '"a,b"', '"c"', "c")
    }
    assert len(ids) == 3


async def test_other_content_under_the_key_is_a_conflict(api: TasksApi) -> None:
    first = await post(api, "/tasks", TASK, "k")
    changes: list[dict[str, Any]] = [{"kind": "export"}, {"id": "chosen"}, {"input": None}, {"steps": []}]
    for change in changes:
        answer = await post(api, "/tasks", TASK | change, "k")
        check_problem(answer, 409, "idempotency-conflict", HEADER)
    assert await task_ids(api) == [first.json()["id"]]


async def test_a_chosen_id_belongs_to_one_key(api: TasksApi) -> None:
    first = await post(api, "/tasks", TASK | {"id": "chosen"}, "k")
    assert (await post(api, "/tasks", TASK | {"id": "chosen"}, "k")).json() == first.json()
    for key in (["other"], []):
        answer = await post(api, "/tasks", TASK | {"id": "chosen"}, *key)
        check_problem(answer, 409, "task-exists", "id")


async def test_owners_have_keys_of_their_own(api: TasksApi) -> None:
    for owner in ("ann", "bob", "ann"):
        answer = await post(api, "/tasks", TASK | {"owner": owner}, "k")
        assert (answer.status_code, answer.json()["owner"]) == (201, owner)
    assert len(await task_ids(api)) == 2


@pytest.mark.parametrize(
    "values",
    [
        [""],
        ["a b"],
        ["a\tb"],
        ["é"],
        ["x" * 256],
        ["a,b"],
        ["a, b"],
        ['"a'],
        ['a"'],
        ['"'],
        ['""'],
        ['"a b"'],
        [r'"a\"'],
        [r'"a\n"'],
        ['"a";b=1'],
        ['"a", "b"'],
        ["k", "k"],
        ["k", "l"],
    ],
)
@pytest.mark.parametrize(("path", "body"), [("/tasks", TASK), ("/events", EVENT)])
async def test_values_that_are_no_key_are_rejected(
    streamd_server: RunningServer, path: str, body: Any, values: list[str]
) -> None:
    headers = [(HEADER.encode(), value.encode()) for value in values]
    async with httpx.AsyncClient(base_url=streamd_server.url) as http:
        head = streamd_server.streamd.head
        check_problem(await http.post(path, json=body, headers=headers), 400, "invalid-field", HEADER)
        assert await streamd_server.streamd.tasks.list() == []
        assert streamd_server.streamd.head == head


async def test_a_rejected_request_uses_up_no_key(api: TasksApi) -> None:
    unfinished = [await post(api, "/tasks", {"kind": "import"}) for _ in range(100)]
    check_problem(
        await post(api, "/tasks", TASK | {"steps": [{"name": ""}]}, "k"),
        400,
        "invalid-field",
        "steps[0].name",
    )
    check_problem(await post(api, "/tasks", TASK, "k"), 503, "unavailable")
    await api.http.post(f"/tasks/{unfinished[0].json()['id']}/cancel")
    first = await post(api, "/tasks", TASK | {"message": "corrected"}, "k")
    assert first.status_code == 201
    again = await post(api, "/tasks", TASK | {"message": "corrected"}, "k")  # the kind is full again
    assert again.json() == first.json()


async def test_requests_at_the_same_moment_create_one_task(api: TasksApi) -> None:
    body = b'{"kind": "import", "worker": "w"}'
    for key in map(str, range(10)):
        answers = await post_at_once(api.server.url, "/tasks", body, {**JSON, HEADER: key}, times=3)
        assert [status for status, _ in answers] == [201] * 3
        [(id, lease)] = {(task["id"], task["lease"]) for _, task in answers}
        assert id
        assert lease
    assert len(await task_ids(api)) == 10


# --- events ---------------------------------------------------------------------------------------


@attrs.frozen
class Published:
    server: RunningServer
    http: httpx.AsyncClient

    async def data(self) -> list[Any]:
        answer = await self.http.get("/events/poll?topic=a&after=earliest&wait=0")
        return [event["data"] for event in answer.json()["events"]]


@pytest.fixture
async def published() -> AsyncIterator[Published]:
    settings = Settings(events=EventSettings(max_idempotency_key_bytes=20))
    async with run_server(settings) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
            yield Published(server, http)


async def test_an_event_is_published_once_under_the_key_of_header_or_body(published: Published) -> None:
    in_body = EVENT | {"idempotency_key": "k"}
    answers = [
        await published.http.post("/events", json=body, headers=headers)
        for body, headers in (
            (EVENT, KEY),
            (EVENT, KEY),
            (in_body, {}),
            (in_body, KEY),
            (EVENT, {HEADER: '"k"'}),
        )
    ]
    assert {(answer.status_code, answer.json()["id"]) for answer in answers} == {
        (201, answers[0].json()["id"])
    }
    assert await published.data() == [{"n": 1}]


async def test_another_event_under_the_key_is_a_conflict(published: Published) -> None:
    await published.http.post("/events", json=EVENT, headers=KEY)
    for change in ({"data": 2}, {"topic": "b"}, {"type": "t"}, {"retry": 5}, {"private": True}):
        answer = await published.http.post("/events", json=EVENT | change, headers=KEY)
        check_problem(answer, 409, "idempotency-conflict", HEADER)
    assert await published.data() == [{"n": 1}]


@pytest.mark.parametrize(
    ("key", "content_type", "body"),
    [
        ("k", "application/json", b'{"topic": "a", "idempotency_key": "l"}'),
        ("k", "application/json", b'[{"topic": "a"}]'),
        ("k", "application/json", b" []"),
        ("k", "application/x-ndjson", b'{"topic": "a"}\n'),
        ("x" * 21, "application/json", b'{"topic": "a"}'),
    ],
)
async def test_a_header_that_cannot_be_the_key_of_the_event_is_rejected(
    published: Published, key: str, content_type: str, body: bytes
) -> None:
    headers = {HEADER: key, "Content-Type": content_type}
    answer = await published.http.post("/events", content=body, headers=headers)
    check_problem(answer, 400, "invalid-field", HEADER)
    assert await published.data() == []


# --- services -------------------------------------------------------------------------------------

RESEARCH = {
    "areaId": "decision_makers",
    "companyId": "brightquay-software",
    "userRole": "Account Executive",
    "userCompany": "Initech",
}
STRATEGY = {
    "business": "a bakery",
    "audience": "families",
    "goals": ["more"],
    "channels": ["email"],
    "budget": 20,
}
ANALYSIS = {
    "brand": "Acme",
    "competitors": ["Globex"],
    "mentions": [{"text": "I love Acme", "source": "forum", "time": "2026-11-20T10:00:00Z"}],
}
SERVICES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("/research/stream", RESEARCH, {"userRole": "CEO"}, "researchSessionId"),
    ("/api/strategy", STRATEGY, {"budget": 21}, "strategyId"),
    ("/api/brand-monitor/analyses", ANALYSIS, {"brand": "Initech"}, "taskId"),
]


@pytest.mark.parametrize(("path", "body", "change", "id"), SERVICES)
async def test_services_return_the_resource_of_the_key(
    api: TasksApi, path: str, body: dict[str, Any], change: dict[str, Any], id: str
) -> None:
    first, again, other = [await post(api, path, body, key) for key in ("k", "k", "l")]
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 202)
    assert {**again.json(), "status": ""} == {**first.json(), "status": ""}  # it may have begun by now
    assert again.headers["location"] == first.headers["location"]
    assert other.json()[id] != first.json()[id]
    check_problem(await post(api, path, body | change, "k"), 409, "idempotency-conflict", HEADER)
    assert sorted(await task_ids(api)) == sorted([first.json()[id], other.json()[id]])


@pytest.mark.parametrize(("path", "body", "change", "id"), SERVICES)
async def test_services_reject_a_bad_key_and_use_up_none(
    api: TasksApi, path: str, body: dict[str, Any], change: dict[str, Any], id: str
) -> None:
    check_problem(await post(api, path, body, "a b"), 400, "invalid-field", HEADER)
    assert (await post(api, path, {**body, next(iter(change)): []}, "k")).status_code == 400
    assert await task_ids(api) == []
    assert (await post(api, path, body, "k")).status_code == 202


async def test_one_key_serves_every_route_once(api: TasksApi) -> None:
    requests = [("/tasks", TASK), *((path, body) for path, body, _, _ in SERVICES)]
    for path, body in [*requests, *requests]:
        assert (await post(api, path, body, "k")).is_success
    assert len(await task_ids(api)) == len(requests)


# --- documentation --------------------------------------------------------------------------------


async def test_the_openapi_document_has_the_header_and_its_conflict() -> None:
    answer = await create_app().test_client().get("/openapi.json")
    paths = (await answer.get_json())["paths"]
    with_header = {
        f"{method.upper()} {path}": operation["responses"]
        for path, item in paths.items()
        for method, operation in item.items()
        if any(parameter["name"] == HEADER for parameter in operation.get("parameters", []))
    }
    assert set(with_header) == CREATING
    assert all("409" in responses for responses in with_header.values())
