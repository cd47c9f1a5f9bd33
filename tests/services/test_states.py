"""Every route of every service that answers from a task, in each of its states and on both stores."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streamd.testing import open_stream
from tests.support.api import check_problem
from tests.support.messages import next_message
from tests.support.service_tasks import FAILURE, ORDERS, REASON, SERVICES, STATES, ServiceTasks, service_tasks

ENDS = ("completed", "failed", "cancelled")
SESSION_STATUS = {
    "pending": "initiated",
    "running": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "failed",
}
AS_JSON = {"Content-Type": "application/json"}
WITHOUT_A_REASON: list[dict[str, Any]] = [
    {},
    {"json": {}},
    {"json": {"message": ""}},
    {"json": {"message": "  "}},
    {"json": {"message": None}},
    {"content": b"", "headers": AS_JSON},
    {"content": b"", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
]
INVALID_REASONS: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"json": {"message": "x" * 2001}}, 400, "invalid-field", "message"),
    ({"json": {"message": "a\x00b"}}, 400, "invalid-field", "message"),
    ({"json": {"message": "\x1b[2J"}}, 400, "invalid-field", "message"),
    ({"json": {"message": 7}}, 400, "invalid-body", "message"),
    ({"json": {"reason": "x"}}, 400, "invalid-body", "reason"),
    ({"json": ["x"]}, 400, "invalid-body", None),
    ({"content": b"{", "headers": AS_JSON}, 400, "invalid-body", None),
    ({"content": b'{"message": "x"}'}, 415, "unsupported-media-type", "Content-Type"),
    ({"data": {"message": "x"}}, 415, "unsupported-media-type", "Content-Type"),
    ({"json": {"message": "x" * 40_000}}, 413, "too-large", "body"),
]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(SERVICES))
async def service(request: pytest.FixtureRequest, store: str, tmp_path: Path) -> AsyncIterator[ServiceTasks]:
    async with service_tasks(SERVICES[request.param], store, tmp_path) as service:
        yield service


def status_of(service: ServiceTasks, state: str) -> str:
    """Return the word of a service's answers for a state."""
    return SESSION_STATUS[state] if service.routes.kind == "research" else state


def last_message_of(service: ServiceTasks, state: str) -> str:
    return {"completed": service.routes.complete, "failed": FAILURE, "cancelled": REASON}[state]


async def test_every_route_answers_in_every_state(service: ServiceTasks) -> None:
    routes = service.routes
    for state, make in STATES.items():
        task_id = await make(service)
        if routes.status is not None:
            answer = await service.call("GET", routes.status, task_id)
            assert answer.status_code == 200, (state, answer.text)
            fields = answer.json()
            assert fields["status"] == status_of(service, state)
            if state in ENDS:
                assert fields["message"] == last_message_of(service, state)
            assert (fields["progress"] == 100) is (state == "completed")
            assert fields["step"] == (None if state == "pending" else 1)
            head = await service.call("HEAD", routes.status, task_id)
            assert (head.status_code, head.content) == (200, b"")
        head = await service.call("HEAD", routes.events, task_id)
        assert (head.status_code, head.content) == (200, b""), state
        result = await service.call("GET", routes.result, task_id)
        if state == "completed":
            assert (result.status_code, result.json()) == (200, {"n": 1})
        elif state in ENDS:
            check_problem(result, 409, "no-result")
            assert last_message_of(service, state) in result.json()["detail"]
        else:
            check_problem(result, 409, "not-ready")
            assert int(result.headers["retry-after"]) > 0


async def test_every_state_is_streamed(service: ServiceTasks) -> None:
    for state, make in STATES.items():
        task_id = await make(service)
        async with open_stream(service.url, path=service.routes.events.format(id=task_id)) as reader:
            first = await next_message(reader)
        assert first.data["status"] == state
        if state in ENDS:
            last = await service.last_message(task_id)
            assert (last.data["status"], last.data["message"]) == (state, last_message_of(service, state))
            assert last.data.get("error", last.data["message"]) == last.data["message"]
            assert first.data["message"] == last.data["message"]
            assert first.data["progress"] == last.data["progress"]
            assert (last.data["progress"] == 100) is (state == "completed")


async def test_cancelling_answers_with_the_cancelled_task_and_its_reason(service: ServiceTasks) -> None:
    routes = service.routes
    for state, make in STATES.items():
        task_id = await make(service)
        answer = await service.call("POST", routes.cancel, task_id, json={"message": REASON})
        if state in ENDS:
            check_problem(answer, 409, "invalid-transition", "status")
            continue
        assert answer.status_code == 200, (state, answer.text)
        fields = answer.json()
        assert fields["status"] == status_of(service, "cancelled")
        if routes.status is not None:
            assert fields["message"] == REASON
            described = (await service.call("GET", routes.status, task_id)).json()
            assert described == fields
        last = await service.last_message(task_id)
        assert (last.type, last.data["code"]) == ("error", "cancelled")
        assert last.data["message"] == last.data["error"] == REASON


async def test_cancelling_needs_no_reason(service: ServiceTasks) -> None:
    for request in WITHOUT_A_REASON:
        task_id = await service.pending()
        answer = await service.call("POST", service.routes.cancel, task_id, **request)
        assert answer.status_code == 200, (request, answer.text)
        last = await service.last_message(task_id)
        assert last.data["message"] == last.data["error"] == service.routes.cancelled


async def test_every_door_says_what_was_cancelled(service: ServiceTasks) -> None:
    task_id = await service.pending()
    answer = await service.call("POST", "/tasks/{id}/cancel", task_id)
    assert answer.json()["message"] == service.routes.cancelled


async def test_an_order_that_is_cancelled_without_a_reason_says_so(store: str, tmp_path: Path) -> None:
    async with service_tasks(ORDERS, store, tmp_path) as service:
        task_id = await service.pending()
        await service.call("POST", ORDERS.cancel, task_id)
        last = await service.last_message(task_id)
        assert last.data["message"] == last.data["error"] == "The order was cancelled"
        answer = await service.call("GET", str(ORDERS.status), task_id)
        assert answer.json()["error"] == "The order was cancelled"


async def test_an_invalid_reason_cancels_nothing(service: ServiceTasks) -> None:
    task_id = await service.pending()
    for request, status, code, field in INVALID_REASONS:
        answer = await service.call("POST", service.routes.cancel, task_id, **request)
        check_problem(answer, status, code, field)
        assert not (await service.tasks.get(task_id)).status.ended


async def test_errors_about_an_id_name_it_as_the_service_does(service: ServiceTasks) -> None:
    other = await service.tasks.create("something-else", id="other")
    for method, path in service.routes.paths():
        for task_id in ("no-such", other.id):
            if service.routes.kind == "import" and task_id == other.id:
                continue  # these routes are for tasks of all kinds
            answer = await service.call(method, path, task_id)
            assert answer.status_code == 404, (method, path)
            if method != "HEAD":
                check_problem(answer, 404, "not-found", service.routes.id_name)
                assert repr(task_id) in answer.json()["detail"]


async def test_an_order_is_shown_in_every_state(store: str, tmp_path: Path) -> None:
    async with service_tasks(ORDERS, store, tmp_path) as service:
        for state, make in STATES.items():
            task_id = await make(service)
            if state in ENDS:
                await service.last_message(task_id)
            answer = await service.call("GET", str(ORDERS.status), task_id)
            assert answer.status_code == 200, (state, answer.text)
            order, workflow = answer.json(), answer.json()["workflow"]
            assert workflow["status"] == state
            assert (order["status"], order["error"]) == {
                "pending": ("received", None),
                "running": ("received", None),
                "completed": ("completed", None),
                "failed": ("failed", FAILURE),
                "cancelled": ("cancelled", REASON),
            }[state]
            if state in ENDS:
                assert workflow["message"] == last_message_of(service, state)
            assert (workflow["step"], workflow["stage"], workflow["steps"]) == (
                (None, "", 11) if state == "pending" else (1, "merchant_config", 11)
            )
