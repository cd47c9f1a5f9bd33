"""``/tasks`` over real sockets: creating, reading and listing tasks."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import trio

from streamd.testing import open_stream
from tests.support.api import SECONDS, check_problem
from tests.support.tasks_client import TasksApi, serving

LEASE = {"lease": "x"}


@pytest.fixture
async def api() -> AsyncIterator[TasksApi]:
    async with serving() as api:
        yield api


async def test_a_task_is_created_and_read(api: TasksApi) -> None:
    answer = await api.post(
        "/tasks",
        kind="import",
        id="import-7",
        owner="ann",
        input={"file": "a.csv"},
        steps=[{"name": "read"}, {"name": "save", "weight": 3}],
        timeout_seconds=60,
        message="waiting for a worker",
    )
    assert answer.status_code == 201
    assert answer.headers["location"] == "/tasks/import-7"
    task = answer.json()
    assert (task["id"], task["kind"], task["owner"], task["status"]) == (
        "import-7",
        "import",
        "ann",
        "pending",
    )
    assert (task["step"], task["step_name"], task["steps"]) == (None, "", 2)
    assert [(step["step"], step["name"], step["status"], step["weight"]) for step in task["step_list"]] == [
        (1, "read", "pending", 1),
        (2, "save", "pending", 3),
    ]
    created, deadline = (datetime.fromisoformat(task[name]) for name in ("created_at", "deadline"))
    assert (deadline - created).total_seconds() == 60
    assert "lease" not in task
    assert (await api.http.get("/tasks/import-7")).json() == task
    assert (await api.http.get("/tasks")).json() == {"tasks": [task]}


async def test_a_task_has_its_urls(api: TasksApi) -> None:
    task = await api.create(worker="w")
    claimable = await api.create()
    claimed = (await api.post("/tasks/claim", kinds=["import"], worker="w")).json()
    assert claimed["id"] == claimable["id"]
    for fields in (task, claimed, await api.report(task, progress=1)):
        path = f"/tasks/{fields['id']}"
        urls = {name: fields[name] for name in fields if name.endswith("Url")}
        assert urls == {
            "statusUrl": path,
            "eventsUrl": f"{path}/events",
            "resultUrl": f"{path}/result",
            "cancelUrl": f"{path}/cancel",
        }
    assert (await api.http.get(task["statusUrl"])).status_code == 200
    assert (await api.http.post(task["cancelUrl"])).json()["status"] == "cancelled"
    check_problem(await api.http.get(task["resultUrl"]), 409, "no-result")


async def test_head_has_status_progress_and_version(api: TasksApi) -> None:
    task = await api.create(worker="w")
    await api.report(task, progress=12.34)
    head = await api.http.head(f"/tasks/{task['id']}")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["task-status"] == "running"
    assert head.headers["task-progress"] == "12.3"
    assert head.headers["etag"] == '"3"'


async def test_lists_are_filtered_and_newest_first(api: TasksApi) -> None:
    first = await api.create(id="a", owner="ann")
    await api.create(id="b", kind="export", owner="bob")
    await api.create(id="c", owner="bob", worker="w")

    async def listed(**query: Any) -> list[str]:
        answer = await api.http.get("/tasks", params=query)
        assert answer.status_code == 200
        return [task["id"] for task in answer.json()["tasks"]]

    assert first["status"] == "pending"
    assert await listed() == ["c", "b", "a"]
    assert await listed(kind="import") == ["c", "a"]
    assert await listed(status="running") == ["c"]
    assert await listed(owner="bob", kind="export") == ["b"]
    assert await listed(limit=2) == ["c", "b"]
    assert await listed(kind="nothing") == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": ""}, "kind"),
        ({"kind": "a b"}, "kind"),
        ({"kind": 7}, "kind"),
        ({"kind": "research"}, "kind"),
        ({"kind": "import", "id": ""}, "id"),
        ({"kind": "import", "id": "a/b"}, "id"),
        ({"kind": "import", "id": "x" * 129}, "id"),
        ({"kind": "import", "owner": "a\nb"}, "owner"),
        ({"kind": "import", "timeout_seconds": 0}, "timeout_seconds"),
        ({"kind": "import", "timeout_seconds": 1e9}, "timeout_seconds"),
        ({"kind": "import", "steps": [{"name": ""}]}, "steps[0].name"),
        ({"kind": "import", "steps": [{"name": "a"}, {"name": "a"}]}, "steps[1].name"),
        ({"kind": "import", "steps": [{"name": "a", "weight": 0}]}, "weight"),
        ({"kind": "import", "worker": ""}, "worker"),
        ({"kind": "import", "worker": "local:x"}, "worker"),
        ({"kind": "import", "worker": "w", "lease_seconds": 0}, "lease_seconds"),
        ({"kind": "import", "surprise": 1}, "surprise"),
        ({"kind": "import", "message": "m" * 2001}, "message"),
        ({"kind": "import", "message": "a\0b"}, "message"),
        ({"kind": "import", "message": "\x1b[2J"}, "message"),
    ],
)
async def test_invalid_tasks_are_rejected_by_field(api: TasksApi, body: dict[str, Any], field: str) -> None:
    answer = await api.http.post("/tasks", json=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field
    assert (await api.http.get("/tasks")).json() == {"tasks": []}


async def test_a_taken_id_is_a_conflict(api: TasksApi) -> None:
    await api.create(id="a")
    check_problem(await api.post("/tasks", kind="import", id="a"), 409, "task-exists", "id")


async def test_oversized_and_non_json_bodies_are_rejected() -> None:
    async with serving(max_input_bytes=100, max_steps=2, max_body_bytes=1000) as api:
        check_problem(await api.post("/tasks", kind="import", input="x" * 1000), 413, "too-large", "body")
        check_problem(await api.post("/tasks", kind="import", input="x" * 99), 413, "too-large", "input")
        steps = [{"name": str(number)} for number in range(3)]
        check_problem(await api.post("/tasks", kind="import", steps=steps), 413, "too-large", "steps")
        text = {"Content-Type": "text/plain"}
        answer = await api.http.post("/tasks", content=b"{}", headers=text)
        check_problem(answer, 415, "unsupported-media-type", "Content-Type")
        answer = await api.http.post("/tasks", content=b"{", headers={"Content-Type": "application/json"})
        check_problem(answer, 400, "invalid-body")


async def test_a_full_kind_is_unavailable_until_a_task_ends() -> None:
    async with serving(max_per_kind=2) as api:
        task = await api.create(worker="w")
        await api.create()
        answer = await api.post("/tasks", kind="import")
        check_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        await api.create(kind="another")
        await api.report(task, status="completed")
        await api.create()


@pytest.mark.parametrize("path", ["", "/events", "/result"])
async def test_an_unknown_task_is_not_found(api: TasksApi, path: str) -> None:
    check_problem(await api.http.get(f"/tasks/nobody{path}"), 404, "not-found", "id")
    assert (await api.http.head(f"/tasks/nobody{path}")).status_code == 404


async def test_cancel_and_report_of_an_unknown_task_are_not_found(api: TasksApi) -> None:
    check_problem(await api.post("/tasks/nobody/cancel"), 404, "not-found", "id")
    check_problem(await api.http.patch("/tasks/nobody", json=LEASE), 404, "not-found", "id")


async def test_an_expired_task_is_gone_and_its_id_stays_taken() -> None:
    async with serving(keep_seconds=1e-6, sweep_seconds=0.01) as api:
        task = await api.create(worker="w")
        async with open_stream(api.server.url, path=f"/tasks/{task['id']}/events") as reader:
            await api.report(task, status="completed")
            while await reader.next_block() is not None:
                pass
        with trio.fail_after(SECONDS):
            while (answer := await api.http.get(f"/tasks/{task['id']}")).status_code == 200:
                pass
        check_problem(answer, 410, "gone", "id")
        check_problem(await api.http.get(f"/tasks/{task['id']}/result"), 410, "gone", "id")
        check_problem(await api.http.get(f"/tasks/{task['id']}/events"), 410, "gone", "id")
        check_problem(await api.post("/tasks", kind="import", id=task["id"]), 409, "task-exists", "id")


@pytest.mark.parametrize(
    ("query", "field"),
    [("status=done", "status"), ("status=", "status"), ("limit=many", "limit"), ("limit=1001", "limit")],
)
async def test_invalid_filters_are_rejected(api: TasksApi, query: str, field: str) -> None:
    check_problem(await api.http.get(f"/tasks?{query}"), 400, "invalid-field", field)
