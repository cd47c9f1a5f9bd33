"""URLs below a prefix: ``server.root_path``, and ``X-Forwarded-Prefix`` of a trusted proxy."""

import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import trio
from trio_websocket import open_websocket_url

from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import open_stream
from tests.support.api import Api, serving_api
from tests.support.brand_rig import rig
from tests.support.service_tasks import ORDERS, SERVICES, ServiceRoutes

PREFIX = "/realtime"
TRUSTED = ["127.0.0.1"]
BY_SETTING = ServerSettings(root_path=PREFIX)
BY_HEADER = ServerSettings(trusted_proxies=TRUSTED)
HEADER = {"X-Forwarded-Prefix": PREFIX}
each_service = pytest.mark.parametrize(
    "routes", [*SERVICES.values(), ORDERS], ids=[*SERVICES, "purchase_orders"]
)


@pytest.fixture
async def by_setting() -> AsyncIterator[Api]:
    async with serving_api(Settings(server=BY_SETTING)) as api:
        yield api


@pytest.fixture
async def by_header() -> AsyncIterator[Api]:
    async with serving_api(Settings(server=BY_HEADER)) as api:
        yield api


def urls_of(answer: httpx.Response) -> dict[str, str]:
    """Return all URLs in an answer, by name."""
    assert answer.status_code in (200, 201, 202), answer.text
    urls = {name: url for name, url in answer.json().items() if name.endswith("Url")}
    if "location" in answer.headers:
        urls["location"] = answer.headers["location"]
    return urls


@each_service
async def test_each_service_links_below_the_setting(by_setting: Api, routes: ServiceRoutes) -> None:
    for prefix in ("", PREFIX):  # a proxy that strips it, and one that does not
        created = await by_setting.http.post(prefix + routes.create, json=routes.body)
        urls = urls_of(created)
        assert len(urls) >= 3
        for name, url in urls.items():
            assert re.match(rf"{PREFIX}/[a-z]", url), name
            if name != "cancelUrl":
                assert (await by_setting.http.head(url)).status_code in (200, 204, 409), url
        if routes.status is not None:
            status = await by_setting.http.get(
                prefix + routes.status.format(id=created.json()[routes.id_name])
            )
            assert all(url.startswith(f"{PREFIX}/") for url in urls_of(status).values())


@each_service
async def test_each_service_links_below_the_header(by_header: Api, routes: ServiceRoutes) -> None:
    linked = urls_of(await by_header.http.post(routes.create, json=routes.body, headers=HEADER))
    plain = urls_of(await by_header.http.post(routes.create, json=routes.body))
    assert linked.keys() == plain.keys()
    assert all(url.startswith(f"{PREFIX}/") for url in linked.values())
    assert all(re.match(r"/(tasks|api|research)/", url) for url in plain.values())


@pytest.mark.parametrize("value", ["//evil.example", "realtime", "/a/../b", "/a//b", "/" + "a" * 300, "/ä"])
async def test_an_unsafe_header_is_ignored(by_header: Api, value: str) -> None:
    headers = [(b"X-Forwarded-Prefix", value.encode())]
    answer = await by_header.http.post("/tasks", json={"kind": "import"}, headers=headers)
    assert urls_of(answer)["location"] == f"/tasks/{answer.json()['id']}"


async def test_the_header_of_a_peer_that_is_not_trusted_is_ignored() -> None:
    async with serving_api(Settings(server=ServerSettings(trusted_proxies=["10.0.0.0/8"]))) as api:
        answer = await api.http.post("/tasks", json={"kind": "import"}, headers=HEADER)
        assert urls_of(answer)["location"] == f"/tasks/{answer.json()['id']}"


async def test_a_prefix_in_the_path_is_no_route_without_the_setting(by_header: Api) -> None:
    for headers in ({}, HEADER):
        assert (await by_header.http.get(f"{PREFIX}/tasks", headers=headers)).status_code == 404


async def test_links_of_a_result_that_is_too_large_for_an_event_have_the_prefix() -> None:
    limits = {"max_event_result_bytes": 100}
    async with rig(tasks=limits, server={"root_path": PREFIX}) as server:
        end = await server.end_of(await server.start())
        assert end["resultUrl"].startswith(f"{PREFIX}/api/brand-monitor/analyses/")
        assert (await server.client.get(end["resultUrl"])).json()["brand"] == "Acme"


async def test_the_document_names_the_prefix_as_its_server(by_setting: Api, by_header: Api) -> None:
    for api, headers, expected in (
        (by_setting, {}, [{"url": PREFIX}]),
        (by_header, HEADER, [{"url": PREFIX}]),
        (by_header, {}, None),
    ):
        document = (await api.http.get("/openapi.json", headers=headers)).json()
        assert document.get("servers") == expected
        assert "/tasks/{task_id}" in document["paths"]


async def test_all_transports_answer_with_and_without_the_prefix(by_setting: Api) -> None:
    for prefix in ("", PREFIX):
        async with open_stream(f"{by_setting.server.url}{prefix}", topics=["a"]) as stream:
            await stream.next_control("connected")
            sent = await by_setting.http.post(f"{prefix}/events", json={"topic": "a", "data": "x"})
            event = await stream.next_event()
            assert event is not None
            assert event.last_event_id == sent.json()["id"]
        polled = await by_setting.http.get(f"{prefix}/events/poll?topic=a&after=earliest&wait=0")
        assert polled.json()["next"] == sent.json()["id"]
        url = f"{by_setting.server.url.replace('http', 'ws', 1)}{prefix}/events?topic=a"
        with trio.fail_after(30):
            async with open_websocket_url(url) as socket:
                assert json.loads(await socket.get_message())["control"] == "connected"


async def test_the_page_links_only_to_paths_beside_it(by_setting: Api) -> None:
    moved = await by_setting.http.get(f"{PREFIX}?topic=a")
    assert (moved.status_code, moved.headers["location"]) == (308, f"{PREFIX}/?topic=a")
    page = await by_setting.http.get(f"{PREFIX}/")
    links = re.findall(r'(?:href|src)="([^"]*)"', page.text)
    assert links
    for link in links:
        assert not link.startswith(("/", "http"))
        assert (await by_setting.http.get(f"{PREFIX}/{link}")).status_code == 200


async def test_requests_with_the_prefix_are_observed_by_their_route(by_setting: Api) -> None:
    await by_setting.http.get(f"{PREFIX}/events")  # without a topic
    await by_setting.http.get(f"{PREFIX}/tasks")
    metrics = (await by_setting.http.get("/metrics")).text
    for route in ("/events", "/tasks"):
        assert re.search(rf'streamd_request_seconds_count{{method="GET",route="{route}"', metrics), route


async def test_a_path_that_only_begins_with_the_same_letters_is_another(by_setting: Api) -> None:
    assert (await by_setting.http.get(f"{PREFIX}x/tasks")).status_code == 404
