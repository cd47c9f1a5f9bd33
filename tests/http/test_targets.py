"""Paths and queries that are not UTF-8 are refused by every route, on every protocol, in the same way."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio
from quart import request
from quart_trio import QuartTrio

from streamd import Streamd
from streamd.errors import InvalidField
from streamd.http.hot.request import QueryParameters
from streamd.http.targets import check_target
from streamd.settings import Settings
from streamd.testing import run_server
from tests.support.api import Api, check_problem, serving_api
from tests.support.plain import NO_SERVICES

SECONDS = 30
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
TEXT = "a/日本 ü"


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    is_http2 = request.param == "HTTP/2"
    with trio.fail_after(SECONDS):
        async with serving_api(Settings(**NO_SERVICES)) as api:
            prior = httpx.AsyncClient(base_url=api.server.url, http1=not is_http2, http2=is_http2)
            async with prior as http:
                yield Api(api.server, http)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("topic=%ff", "topic"),
        ("topic=a&pattern=x%C3", "pattern"),
        ("topic=a&client_id=%ED%A0%80", "client_id"),  # half of a surrogate pair
        ("topic=a&unknown=%80", "unknown"),
        ("topic=a&x%ff=1", "x\ufffd"),
        ("topic=a&%ff", "\ufffd"),
        ("topic=a%C3&pattern=%BC", "topic"),  # neither is a character, together they would be one
        ("a+b=%ff", "a b"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/events"), ("GET", "/events/poll"), ("GET", "/connections"), ("POST", "/tasks"), ("GET", "/")],
)
async def test_a_query_that_is_not_utf8_is_400_and_names_the_parameter(
    api: Api, method: str, path: str, query: str, field: str
) -> None:
    answer = await api.http.request(method, f"{path}?{query}")
    check_problem(answer, 400, "invalid-field", field)


@pytest.mark.parametrize("path", ["/tasks/%ff", "/tasks/%C3/events", "/%80", "/connections/a%ffb"])
async def test_a_path_that_is_not_utf8_is_400(api: Api, path: str) -> None:
    check_problem(await api.http.get(path), 400, "invalid-field", "path")


async def test_text_in_a_target_is_read_as_it_is(api: Api) -> None:
    await api.server.streamd.publish(TEXT, "1")
    query = {"topic": TEXT, "after": "earliest", "wait": "0"}
    assert len((await api.http.get("/events/poll", params=query)).json()["events"]) == 1
    answer = await api.http.get("/tasks/%E6%97%A5")
    check_problem(answer, 404, "not-found", "id")
    assert "日" in answer.json()["detail"]


async def test_a_websocket_is_refused_too() -> None:
    with trio.fail_after(SECONDS):
        async with serving_api(Settings(**NO_SERVICES)) as api:
            check_problem(
                await api.http.get("/events?topic=%ff", headers=UPGRADE), 400, "invalid-field", "topic"
            )


def scope(query: bytes = b"", path: bytes | None = b"/events", **more: Any) -> dict[str, Any]:
    found = {"type": "http", "headers": [], "query_string": query, "path": "/events", **more}
    return found if path is None else {**found, "raw_path": path}


@pytest.mark.parametrize(
    "query", [b"", b"topic=a", b"topic=%25ff", b"topic=%zz", b"&&=&%", "topic=ü".encode()]
)
def test_utf8_passes_encoded_or_raw(query: bytes) -> None:
    check_target(scope(query))
    check_target(scope(path=b"/" + query))


@pytest.mark.parametrize(
    "target",
    [
        scope(b"topic=\xff"),
        scope(b"topic=\xc3"),
        scope(b"topic=\xc3%BC"),  # half a character as it is
        scope(b"topic=%C3\xbf%ff"),
        scope(path=b"/\xff"),
        scope(path=None) | {"path": "/\udcff"},
    ],
)
def test_other_bytes_do_not_pass_encoded_or_raw(target: dict[str, Any]) -> None:
    with pytest.raises(InvalidField):
        check_target(target)


def test_a_topic_is_the_same_encoded_and_raw() -> None:
    for query in (b"topic=%C3%BC", "topic=ü".encode()):
        check_target(scope(query))
        assert QueryParameters(scope(query)["query_string"]).getlist("topic") == ["ü"]


async def test_routes_of_a_program_have_their_own_rules() -> None:
    app = QuartTrio("own")
    Streamd(app)

    @app.get("/own")
    async def own() -> bytes:
        return request.query_string

    async with run_server(app=app) as server, httpx.AsyncClient(base_url=server.url) as http:
        answer = await http.get("/own?x=%ff")
        assert (answer.status_code, answer.text) == (200, "x=%ff")


async def test_a_query_has_at_most_a_thousand_parameters(api: Api) -> None:
    taken = await api.http.get("/events/poll?wait=0&topic=a" + "&b=%41" * 998)
    assert taken.status_code == 200
    for path in ("/events/poll?wait=0&topic=a", "/connections?a"):
        refused = await api.http.get(path + "&b=%41" * 1000)
        check_problem(refused, 400, "invalid-field", "query")
