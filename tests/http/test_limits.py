"""Limits over real sockets: 429 with the fields of the draft, for each class of routes."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import ConnectionRejected, WebSocketConnection, wrap_client_stream

from streamd.app import create_app
from streamd.auth import Access, AuthSettings, Caller, Grant
from streamd.connections.settings import ConnectionSettings
from streamd.limits import LimitSettings
from streamd.server.settings import ServerSettings
from streamd.services.strategy.settings import StrategySettings
from streamd.settings import Settings
from streamd.testing import open_stream
from tests.support.addressed import give_addresses
from tests.support.api import Api, check_problem, serving_api
from tests.support.callers import FakeProofs

RATE = 0.001  # nothing is earned during a test
EVENT = {"topic": "a", "data": "x"}


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[Api]:
    settings = Settings(
        limits=LimitSettings(**limits),
        server=ServerSettings(cors_origins=["https://shop.example"]),
        strategy=StrategySettings(enabled=True),
    )
    async with serving_api(settings, give_addresses(create_app(settings))) as api:
        yield api


def limit(name: str, burst: int) -> dict[str, Any]:
    return {f"{name}_per_second": RATE, f"{name}_burst": burst}


CLASSES: list[tuple[str, str, str, dict[str, Any], int]] = [
    ("publish", "POST", "/events", {"json": EVENT}, 201),
    ("publish", "POST", "/events", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
    ("subscribe", "GET", "/events/poll?topic=a&wait=0", {}, 200),
    ("connect", "GET", "/events", {}, 400),
    ("connect", "HEAD", "/events?topic=a", {}, 200),
    ("connect", "GET", "/tasks/none/events", {}, 404),
    ("subscribe", "GET", "/tasks/none/events/poll", {}, 404),
    ("connect", "GET", "/api/strategy/none/events", {}, 404),
    ("subscribe", "GET", "/api/v2/stream/poll?wait=0", {}, 200),
    ("tasks", "GET", "/tasks", {}, 200),
    ("tasks", "POST", "/tasks", {"json": {"kind": "k"}}, 201),
    ("tasks", "GET", "/tasks/none", {}, 404),
    ("services", "GET", "/api/strategy/none/status", {}, 404),
]


@pytest.mark.parametrize(("name", "method", "path", "body", "status"), CLASSES)
async def test_a_class_of_routes(name: str, method: str, path: str, body: Any, status: int) -> None:
    async with serving(**limit(name, 2)) as api:
        for left in (1, 0):
            answer = await api.http.request(method, path, **body)
            assert answer.status_code == status
            assert answer.headers["RateLimit-Policy"] == f'"{name}";q=2;w=2000'
            assert answer.headers["RateLimit"] == f'"{name}";r={left};t={1000 * (2 - left)}'
        refused = await api.http.request(method, path, **body)
        if method == "HEAD":
            assert refused.status_code == 429
        else:
            check_problem(refused, 429, "too-many-requests")
        assert refused.headers["Retry-After"] == "1000"
        assert refused.headers["RateLimit"] == f'"{name}";r=0;t=1000'
        body = {**body, "headers": {**body.get("headers", {}), "Test-Address": "192.0.2.2"}}
        assert (await api.http.request(method, path, **body)).status_code == status
        metrics = (await api.http.get("/metrics")).text
        assert f'streamd_limit_refusals_total{{limit="{name}"}} 1.0' in metrics


async def test_without_limits_there_are_no_fields() -> None:
    async with serving() as api:
        for name, method, path, body, _ in CLASSES:
            answer = await api.http.request(method, path, **body)
            assert not {"ratelimit", "ratelimit-policy"} & set(answer.headers), name


async def test_operators_and_preflight_requests_have_no_limit() -> None:
    every = {}
    for name in ("publish", "connect", "subscribe", "tasks", "services"):
        every.update(limit(name, 1))
    async with serving(**every) as api:
        for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/connections", "/"):
            for _ in range(3):
                answer = await api.http.get(path)
                assert answer.status_code == 200
                assert "RateLimit" not in answer.headers
        for _ in range(3):
            preflight = await api.http.options("/events", headers={"Origin": "https://shop.example"})
            assert preflight.status_code == 200


async def test_a_stream_tells_its_limit_and_pages_may_read_that() -> None:
    async with serving(**limit("connect", 1)) as api:
        headers = {"Origin": "https://shop.example"}
        async with open_stream(api.server.url, topics=["a"], headers=headers) as stream:
            await stream.next_control("connected")
            assert stream.headers["ratelimit"] == '"connect";r=0;t=1000'
        refused = await api.http.get("/events?topic=a", headers=headers)
        check_problem(refused, 429, "too-many-requests")
        exposed = refused.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)


async def test_an_ipv6_site_has_one_account_and_a_mapped_address_that_of_ipv4() -> None:
    async with serving(**limit("subscribe", 1)) as api:

        async def status(address: str) -> int:
            headers = {"Test-Address": address}
            return (await api.http.get("/events/poll?topic=a&wait=0", headers=headers)).status_code

        assert [await status(a) for a in ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1")] == [
            200,
            429,
            200,
        ]
        assert [await status(a) for a in ("192.0.2.9", "::ffff:192.0.2.9")] == [200, 429]


@asynccontextmanager
async def open_socket(api: Api, path: str = "/events?topic=a") -> AsyncIterator[WebSocketConnection]:
    """Open a WebSocket and read its first message."""
    server = api.server
    with trio.fail_after(30):
        async with await trio.open_tcp_stream(server.host, server.port) as stream:
            async with trio.open_nursery() as nursery:
                host = f"{server.host}:{server.port}"
                socket = await wrap_client_stream(nursery, stream, host, path)
                assert json.loads(await socket.get_message())["control"] == "connected"
                yield socket
                await socket.aclose()


@pytest.mark.parametrize("path", ["/events?topic=a", "/api/v2/stream", "/api/realtime/events?merchantId=7"])
async def test_a_websocket_is_refused_before_the_upgrade(path: str) -> None:
    async with serving(**limit("connect", 1)) as api:
        async with open_socket(api, path):
            pass
        with pytest.raises(ExceptionGroup) as group:
            async with open_socket(api, path):
                pass
        [rejected] = group.value.exceptions
        assert isinstance(rejected, ConnectionRejected)
        assert rejected.status_code == 429
        headers = {name.lower(): value for name, value in rejected.headers or ()}
        assert headers[b"retry-after"] == b"1000"
        assert headers[b"ratelimit"] == b'"connect";r=0;t=1000'


async def test_subscriptions_of_a_websocket_are_limited_and_it_stays_open() -> None:
    async with serving(**limit("subscribe", 1)) as api:
        async with open_socket(api) as socket:
            answers = []
            for topic in ("b", "c"):
                await socket.send_message(json.dumps({"control": "subscribe", "topics": [topic]}))
                answers.append(json.loads(await socket.get_message()))
            await socket.send_message(json.dumps({"control": "ping"}))
            answers.append(json.loads(await socket.get_message()))
        assert [answer["control"] for answer in answers] == ["subscribed", "error", "pong"]
        assert answers[1]["code"] == "too-many-requests"


async def publish(http: httpx.AsyncClient, events: int, size: int = 1) -> httpx.Response:
    return await http.post("/events", json=[{"topic": "a", "data": "x" * size}] * events)


async def test_events_are_limited_and_a_refused_array_publishes_nothing() -> None:
    async with serving(**limit("events", 10)) as api:
        assert (await publish(api.http, 6)).status_code == 201
        head = api.server.streamd.head
        refused = await publish(api.http, 5)
        check_problem(refused, 429, "too-many-requests")
        assert refused.headers["Retry-After"] == "1000"
        assert api.server.streamd.head == head
        assert (await publish(api.http, 4)).status_code == 201
        check_problem(await api.http.post("/events", json=EVENT), 429, "too-many-requests")


async def test_bytes_are_limited_and_events_of_a_refused_request_are_not_counted() -> None:
    async with serving(**limit("events", 10), **limit("bytes", 2000)) as api:
        answer = await publish(api.http, 1, 1500)
        assert answer.status_code == 201
        assert answer.headers["RateLimit-Policy"] == '"publish-bytes";q=2000;qu="content-bytes";w=2000000'
        for _ in range(12):
            check_problem(await publish(api.http, 1, 1500), 429, "too-many-requests")
        assert (await publish(api.http, 9)).status_code == 201


async def test_an_array_above_the_burst_is_published_from_a_full_account() -> None:
    async with serving(**limit("events", 10)) as api:
        assert (await publish(api.http, 50)).status_code == 201
        refused = await publish(api.http, 1)
        check_problem(refused, 429, "too-many-requests")
        assert refused.headers["Retry-After"] == "41000"


async def test_openapi_lists_the_refusals() -> None:
    async with serving() as api:
        paths = (await api.http.get("/openapi.json")).json()["paths"]
        for method, path in (("post", "/events"), ("get", "/tasks"), ("post", "/api/strategy")):
            assert "Retry-After" in paths[path][method]["responses"]["429"]["headers"]
        assert "429" not in paths["/health/live"]["get"]["responses"]


@asynccontextmanager
async def serving_users(**limits: Any) -> AsyncIterator[Api]:
    """Serve with keys. Tokens are the names of users, who may do everything."""
    settings = Settings(limits=LimitSettings(**limits), connections=ConnectionSettings(max_per_user=1))
    async with serving_api(settings, give_addresses(create_app(settings))) as api:
        proofs = FakeProofs({user: Caller(user=user, grant=Grant(admin=True)) for user in ("ann", "bob")})
        runtime = api.server.streamd.runtime
        keys = AuthSettings(jwks_url="https://keys.test")
        runtime.access = Access(keys, proofs, proofs, proofs)
        yield api


def sent_by(user: str, address: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {user}", "Test-Address": address}


@pytest.mark.parametrize(
    ("name", "path"), [("subscribe", "/events/poll?topic=a&wait=0"), ("connect", "/events?topic=a")]
)
async def test_a_user_has_one_account_at_all_addresses(name: str, path: str) -> None:
    async with serving_users(**limit(name, 2)) as api:
        method = "HEAD" if name == "connect" else "GET"

        async def status(user: str, address: str) -> int:
            return (await api.http.request(method, path, headers=sent_by(user, address))).status_code

        assert [await status("ann", f"192.0.2.{n}") for n in (1, 2, 3)] == [200, 200, 429]
        assert await status("bob", "192.0.2.1") == 200


@pytest.mark.parametrize(
    ("name", "path"), [("subscribe", "/events/poll?topic=a&wait=0"), ("connect", "/events?topic=a")]
)
async def test_tokens_that_cannot_be_used_count_for_the_address(name: str, path: str) -> None:
    async with serving_users(**limit(name, 2)) as api:
        guesses = [await api.http.get(path, headers=sent_by(f"guess{n}", "192.0.2.1")) for n in range(3)]
        assert [answer.status_code for answer in guesses] == [401, 401, 429]
        assert guesses[0].headers["WWW-Authenticate"].startswith("Bearer")
        assert (await api.http.get(path, headers=sent_by("guess", "192.0.2.2"))).status_code == 401
        assert (await api.http.head(path, headers=sent_by("ann", "192.0.2.1"))).status_code == 200


async def test_a_user_has_a_number_of_connections() -> None:
    async with serving_users() as api:
        url = api.server.url
        async with open_stream(url, topics=["a"], headers=sent_by("ann", "192.0.2.1")) as stream:
            await stream.next_control("connected")
            refused = await api.http.get("/events?topic=a", headers=sent_by("ann", "192.0.2.2"))
            check_problem(refused, 429, "too-many-for-caller")
            async with open_stream(url, topics=["a"], headers=sent_by("bob", "192.0.2.1")) as other:
                await other.next_control("connected")


async def test_clients_behind_a_trusted_proxy_are_told_apart() -> None:
    settings = Settings(
        limits=LimitSettings(**limit("subscribe", 1)),
        connections=ConnectionSettings(max_per_address=1),
        server=ServerSettings(trusted_proxies=["127.0.0.0/8"]),
    )
    async with serving_api(settings) as api:

        async def status(forwarded: str) -> int:
            headers = {"X-Forwarded-For": forwarded}
            return (await api.http.get("/events/poll?topic=a&wait=0", headers=headers)).status_code

        assert [await status(a) for a in ("192.0.2.1", "192.0.2.2", "192.0.2.1")] == [200, 200, 429]
        headers = {"X-Forwarded-For": "192.0.2.3"}
        async with open_stream(api.server.url, topics=["a"], headers=headers) as stream:
            await stream.next_control("connected")
            check_problem(await api.http.get("/events?topic=a", headers=headers), 429, "too-many-for-caller")
            for _ in range(2):  # the proxy itself, which forwards no address
                async with open_stream(api.server.url, topics=["a"]) as other:
                    await other.next_control("connected")
