"""Answers other than 200 of routes that stream: each is one log line and one measurement."""

from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest
import trio
from structlog.testing import capture_logs

from streamd import EventStream, create_app
from streamd.connections.settings import ConnectionSettings
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import open_stream, run_server
from streamd.transports.generated import FINISHED_ID
from tests.support.plain import NO_SERVICES
from tests.support.waiting import until

PAGE = "https://app.example"
SETTINGS = Settings(
    connections=ConnectionSettings(max_connections=1),
    server=ServerSettings(cors_origins=[PAGE]),
    **NO_SERVICES,
)
TASK = {"kind": "import", "id": "t", "worker": "w"}


async def items() -> AsyncIterator[str]:
    yield "one"


@pytest.mark.parametrize(
    ("path", "route", "headers", "status"),
    [
        ("/events?topic=a", "/events", {}, 503),
        ("/log", "/log", {}, 503),
        ("/items", "/items", {}, 503),
        ("/items", "/items", {"Last-Event-ID": FINISHED_ID}, 204),
        ("/tasks/t/events", "/tasks/<task_id>/events", {}, 503),
        ("/tasks/over/events", "/tasks/<task_id>/events", {"Last-Event-ID": "head"}, 204),
    ],
)
async def test_it_is_logged_and_measured_once(
    path: str, route: str, headers: dict[str, str], status: int
) -> None:
    app = create_app(SETTINGS)

    @app.get("/log")
    async def log() -> EventStream:
        return EventStream("a")

    @app.get("/items")
    async def generated() -> EventStream:
        return EventStream(items())

    async with run_server(SETTINGS, app=app) as server, httpx.AsyncClient(base_url=server.url) as http:
        for id in ("t", "over"):
            assert (await http.post("/tasks", json=TASK | {"id": id})).status_code == 201
        await http.post("/tasks/over/cancel")
        async with open_stream(server.url, path="/tasks/over/events") as reader:
            while await reader.next_event() is not None:
                pass
        labels = {"method": "GET", "route": route, "status": str(status)}
        registry = server.streamd.metrics.registry
        measured = partial(registry.get_sample_value, "streamd_request_seconds_count", labels)
        headers = {name: value.replace("head", server.streamd.head) for name, value in headers.items()}
        async with open_stream(server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
            with capture_logs() as logs:
                answer = await http.get(path, headers={"Origin": PAGE, **headers})
                with trio.fail_after(10):
                    await until(lambda: measured() == 1)
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers.get_list("Vary") == ["Origin"]
        lines = [line for line in logs if line["event"] == "request"]
        assert [(line["method"], line["route"], line["status"]) for line in lines] == [("GET", route, status)]
        assert lines[0]["log_level"] == ("warning" if status == 503 else "info")
