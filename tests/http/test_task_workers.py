"""Remote workers over HTTP: claims, reports, leases and results."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import pytest
import trio

from streamd.testing import open_stream
from tests.support.api import check_problem
from tests.support.tasks_client import TasksApi, serving


@pytest.fixture
async def api() -> AsyncIterator[TasksApi]:
    async with serving() as api:
        yield api


async def test_a_worker_claims_reports_and_completes(api: TasksApi) -> None:
    created = await api.create(input=[1, 2], steps=[{"name": "read"}, {"name": "save"}])
    answer = await api.post("/tasks/claim", kinds=["export", "import"], worker="w-1", lease_seconds=60)
    assert answer.status_code == 200
    task = answer.json()
    assert (task["id"], task["input"], task["status"], task["worker"]) == (
        created["id"],
        [1, 2],
        "running",
        "w-1",
    )
    assert task["lease"]
    assert "lease" not in (await api.http.get(f"/tasks/{task['id']}")).json()
    assert (await api.post("/tasks/claim", kinds=["import"], worker="w-2")).status_code == 204

    async with open_stream(api.server.url, path=f"/tasks/{task['id']}/events") as reader:
        [snapshot] = await reader.take(1)
        assert json.loads(snapshot.data)["version"] == 2
        report = await api.report(task, step={"name": "read", "progress": 50}, message="half")
        assert report["progress"] == 25
        await api.report(task, step={"name": "read", "status": "completed"}, text="two rows\n")
        await api.report(task, step={"name": "save", "status": "failed", "error": "the disk is full"})
        report = await api.report(task, status="completed", result={"rows": 2}, message="done")
        assert (report["status"], report["progress"], report["cancelled"]) == ("completed", 100, False)
        events = [json.loads(event.data) for event in await reader.take(report["version"] - 2)]
        assert await reader.next_event() is None
    assert [event["version"] for event in events] == list(range(3, report["version"] + 1))
    assert [event["progress"] for event in events] == sorted(event["progress"] for event in events)
    assert any(event.get("text_delta") == "two rows\n" for event in events)
    assert any(event.get("step_error") == "the disk is full" for event in events)
    assert events[-1]["result"] == {"rows": 2}
    assert (await api.http.get(f"/tasks/{task['id']}/result")).json() == {"rows": 2}


async def test_each_report_renews_the_lease_by_its_requested_duration(api: TasksApi) -> None:
    task = await api.create(worker="w", lease_seconds=600)

    def seconds_left(report: dict[str, Any]) -> float:
        until, now = (datetime.fromisoformat(report[name]) for name in ("lease_until", "updated_at"))
        return (until - now).total_seconds()

    assert seconds_left(await api.report(task, progress=10)) == pytest.approx(600, abs=1)
    assert seconds_left(await api.report(task)) >= 599
    assert seconds_left(await api.report(task, progress=20, lease_seconds=60)) == pytest.approx(60, abs=1)
    assert seconds_left(await api.report(task, progress=30)) == pytest.approx(600, abs=1)


async def test_a_step_and_a_message_are_one_event(api: TasksApi) -> None:
    task = await api.create(worker="w", steps=[{"name": "read"}])
    await api.report(task, step={"name": "read"}, message="opening the file")
    report = await api.report(task, step={"name": "read", "progress": 50}, message="half")
    assert (report["version"], report["message"]) == (4, "half")
    assert (report["step"], report["step_name"], report["steps"]) == (1, "read", 1)
    assert report["step_list"][0]["message"] == "half"
    report = await api.report(task, step={"name": "read", "message": "all"}, message="the file is read")
    assert (report["step_list"][0]["message"], report["message"]) == ("all", "the file is read")


@pytest.mark.parametrize("field", ["step_name", "stage"])  # the latter by workers of earlier versions
async def test_a_report_names_what_is_being_done_without_a_step(api: TasksApi, field: str) -> None:
    task = await api.create(worker="w", steps=[{"name": "read"}, {"name": "save"}])
    report = await api.report(task, **{field: "tidying"})
    assert (report["step"], report["step_name"], report["steps"]) == (None, "tidying", 2)
    report = await api.report(task, **{field: "save"})
    assert (report["step"], report["step_name"]) == (2, "save")
    assert [step["status"] for step in report["step_list"]] == ["pending", "pending"]
    answer = await api.http.patch(f"/tasks/{task['id']}", json={"lease": task["lease"], field: "x" * 2001})
    check_problem(answer, 400, "invalid-field", "step_name")


async def test_a_report_is_applied_whole_or_not_at_all(api: TasksApi) -> None:
    task = await api.create(worker="w")
    answer = await api.http.patch(
        f"/tasks/{task['id']}",
        json={"lease": task["lease"], "step": {"name": "read"}, "progress": 50, "fields": {"taskId": "x"}},
    )
    check_problem(answer, 400, "invalid-field", "taskId")
    now = (await api.http.get(f"/tasks/{task['id']}")).json()
    assert (now["version"], now["steps"], now["progress"]) == (2, 0, 0)


@pytest.mark.parametrize(
    ("report", "field"),
    [
        ({"progress": 101}, "progress"),
        ({"progress": -1}, "progress"),
        ({"progress": "half"}, "progress"),
        ({"status": "failed"}, "error"),
        ({"status": "done"}, "status"),
        ({"result": 7}, "result"),
        ({"error": {"detail": "no"}}, "error"),
        ({"status": "failed", "error": {"detail": "no", "code": ""}}, "error.code"),
        ({"type": "complete"}, "type"),
        ({"step": {"name": "a", "status": "pending"}}, "step.status"),
        ({"step": {"name": "a", "weight": -1}}, "weight"),
        ({"step": {"name": "a", "message": "m" * 2001}}, "step.message"),
        ({"message": "a\0b"}, "message"),
        ({"message": "\x1b[2J", "status": "completed"}, "message"),
        ({"message": "\x9b1m", "status": "cancelled"}, "message"),
        ({"message": "\x7f", "step": {"name": "a"}}, "message"),
        ({"text": "bell \x07"}, "text"),
        ({"step_name": "two\nlines"}, "step_name"),
        ({"step_name": "\u202egpj.exe"}, "step_name"),
        ({"stage": "a\tb"}, "step_name"),
        ({"step": {"name": "a", "message": "\x1b[2J"}}, "step.message"),
        ({"step": {"name": "a", "status": "skipped", "message": "\0"}}, "step.message"),
        ({"step": {"name": "a", "status": "failed", "error": "\x1b[2J"}}, "step.error"),
        ({"status": "failed", "error": {"detail": "\x1b[2J"}}, "error.detail"),
        ({"status": "failed", "error": {"detail": "x" * 2001}}, "error.detail"),
        ({"lease_seconds": 1e9}, "lease_seconds"),
        ({"lease": 7}, "lease"),
        ({"further": 1}, "further"),
    ],
)
async def test_invalid_reports_are_rejected_by_field(
    api: TasksApi, report: dict[str, Any], field: str
) -> None:
    task = await api.create(worker="w")
    answer = await api.http.patch(f"/tasks/{task['id']}", json={"lease": task["lease"], **report})
    assert answer.status_code == 400, answer.text
    assert answer.json()["field"] == field
    assert (await api.http.get(f"/tasks/{task['id']}")).json()["version"] == 2


async def test_only_the_lease_holder_reports(api: TasksApi) -> None:
    pending = await api.create()
    running = await api.create(worker="w")
    for task in (pending, running):
        answer = await api.http.patch(f"/tasks/{task['id']}", json={"lease": "guessed", "progress": 50})
        check_problem(answer, 409, "lease-lost", "lease")
    assert (await api.http.patch(f"/tasks/{pending['id']}", json={"lease": ""})).status_code == 409
    assert (await api.http.get(f"/tasks/{running['id']}")).json()["progress"] == 0


async def test_a_worker_learns_of_a_cancel_at_its_next_report(api: TasksApi) -> None:
    task = await api.create(worker="w")
    cancelled = await api.post(f"/tasks/{task['id']}/cancel", message="not wanted any more")
    assert cancelled.json()["status"] == "cancelled"
    report = await api.report(task, progress=50)
    assert (report["cancelled"], report["status"], report["progress"]) == (True, "cancelled", 0)
    check_problem(await api.http.get(f"/tasks/{task['id']}/result"), 409, "no-result")
    check_problem(await api.post(f"/tasks/{task['id']}/cancel"), 409, "invalid-transition", "status")
    async with open_stream(api.server.url, path=f"/tasks/{task['id']}/events") as reader:
        snapshot, end = await reader.take(2)
        assert json.loads(snapshot.data)["status"] == "cancelled"
        assert end.type == "error"
        data = json.loads(end.data)
        assert (data["code"], data["error"]) == ("cancelled", "not wanted any more")


async def test_the_result_of_a_running_task_is_not_ready(api: TasksApi) -> None:
    task = await api.create(worker="w")
    answer = await api.http.get(f"/tasks/{task['id']}/result")
    check_problem(answer, 409, "not-ready")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_silent_worker_loses_its_task() -> None:
    async with serving(sweep_seconds=0.01) as api:
        task = await api.create(worker="w", lease_seconds=0.05)
        async with open_stream(api.server.url, path=f"/tasks/{task['id']}/events") as reader:
            events = []
            while (event := await reader.next_event()) is not None:
                events.append(event)
        assert events[-1].type == "error"
        assert json.loads(events[-1].data)["code"] == "stalled"
        answer = await api.http.patch(
            f"/tasks/{task['id']}", json={"lease": task["lease"], "status": "completed"}
        )
        check_problem(answer, 409, "invalid-transition", "status")
        metrics = (await api.http.get("/metrics")).text
        assert "streamd_task_leases_stalled_total 1.0" in metrics
        assert 'streamd_tasks{kind="import",status="failed"} 1.0' in metrics


async def test_a_claim_waits_for_a_task(api: TasksApi) -> None:
    claimed: list[httpx.Response] = []

    async def claim() -> None:
        claimed.append(await api.post("/tasks/claim", kinds=["import"], worker="w", wait_seconds=50))

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(claim)
        first = await api.create()
        second = await api.create()
    assert {answer.json()["id"] for answer in claimed} == {first["id"], second["id"]}
    assert len({answer.json()["lease"] for answer in claimed}) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kinds": [], "worker": "w"}, "kinds"),
        ({"kinds": ["a"]}, "worker"),
        ({"kinds": ["a", "research"], "worker": "w"}, "kinds"),
        ({"kinds": ["a"], "worker": "local:1"}, "worker"),
        ({"kinds": ["a"], "worker": "w", "wait_seconds": 1e6}, "wait_seconds"),
        ({"kinds": "a", "worker": "w"}, "kinds"),
    ],
)
async def test_invalid_claims_are_rejected_by_field(api: TasksApi, body: dict[str, Any], field: str) -> None:
    answer = await api.http.post("/tasks/claim", json=body)
    assert answer.status_code == 400
    assert answer.json()["field"] == field
