"""Requests under names that are not the server's own are refused (RFC 9110 section 15.5.20)."""

import json
from collections.abc import AsyncIterator

import attrs
import httpx
import pytest
import trio
from quart_trio import QuartTrio

from streamd import Streamd
from streamd.auth import AuthSettings
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import open_stream, run_server
from tests.support.api import Api, check_problem, serving_api
from tests.support.http2_client import ManualHTTP2Client
from tests.support.plain import NO_SERVICES
from tests.support.server_process import server_process
from tests.support.sockets import connect

SECONDS = 30
EVIL = "evil.example"
PLAIN = Settings(**NO_SERVICES)
REQUESTS = [
    ("GET", "/"),
    ("GET", "/events?topic=a"),
    ("HEAD", "/events?topic=a"),
    ("GET", "/events/poll?topic=a&wait=0"),
    ("POST", "/events"),
    ("GET", "/connections"),
    ("GET", "/metrics"),
    ("GET", "/nowhere"),
    ("OPTIONS", "/events"),
]
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def named(*hosts: str, keys: tuple[str, ...] = ()) -> Settings:
    return attrs.evolve(PLAIN, server=ServerSettings(hosts=list(hosts)), auth=AuthSettings(keys=list(keys)))


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """Serve with the default names, which the servers of tests replace by all names."""
    async with serving_api(PLAIN) as api:
        api.server.streamd.apply_settings(PLAIN)
        yield api


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_a_page_that_rebinds_its_name_is_refused(api: Api, method: str, path: str) -> None:
    before = api.server.streamd.head
    body = {"topic": "a", "data": "x"} if method == "POST" else None
    for host in (EVIL, f"{EVIL}:{api.server.port}", "", "localhost.evil.example"):
        answer = await api.http.request(method, path, headers={"Host": host}, json=body)
        assert answer.status_code == 421
        if method != "HEAD":
            check_problem(answer, 421, "misdirected-host", "Host")
    assert api.server.streamd.head == before
    assert api.server.streamd.connections.statistics()["total"] == 0


async def test_a_websocket_is_refused_in_the_same_way(api: Api) -> None:
    answer = await api.http.get("/events?topic=a", headers={**UPGRADE, "Host": EVIL})
    check_problem(answer, 421, "misdirected-host", "Host")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_health_checks_may_use_any_name(api: Api, path: str) -> None:
    assert (await api.http.get(path, headers={"Host": EVIL})).status_code == 200


async def test_localhost_and_the_own_address_are_served(api: Api) -> None:
    for host in ("localhost", f"localhost:{api.server.port}", "app.localhost", "127.0.0.1", "[::1]:8080"):
        assert (await api.http.get("/connections", headers={"Host": host})).status_code == 200, host
    async with open_stream(api.server.url, topics=["a"]) as reader:
        await reader.next_control("connected")


async def test_the_address_of_the_connection_is_served_on_every_interface() -> None:
    async with run_server(PLAIN, bind="0.0.0.0:0") as server, httpx.AsyncClient() as http:
        server.streamd.apply_settings(attrs.evolve(PLAIN, server=ServerSettings(bind=["0.0.0.0:8080"])))
        for host, status in (("127.0.0.1", 200), ("192.0.2.1", 421)):
            answer = await http.get(f"http://127.0.0.1:{server.port}/connections", headers={"Host": host})
            assert answer.status_code == status


async def answer_over_http2(api: Api, authority: str) -> bytes:
    """Send a request over HTTP/2, and return the body of the answer."""
    with trio.fail_after(SECONDS):
        stream = await connect(api.server.url)
        async with stream:
            client = ManualHTTP2Client(stream)
            stream_id = client.http.get_next_available_stream_id()
            head = [
                (":method", "GET"),
                (":path", "/connections"),
                (":scheme", "http"),
                (":authority", authority),
            ]
            client.http.send_headers(stream_id, head, end_stream=True)
            await stream.send_all(client.http.data_to_send())
            while stream_id not in client.ended:
                await client.read()
            return client.received[stream_id]


async def test_the_authority_of_http2_is_checked(api: Api) -> None:
    assert "active" in json.loads(await answer_over_http2(api, "localhost"))
    assert json.loads(await answer_over_http2(api, EVIL))["code"] == "misdirected-host"


async def test_configured_names_take_the_place_of_the_default_ones() -> None:
    async with serving_api(named("events.example.org", "*.example.com:8443")) as api:
        for host, status in (
            ("events.example.org", 200),
            ("a.example.com:8443", 200),
            ("a.example.com", 421),
            ("localhost", 421),
            ("127.0.0.1", 421),
        ):
            assert (await api.http.get("/connections", headers={"Host": host})).status_code == status, host


async def test_with_keys_every_name_is_served_unless_names_are_configured() -> None:
    async with serving_api(PLAIN) as api:
        for settings, status in ((named(keys=("HS256:a2V5",)), 200), (named("b", keys=("HS256:a2V5",)), 421)):
            api.server.streamd.guard.apply_settings(settings)
            assert (await api.http.get("/connections", headers={"Host": EVIL})).status_code == status


async def test_names_can_change_while_the_server_runs(api: Api) -> None:
    assert (await api.http.get("/connections", headers={"Host": EVIL})).status_code == 421
    api.server.streamd.apply_settings(named(EVIL))
    assert (await api.http.get("/connections", headers={"Host": EVIL})).status_code == 200


async def test_the_command_checks_names_by_default() -> None:
    async with server_process() as node, httpx.AsyncClient(base_url=node.url) as http:
        assert (await http.get("/connections")).status_code == 200
        refused = await http.get("/connections", headers={"Host": EVIL})
        check_problem(refused, 421, "misdirected-host", "Host")


def own_app(settings: Settings | None = None) -> QuartTrio:
    app = QuartTrio("own")
    Streamd(app, settings=settings)

    @app.get("/")
    async def page() -> str:
        return "own"

    return app


async def test_an_application_under_a_foreign_server_has_every_name_unless_it_says_so() -> None:
    for settings, status in ((None, 200), (PLAIN, 200), (named("localhost"), 421)):
        transport = httpx.ASGITransport(own_app(settings))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{EVIL}") as http:
            assert (await http.get("/")).status_code == status


async def test_an_application_on_the_servers_own_listeners_is_checked() -> None:
    app = own_app()
    async with run_server(app=app) as server, httpx.AsyncClient(base_url=server.url) as http:
        server.streamd.guard.apply_settings(PLAIN)
        assert (await http.get("/")).status_code == 200
        assert (await http.get("/", headers={"Host": EVIL})).status_code == 421
