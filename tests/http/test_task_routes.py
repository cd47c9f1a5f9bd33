"""Routes that ``task_routes`` adds for a small service of a program's own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
from msgspec import Struct
from quart import Blueprint
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse

from streamd import Service, Streamd, create_app
from streamd.connections import Group
from streamd.http import (
    CancelRoute,
    EventsRoute,
    ResultRoute,
    StatusRoute,
    TaskRoutes,
    read_json,
    task_routes,
)
from streamd.settings import Settings
from streamd.tasks import Kind, Progress, Task
from streamd.testing import StreamRefused, open_stream, run_server
from tests.support.api import SECONDS, check_problem
from tests.support.plain import NO_SERVICES

KIND = "report"
TASK_HEADERS = {"task-status", "task-progress", "etag"}

AddRoutes = Callable[[Blueprint], TaskRoutes]


class NewReport(Struct):
    """The request for a report."""

    pages: int


class ReportDocument(Struct):
    """A report in the service's own shape."""

    title: str
    state: str


@attrs.frozen
class Reports:
    """A running server with the service, and a client of it."""

    http: httpx.AsyncClient
    streamd: Streamd
    url: str
    finish: trio.Event  # lets the work end

    async def start(self, pages: int = 3) -> httpx.Response:
        return await self.http.post("/api/reports", json={"pages": pages})

    async def started(self) -> str:
        """Start a report and return its id, once the work has begun."""
        task_id: str = (await self.start()).json()["id"]
        while (await self.streamd.tasks.get(task_id)).progress < 50:  # noqa: ASYNC110
            await trio.sleep(0.005)
        return task_id

    async def ended(self, task_id: str) -> None:
        while not (await self.streamd.tasks.get(task_id)).status.ended:  # noqa: ASYNC110
            await trio.sleep(0.005)


def with_defaults(blueprint: Blueprint) -> TaskRoutes:
    return task_routes(blueprint, KIND, "/reports/<report_id>", noun="report")


def service(finish: trio.Event, streamd: Streamd, add_routes: AddRoutes) -> Service:
    blueprint = Blueprint("reports", __name__, url_prefix="/api")
    routes = add_routes(blueprint)

    @blueprint.post("/reports")
    async def create() -> TrioResponse:
        body = await read_json(NewReport)
        return await routes.accepted(await streamd.tasks.create(KIND, input=body.pages))

    async def work(progress: Progress) -> Any:
        await progress.update(progress=50, message="half of it")
        await finish.wait()
        return {"pages": "written"}

    return Service(blueprint, [Kind(name=KIND, work=work)])


@asynccontextmanager
async def reports(add_routes: AddRoutes = with_defaults) -> AsyncIterator[Reports]:
    app = QuartTrio(__name__)
    streamd = Streamd(app, settings=Settings(**NO_SERVICES))
    finish = trio.Event()
    streamd.add(service(finish, streamd, add_routes))
    with trio.fail_after(SECONDS):
        async with run_server(app=app) as server, httpx.AsyncClient(base_url=server.url) as http:
            yield Reports(http, streamd, server.url, finish)


@pytest.fixture
async def rig() -> AsyncIterator[Reports]:
    async with reports() as rig:
        yield rig


async def test_accepted_has_the_url_of_the_status(rig: Reports) -> None:
    answer = await rig.start()
    fields = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/reports/{fields['id']}"
    assert fields["eventsUrl"] == f"/api/reports/{fields['id']}/events"
    assert fields["resultUrl"] == f"/api/reports/{fields['id']}/result"
    assert fields["statusUrl"] == f"/api/reports/{fields['id']}"
    assert fields["cancelUrl"] == f"/api/reports/{fields['id']}/cancel"
    for url in (fields["statusUrl"], answer.headers["location"]):
        shown = (await rig.http.get(url)).json()
        assert {name: shown[name] for name in fields if name.endswith("Url")} == rig_urls(fields)
    cancelled = await rig.http.post(fields["cancelUrl"])
    assert (cancelled.status_code, rig_urls(cancelled.json())) == (200, rig_urls(fields))
    assert set(answer.headers) >= TASK_HEADERS
    assert (await rig.http.get(answer.headers["location"])).json()["id"] == fields["id"]


def rig_urls(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name.endswith("Url")}


async def test_status_is_the_task_with_its_headers_and_is_not_cached(rig: Reports) -> None:
    task_id = await rig.started()
    answer = await rig.http.get(f"/api/reports/{task_id}")
    fields = answer.json()
    assert (fields["status"], fields["progress"], fields["message"]) == ("running", 50, "half of it")
    assert fields["cancelled"] is False
    assert answer.headers["task-status"] == "running"
    assert answer.headers["task-progress"] == "50"
    assert answer.headers["etag"] == f'"{fields["version"]}"'
    assert answer.headers["cache-control"] == "no-store"
    assert "retry-after" not in answer.headers


async def test_head_answers_the_task_headers_without_a_stream(rig: Reports) -> None:
    task_id = await rig.started()
    for path in ("", "/events"):
        answer = await rig.http.head(f"/api/reports/{task_id}{path}")
        assert answer.status_code == 200
        assert answer.content == b""
        assert answer.headers["task-status"] == "running"
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in answer.headers
    assert list(rig.streamd.connections) == []


async def test_events_stream_the_task_until_its_end_and_a_reconnect_gets_204(rig: Reports) -> None:
    task_id = await rig.started()
    async with open_stream(rig.url, path=f"/api/reports/{task_id}/events") as reader:
        [snapshot] = await reader.take(1)
        assert snapshot.type == "status"
        rig.finish.set()
        [end] = await reader.take(1)
        assert end.type == "complete"
        assert await reader.next_control("closing") == {"reason": "ended"}
        cursor = reader.last_event_id
    with pytest.raises(StreamRefused) as rejected:
        async with open_stream(rig.url, path=f"/api/reports/{task_id}/events", last_event_id=cursor):
            pass
    assert rejected.value.status == 204


async def test_the_result_is_409_with_retry_after_until_the_end(rig: Reports) -> None:
    task_id = await rig.started()
    early = await rig.http.get(f"/api/reports/{task_id}/result")
    check_problem(early, 409, "not-ready")
    assert int(early.headers["retry-after"]) > 0
    rig.finish.set()
    await rig.ended(task_id)
    assert (await rig.http.get(f"/api/reports/{task_id}/result")).json() == {"pages": "written"}


async def test_cancel_ends_the_task_once(rig: Reports) -> None:
    task_id = await rig.started()
    answer = await rig.http.post(f"/api/reports/{task_id}/cancel")
    assert answer.status_code == 200
    assert answer.json()["cancelled"] is True
    assert answer.headers["task-status"] == "cancelled"
    again = await rig.http.post(f"/api/reports/{task_id}/cancel")
    check_problem(again, 409, "invalid-transition", "status")


async def test_a_task_of_another_kind_is_not_found(rig: Reports) -> None:
    await rig.streamd.tasks.create("other", id="other")
    for method, path in (
        ("GET", ""),
        ("HEAD", ""),
        ("GET", "/events"),
        ("GET", "/result"),
        ("POST", "/cancel"),
    ):
        answer = await rig.http.request(method, f"/api/reports/other{path}")
        assert answer.status_code == 404, (method, path)
    assert not (await rig.streamd.tasks.get("other")).status.ended


async def test_a_deleted_task_is_gone() -> None:
    def add_routes(blueprint: Blueprint) -> TaskRoutes:
        return task_routes(blueprint, "brief", "/briefs/<id>")

    async with reports(add_routes) as rig:
        rig.streamd.tasks.register(Kind(name="brief", keep_seconds=0.001))
        await rig.streamd.tasks.create("brief", id="b1")
        await rig.streamd.tasks.cancel("b1")
        while (answer := await rig.http.get("/api/briefs/b1")).status_code == 200:
            await rig.streamd.runtime.runner.expire()
        check_problem(answer, 410, "gone", "id")


async def describe(task: Task) -> ReportDocument:
    return ReportDocument(f"report of {task.progress:g} %", task.status.value)


def with_own_shapes(blueprint: Blueprint) -> TaskRoutes:
    return task_routes(
        blueprint,
        KIND,
        "",
        status=StatusRoute(
            "/reports/<id>/state", "show", ReportDocument, describe, headers=False, retry_after_seconds=1.2
        ),
        events=EventsRoute("/follow/<id>", "follow", headers=False),
        result=None,
        cancel=CancelRoute(
            "/reports/<id>/stop", "stop", ReportDocument, describe, headers=False, message="not needed"
        ),
    )


async def test_routes_may_have_their_own_paths_and_bodies() -> None:
    async with reports(with_own_shapes) as rig:
        task = await rig.streamd.tasks.create(KIND, id="r1", input=1)
        started = await rig.start()
        assert started.json() == {"title": "report of 0 %", "state": "pending"}
        assert started.headers["location"].startswith("/api/reports/")
        assert started.headers["location"].endswith("/state")
        answer = await rig.http.get(f"/api/reports/{task.id}/state")
        assert set(answer.json()) == {"title", "state"}
        assert not TASK_HEADERS & set(answer.headers)
        async with open_stream(rig.url, path=f"/api/follow/{task.id}") as reader:
            await reader.take(1)
            stopped = await rig.http.post(f"/api/reports/{task.id}/stop")
            assert stopped.json()["state"] == "cancelled"
            while (event := await reader.next_event()) is not None and event.type != "error":
                pass
            assert event is not None
            assert '"error":"not needed"' in event.data
        assert not TASK_HEADERS & set(stopped.headers)


async def test_routes_that_are_left_out_are_not_found() -> None:
    async with reports(with_own_shapes) as rig:
        await rig.streamd.tasks.create(KIND, id="r1", input=1)
        for path in ("/api/reports/r1/result", "/api/reports/r1", "/api/result"):
            assert (await rig.http.get(path)).status_code == 404


async def test_status_has_retry_after_until_the_end() -> None:
    async with reports(with_own_shapes) as rig:
        await rig.streamd.tasks.create(KIND, id="r1", input=1)
        assert (await rig.http.get("/api/reports/r1/state")).headers["retry-after"] == "2"
        rig.finish.set()
        await rig.ended("r1")
        assert "retry-after" not in (await rig.http.get("/api/reports/r1/state")).headers


async def test_streams_have_the_group_and_the_heartbeat_of_the_route() -> None:
    group = Group("reports", max_connections=1)

    def add_routes(blueprint: Blueprint) -> TaskRoutes:
        events = EventsRoute(group=group, heartbeat_seconds=0.05)
        return task_routes(blueprint, KIND, "/reports/<report_id>", events=events)

    async with reports(add_routes) as rig:
        path = f"/api/reports/{await rig.started()}/events"
        async with open_stream(rig.url, path=path) as reader:
            await reader.next_control("heartbeat")
            assert len(group) == 1
            with pytest.raises(StreamRefused) as rejected:
                async with open_stream(rig.url, path=path):
                    pass
            assert rejected.value.status == 503
            assert "retry-after" in rejected.value.headers
            assert (await rig.http.head(path)).status_code == 200  # takes no slot


async def test_head_of_events_without_task_headers_needs_a_slot() -> None:
    group = Group("reports", max_connections=1)

    def add_routes(blueprint: Blueprint) -> TaskRoutes:
        events = EventsRoute(group=group, headers=False)
        return task_routes(blueprint, KIND, "/reports/<report_id>", events=events)

    async with reports(add_routes) as rig:
        path = f"/api/reports/{await rig.started()}/events"
        answer = await rig.http.head(path)
        assert answer.status_code == 200
        assert not TASK_HEADERS & set(answer.headers)
        async with open_stream(rig.url, path=path):
            assert (await rig.http.head(path)).status_code == 503


@pytest.mark.parametrize("prefix", ["/reports", "/<team>/reports/<report_id>"])
def test_a_path_without_exactly_one_parameter_is_rejected(prefix: str) -> None:
    with pytest.raises(ValueError, match="must contain the task's id as its one parameter"):
        task_routes(Blueprint("reports", __name__), KIND, prefix)


def test_urls_are_those_of_the_existing_routes() -> None:
    blueprint = Blueprint("reports", __name__, url_prefix="/api")
    assert with_defaults(blueprint).urls("7") == {
        "statusUrl": "/api/reports/7",
        "eventsUrl": "/api/reports/7/events",
        "resultUrl": "/api/reports/7/result",
        "cancelUrl": "/api/reports/7/cancel",
    }
    own = with_own_shapes(Blueprint("own", __name__))
    assert own.urls("7") == {
        "statusUrl": "/reports/7/state",
        "eventsUrl": "/follow/7",
        "cancelUrl": "/reports/7/stop",
    }


async def test_openapi_describes_the_routes_with_their_names_and_models() -> None:
    app = create_app(Settings(**NO_SERVICES))
    streamd: Streamd = app.extensions["streamd"]

    def add_routes(blueprint: Blueprint) -> TaskRoutes:
        with_own_shapes(blueprint)
        return task_routes(
            blueprint, KIND, "/x/<id>", noun="report", status=None, result=ResultRoute(model=ReportDocument)
        )

    streamd.add(service(trio.Event(), streamd, add_routes))
    document = await (await app.test_client().get("/openapi.json")).get_json()
    paths = document["paths"]
    status = paths["/api/reports/{id}/state"]["get"]
    assert status["operationId"] == "GET_test_task_routes_show"
    assert set(status["responses"]) == {"200", "400", "401", "404", "410", "421", "503"}
    shape = status["responses"]["200"]["content"]["application/json"]["schema"]
    assert shape == {"$ref": "#/components/schemas/ReportDocument"}
    assert paths["/api/reports/{id}/stop"]["post"]["operationId"] == "POST_test_task_routes_stop"
    events = paths["/api/x/{id}/events"]["get"]
    assert "text/event-stream" in events["responses"]["200"]["content"]
    assert {"204", "400", "404", "410", "429", "503"} <= set(events["responses"])
    assert "Last-Event-ID" in {parameter["name"] for parameter in events["parameters"]}
    result = paths["/api/x/{id}/result"]["get"]
    assert result["summary"] == "Return the result of the report; 409 with Retry-After until it has ended."
