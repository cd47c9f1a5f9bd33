"""``Cache-Control``: no cache that keeps what it may keeps an answer of streamd, least of all an error."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from quart import abort
from quart_trio import QuartTrio

from streamd import Streamd, create_app
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.api import Api, serving_api
from tests.support.plain import NO_SERVICES

QUERY = {"topic": "a", "wait": "0", "merchantId": "m"}
"""Parameters that some route needs; all others ignore them."""
KEPT_OUT = {"no-store", "no-cache", "no-cache, no-transform"}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving_api(Settings(**NO_SERVICES)) as api:
        yield api


async def test_no_answer_to_a_get_may_be_kept_without_revalidation() -> None:
    app = create_app()
    rules = [
        rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.websocket
    ]
    async with serving_api(app=app) as api:
        found = {}
        for rule in rules:
            path = rule.rule.replace("<", "").replace(">", "")
            async with api.http.stream("GET", path, params=QUERY) as answer:
                found[rule.rule] = answer.headers.get("cache-control", "")
    assert {"/health/ready", "/metrics", "/connections", "/openapi.json", "/events"} <= found.keys()
    assert {rule: value for rule, value in found.items() if value not in KEPT_OUT} == {}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/connections"])
async def test_the_state_of_the_server_is_not_stored(api: Api, path: str) -> None:
    for method in ("GET", "HEAD"):
        answer = await api.http.request(method, path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/nowhere", {}, 404),
        ("GET", "/tasks/nobody", {}, 404),
        ("PUT", "/events", {}, 405),
        ("GET", "/events", {}, 400),
        ("POST", "/events", {}, 415),
        ("POST", "/events", {"Origin": "https://evil.example"}, 403),
        ("GET", "/connections/nobody", {}, 404),
    ],
)
async def test_no_error_is_stored(
    api: Api, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await api.http.request(method, path, headers=headers)
    assert answer.status_code == status
    assert answer.headers.get_list("cache-control") == ["no-store"]


async def test_not_ready_is_not_stored(api: Api) -> None:
    api.server.streamd.connections.draining = True
    answer = await api.http.get("/health/ready")
    assert (answer.status_code, answer.headers.get_list("cache-control")) == (503, ["no-store"])


@asynccontextmanager
async def own_app() -> AsyncIterator[httpx.AsyncClient]:
    app = QuartTrio("own")
    Streamd(app)

    @app.get("/bug")
    async def bug() -> str:
        raise RuntimeError("raised by the test")

    @app.get("/teapot")
    async def teapot() -> str:
        abort(418)

    @app.get("/missing")
    async def missing() -> tuple[str, int, dict[str, str]]:
        return "missing", 404, {"Cache-Control": "max-age=60"}

    @app.get("/page")
    async def page() -> str:
        return "page"

    async with run_server(app=app) as server, httpx.AsyncClient(base_url=server.url) as http:
        yield http


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/bug", 500, ["no-store"]),
        ("/teapot", 418, ["no-store"]),
        ("/nowhere", 404, ["no-store"]),
        ("/missing", 404, ["max-age=60"]),
        ("/page", 200, []),
    ],
)
async def test_errors_of_a_program_are_not_stored_unless_it_says_so(
    path: str, status: int, expected: list[str]
) -> None:
    async with own_app() as http:
        answer = await http.get(path)
        assert (answer.status_code, answer.headers.get_list("cache-control")) == (status, expected)
