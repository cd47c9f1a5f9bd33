"""``HEAD`` and ``OPTIONS``: answers about a route without doing what its other methods do."""

import math
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from streamd import create_app
from streamd.connections.settings import ConnectionSettings
from streamd.settings import Settings
from streamd.testing import open_stream
from tests.support.api import Api, check_problem, serving_api
from tests.support.plain import NO_SERVICES

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
QUERY = {"topic": "a", "wait": "0", "merchantId": "m"}
"""Parameters that some route needs; all others ignore them."""


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    settings = Settings(connections=ConnectionSettings(max_connections=1), **NO_SERVICES)
    async with serving_api(settings) as api:
        yield api


async def test_options_names_every_method_that_a_route_has_and_no_other() -> None:
    app = create_app()
    paths = sorted({rule.rule.replace("<", "").replace(">", "") for rule in app.url_map.iter_rules()})
    assert "/events" in paths
    wrong = {}
    async with serving_api(app=app) as api:
        for path in paths:
            answer = await api.http.options(path)
            assert answer.status_code == 200
            named = {name.strip() for name in answer.headers["allow"].split(",")}
            present = {method for method in METHODS if await status(api.http, method, path) != 405}
            if named != present | {"OPTIONS"}:
                wrong[path] = named ^ (present | {"OPTIONS"})
    assert wrong == {}


async def status(http: httpx.AsyncClient, method: str, path: str) -> int:
    """Return the status of a request, without reading a stream."""
    async with http.stream(method, path, params=QUERY) as answer:
        return answer.status_code


async def test_head_of_a_poll_is_answered_at_once_and_takes_no_slot(api: Api) -> None:
    with trio.fail_after(20):
        async with open_stream(api.server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
            client = {"topic": "a", "wait": "20", "client_id": "me"}
            answer = await api.http.head("/events/poll", params=client, timeout=math.inf)
            assert (answer.status_code, answer.content) == (200, b"")
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "no-store"
            assert "content-length" not in answer.headers
            refused = await api.http.get("/events/poll", params=client)
            check_problem(refused, 503, "too-many-connections")


@pytest.mark.parametrize("query", [{}, {"topic": "a", "wait": "-1"}, {"topic": "a", "after": "x"}])
async def test_head_of_a_poll_has_the_status_of_the_poll(api: Api, query: dict[str, str]) -> None:
    answer = await api.http.head("/events/poll", params=query)
    assert (answer.status_code, answer.content) == (400, b"")
