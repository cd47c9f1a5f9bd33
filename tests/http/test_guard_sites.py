"""Requests that change something are refused to pages of other sites, on every route."""

import re
from collections.abc import AsyncIterator, Iterator

import attrs
import httpx
import pytest
from quart_trio import QuartTrio

from streamd import Streamd, create_app
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from tests.support.api import Api, check_problem, serving_api

ALLOWED = "https://app.example"
EVIL = "https://evil.example"
SETTINGS = Settings(server=ServerSettings(cors_origins=[ALLOWED]))
FOREIGN = [
    ({"Sec-Fetch-Site": "cross-site"}, "Sec-Fetch-Site"),
    ({"Sec-Fetch-Site": "same-site"}, "Sec-Fetch-Site"),
    ({"Sec-Fetch-Site": "anything"}, "Sec-Fetch-Site"),
    ({"Sec-Fetch-Site": "cross-site", "Origin": EVIL}, "Origin"),
    ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"}, "Origin"),
    ({"Origin": EVIL}, "Origin"),
    ({"Origin": "null"}, "Origin"),
    ({"Origin": ""}, "Origin"),
    ({"Origin": "http://127.0.0.1"}, "Origin"),
]
on_each_foreign_page = pytest.mark.parametrize(("headers", "field"), FOREIGN)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving_api(SETTINGS) as api:
        yield api


def unsafe_routes(app: QuartTrio) -> Iterator[tuple[str, str]]:
    """Yield method and path of every route that may change something."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}):
            yield method, re.sub("<[^>]*>", "1", rule.rule)


async def test_every_route_that_changes_something_refuses_foreign_pages() -> None:
    app = create_app(SETTINGS)
    routes = list(unsafe_routes(app))
    assert ("POST", "/events") in routes
    assert ("POST", "/tasks/1/cancel") in routes
    assert len(routes) > 10
    async with serving_api(SETTINGS, app) as api:
        for method, path in routes:
            for headers, field in FOREIGN:
                answer = await api.http.request(method, path, headers=headers)
                check_problem(answer, 403, "cross-site", field)
            own = await api.http.request(method, path)
            assert own.status_code != 403 or own.json()["code"] != "cross-site", (method, path)


@on_each_foreign_page
async def test_a_form_of_a_foreign_page_publishes_nothing(
    api: Api, headers: dict[str, str], field: str
) -> None:
    before = api.server.streamd.head
    plain = {**headers, "Content-Type": "text/plain"}
    for method, path in (("POST", "/events"), ("POST", "/nowhere"), ("DELETE", "/events"), ("PUT", "/")):
        answer = await api.http.request(method, path, headers=plain, content=b'{"topic": "a", "data": "x"}')
        check_problem(answer, 403, "cross-site", field)
    assert api.server.streamd.head == before


@on_each_foreign_page
async def test_a_foreign_page_may_send_what_changes_nothing(
    api: Api, headers: dict[str, str], field: str
) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        answer = await api.http.request(method, "/health/live", headers=headers)
        assert answer.status_code == 200


async def test_own_pages_programs_and_allowed_pages_are_admitted(api: Api) -> None:
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://name.of.a.proxy"},
        {"Origin": api.server.url},
        {"Host": "shop.example", "Origin": "https://shop.example"},
        {"Origin": ALLOWED},
        {"Origin": ALLOWED, "Sec-Fetch-Site": "cross-site"},
    ):
        answer = await api.http.post("/events", headers=headers, json={"topic": "a"})
        assert answer.status_code == 201, headers


async def test_any_page_is_admitted_if_all_origins_are_allowed() -> None:
    settings = attrs.evolve(SETTINGS, server=ServerSettings(cors_origins=["*"]))
    async with serving_api(settings) as api:
        for headers, _ in FOREIGN:
            answer = await api.http.post("/events", headers=headers, json={"topic": "a"})
            assert answer.status_code == 201, headers


async def test_a_refusal_quotes_little_of_the_origin(api: Api) -> None:
    origin = "https://" + "a" * 5000
    answer = await api.http.post("/events", headers={"Origin": origin}, json={"topic": "a"})
    assert len(answer.json()["detail"]) < 400


async def test_the_routes_of_a_programs_application_are_guarded() -> None:
    app = QuartTrio("own")
    Streamd(app)

    @app.post("/orders")
    async def order() -> str:
        return "ordered"

    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as http:
        assert (await http.post("/orders")).status_code == 200
        assert (await http.post("/orders", headers={"Origin": "https://shop.example"})).status_code == 200
        for headers, field in FOREIGN:
            check_problem(await http.post("/orders", headers=headers), 403, "cross-site", field)
