"""The ``Content-Type`` of streams: with a charset, unless a route's protocol has the bare type."""

import httpx
import pytest
from quart import Blueprint
from quart_trio import QuartTrio

from streamd import EventStream, Streamd
from streamd.extension import Service
from streamd.http import EventsRoute, task_routes
from streamd.http.guard import DATA_HEADERS
from streamd.settings import Settings
from streamd.tasks import Kind
from streamd.testing import open_stream, run_server
from tests.support.plain import NO_SERVICES

BARE = "text/event-stream"
FULL = "text/event-stream; charset=utf-8"
TEXT = "naïve – 日本"


def own_app() -> QuartTrio:
    app = QuartTrio("own")
    streamd = Streamd(app)
    blueprint = Blueprint("reports", __name__)
    events = EventsRoute(content_type=BARE)
    task_routes(blueprint, "report", "/bare/<report_id>", events=events)
    streamd.add(Service(blueprint, kinds=[Kind(name="report")]))

    @app.get("/full")
    async def full() -> EventStream:
        return EventStream("a")

    @app.get("/bare")
    async def bare() -> EventStream:
        return EventStream("a", content_type=BARE)

    @app.get("/bare-task/<task_id>")
    async def bare_task(task_id: str) -> EventStream:
        return await streamd.task_stream(task_id, content_type=BARE)

    @app.post("/tasks/<task_id>")
    async def create(task_id: str) -> dict[str, str]:
        return {"id": (await streamd.tasks.create("report", id=task_id)).id}

    return app


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/full", FULL), ("/bare", BARE), ("/bare-task/t", BARE), ("/bare/t/events", BARE)],
)
async def test_a_route_chooses_the_type_and_every_type_is_that_of_data(path: str, expected: str) -> None:
    async with run_server(app=own_app()) as server, httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.post("/tasks/t")).status_code == 200
        async with open_stream(server.url, path=path) as reader:
            assert reader.headers["content-type"] == expected
            for name, value in DATA_HEADERS:
                assert reader.headers[name.decode()] == value.decode()
        head = await http.head(path)
        assert (head.status_code, head.headers["content-type"]) == (200, expected)


async def test_a_library_that_decodes_by_the_type_reads_the_text_of_a_stream() -> None:
    async with run_server(Settings(**NO_SERVICES)) as server:
        async with open_stream(server.url, topics=["a"]) as reader:
            content = f"data: {TEXT}\n\n".encode()
            answer = httpx.Response(200, headers=reader.headers, content=content, default_encoding="latin-1")
            assert answer.text == content.decode()
