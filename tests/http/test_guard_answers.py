"""Headers that every answer has, and the id that ties a request to its log lines."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import structlog
import trio
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse
from structlog.contextvars import merge_contextvars
from structlog.testing import LogCapture
from trio_websocket import open_websocket_url

from streamd import Streamd
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import open_stream, run_server
from tests.support.api import Api, serving_api
from tests.support.certificates import trusting, write_certificate
from tests.support.plain import NO_SERVICES

SECONDS = 30
EVIL = {"Origin": "https://evil.example"}
DATA = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
ANSWERS = [
    ("GET", "/health/ready", {}, 200),
    ("GET", "/metrics", {}, 200),
    ("GET", "/openapi.json", {}, 200),
    ("GET", "/connections", {}, 200),
    ("GET", "/events/poll?topic=a&wait=0", {}, 200),
    ("HEAD", "/events?topic=a", {}, 200),
    ("GET", "/events", {}, 400),
    ("GET", "/events?topic=<script>alert(1)</script>&after=x&overflow=<b>", {}, 400),
    ("GET", "/nowhere/<script>", {}, 404),
    ("DELETE", "/events", {}, 405),
    ("POST", "/events", {}, 415),
    ("POST", "/events", EVIL, 403),
]
ID = re.compile(r"[0-9a-f]{20}")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving_api(Settings(**NO_SERVICES)) as api:
        yield api


def check_data(headers: httpx.Headers) -> None:
    """Check that a browser shows an answer as nothing but data."""
    assert {name: headers.get_list(name) for name in DATA} == {name: [value] for name, value in DATA.items()}
    assert "strict-transport-security" not in headers


@pytest.mark.parametrize(("method", "path", "headers", "status"), ANSWERS)
async def test_every_answer_with_data_is_no_page(
    api: Api, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await api.http.request(method, path, headers=headers)
    assert answer.status_code == status
    check_data(answer.headers)


async def test_a_stream_is_no_page(api: Api) -> None:
    async with open_stream(api.server.url, topics=["a"]) as reader:
        await reader.next_control("connected")
        check_data(httpx.Headers(reader.headers))


@pytest.mark.parametrize("path", ["/", "/static/app.css", "/static/js/main.js"])
async def test_the_page_keeps_its_own_policy(api: Api, path: str) -> None:
    first = await api.http.get(path)
    again = await api.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    for answer in (first, again):
        [policy] = answer.headers.get_list("content-security-policy")
        assert policy.startswith("default-src 'self'")
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_the_pages_of_a_programs_application_keep_theirs() -> None:
    app = QuartTrio("own")
    Streamd(app)

    @app.get("/")
    async def page() -> str:
        return "<p>own"

    @app.get("/unchanged")
    async def unchanged() -> TrioResponse:
        return TrioResponse(status=304)

    @app.get("/data")
    async def data() -> dict[str, int]:
        return {"own": 1}

    @app.get("/policy")
    async def policy() -> TrioResponse:
        return TrioResponse("{}", content_type="application/json", headers={"Referrer-Policy": "origin"})

    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as http:
        for path in ("/", "/unchanged"):
            answer = await http.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert not (set(DATA) - {"x-content-type-options"}) & set(answer.headers)
        check_data((await http.get("/data")).headers)
        assert (await http.get("/policy")).headers.get_list("referrer-policy") == ["origin"]


async def test_browsers_are_told_to_use_tls_only_if_a_setting_says_so(tmp_path: Path) -> None:
    pem = write_certificate(tmp_path)
    for seconds, expected in ((0, None), (86_400, "max-age=86400")):
        settings = ServerSettings(hsts_seconds=seconds)
        secure = ServerSettings(hsts_seconds=seconds, certfile=pem, keyfile=pem)
        for server_settings, value in ((settings, None), (secure, expected)):
            async with run_server(Settings(server=server_settings, **NO_SERVICES)) as server:
                async with httpx.AsyncClient(verify=trusting()) as http:
                    answer = await http.get(f"{server.url}/health/live")
                    assert answer.headers.get("strict-transport-security") == value


@pytest.mark.parametrize("id", ["a", "0", "A.b_c-9", "x" * 128])
async def test_a_well_formed_request_id_is_kept(api: Api, id: str) -> None:
    headers = {"X-Request-Id": id}
    for path in ("/health/live", "/events", "/nowhere", "/events/poll?topic=a&wait=0"):
        assert (await api.http.get(path, headers=headers)).headers.get_list("x-request-id") == [id]
    refused = await api.http.post("/events", headers={**headers, **EVIL})
    assert refused.headers["x-request-id"] == id
    async with open_stream(api.server.url, topics=["a"], headers=headers) as reader:
        await reader.next_control("connected")
        assert reader.headers["x-request-id"] == id


@pytest.mark.parametrize("id", ["", "x" * 129, "a b", "a\tb", "a,b", "{a}", "a\xe4", "a/b", "<a>"])
async def test_a_malformed_request_id_is_replaced(api: Api, id: str) -> None:
    answer = await api.http.get("/health/live", headers=[(b"X-Request-Id", id.encode("latin1"))])
    [made] = answer.headers.get_list("x-request-id")
    assert ID.fullmatch(made)


async def test_requests_without_an_id_get_different_ones(api: Api) -> None:
    ids = {
        (await api.http.get("/health/live")).headers["x-request-id"] for _ in range(300)
    }  # 64 are made at once
    assert len(ids) == 300


async def test_a_websocket_has_a_request_id(api: Api) -> None:
    with trio.fail_after(SECONDS):
        url = api.server.url.replace("http:", "ws:") + "/events?topic=a"
        async with open_websocket_url(url, extra_headers=[(b"X-Request-Id", b"mine")]) as socket:
            assert json.loads(await socket.get_message())["control"] == "connected"
            assert dict(socket.handshake_headers)[b"x-request-id"] == b"mine"


async def test_the_log_lines_of_a_request_have_its_id(api: Api) -> None:
    capture = LogCapture()
    before = structlog.get_config()["processors"]
    processors = [*before]
    before[:] = [merge_contextvars, capture]  # in place: loggers keep the list that they began with
    try:
        for id, path in (("one", "/events"), ("two", "/events/poll?topic=a&wait=0"), ("three", "/nowhere")):
            await api.http.get(path, headers={"X-Request-Id": id})
        await api.http.post("/events", headers={"X-Request-Id": "four", **EVIL})
        async with open_stream(api.server.url, topics=["a"], headers={"X-Request-Id": "five"}) as reader:
            await reader.next_control("connected")
    finally:
        before[:] = processors
    lines = [(entry["event"], entry.get("request_id")) for entry in capture.entries]
    for id in ("one", "two", "three", "four"):
        assert ("request", id) in lines
    assert ("connection_opened", "five") in lines
