"""Operations on connections are for callers on this machine, and only if a setting allows them."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import httpx
import pytest

from streamd import create_app
from streamd.connections.settings import ConnectionSettings
from streamd.http.hosts import is_loopback
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import StreamReader, open_stream, run_server
from tests.support.api import Api
from tests.support.plain import NO_SERVICES

ALLOWED_ORIGIN = "https://app.example"
SETTINGS = Settings(
    connections=ConnectionSettings(control=True),
    server=ServerSettings(cors_origins=[ALLOWED_ORIGIN]),
    **NO_SERVICES,
)
JSON = {"Content-Type": "application/json"}
OPERATIONS = [
    ("DELETE", "/connections/me", b"", 204),
    ("POST", "/connections/me/send", b'{"data": 1}', 202),
    ("POST", "/connections/broadcast", b'{"data": 1}', 200),
]
on_each_operation = pytest.mark.parametrize(
    ("method", "path", "body", "status"), OPERATIONS, ids=["close", "send", "broadcast"]
)


@attrs.frozen
class LoopbackApi(Api):
    reader: StreamReader  # of the client `me`

    async def check_refused(
        self, answer: httpx.Response, code: str = "forbidden", field: str | None = None
    ) -> None:
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem.get("field")) == (403, code, field), problem
        connection = self.server.streamd.connections.find("me")
        assert connection.is_open
        assert connection.send_queue.waiting == 0


@pytest.fixture
async def api() -> AsyncIterator[LoopbackApi]:
    async with run_server(SETTINGS) as server, httpx.AsyncClient(base_url=server.url) as http:
        async with open_stream(server.url, topics=["a"], client_id="me") as reader:
            yield LoopbackApi(server, http, reader)


@on_each_operation
async def test_a_caller_on_this_machine_is_admitted(
    api: LoopbackApi, method: str, path: str, body: bytes, status: int
) -> None:
    for host in (None, "localhost", f"localhost:{api.server.port}", "[::1]:8080", "127.0.0.2"):
        headers = JSON if host is None else {**JSON, "Host": host}
        answer = await api.http.request(method, path, content=body, headers=headers)
        assert answer.status_code == status, host
        if method == "DELETE":
            return


@on_each_operation
async def test_everything_is_refused_by_default_with_the_name_of_the_setting(
    method: str, path: str, body: bytes, status: int
) -> None:
    async with run_server(Settings(**NO_SERVICES)) as server, httpx.AsyncClient(base_url=server.url) as http:
        async with open_stream(server.url, topics=["a"], client_id="me") as reader:
            answer = await http.request(method, path, content=body, headers=JSON)
            await LoopbackApi(server, http, reader).check_refused(answer, "control-disabled")
            assert "connections.control = true" in answer.json()["detail"]
            assert (await http.get("/connections/me")).status_code == 200  # may be read as the list may


@on_each_operation
@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "2001:db8::1"])
async def test_another_machine_is_refused(
    method: str, path: str, body: bytes, status: int, address: str
) -> None:
    app: Any = create_app(SETTINGS)
    transport = httpx.ASGITransport(app, client=(address, 40_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
        answer = await http.request(method, path, content=body, headers=JSON)
    assert answer.status_code == 403
    assert "loopback" in answer.json()["detail"]


@on_each_operation
@pytest.mark.parametrize(
    "header",
    [
        "Forwarded",
        "X-Forwarded-For",
        "x-forwarded-for",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Real-IP",
        "Via",
    ],
)
@pytest.mark.parametrize("value", ["127.0.0.1", "192.0.2.7", ""])
async def test_a_request_through_a_proxy_is_refused(
    api: LoopbackApi, method: str, path: str, body: bytes, status: int, header: str, value: str
) -> None:
    answer = await api.http.request(method, path, content=body, headers={**JSON, header: value})
    assert answer.json()["field"].lower() == header.lower()
    await api.check_refused(answer, field=answer.json()["field"])


@on_each_operation
async def test_a_proxy_that_hides_itself_is_not_recognised(
    api: LoopbackApi, method: str, path: str, body: bytes, status: int
) -> None:
    """A default nginx sends its own target as Host; README and the log warn of it."""
    headers = {**JSON, "Host": f"127.0.0.1:{api.server.port}", "Connection": "close"}
    answer = await api.http.request(method, path, content=body, headers=headers)
    assert answer.status_code == status


@on_each_operation
@pytest.mark.parametrize(
    "host",
    [
        "streamd.example",
        "localhost.example",
        "127.0.0.1.example:8080",
        "0.0.0.0",
    ],
)
async def test_a_name_that_only_points_to_this_machine_is_refused(
    api: LoopbackApi, method: str, path: str, body: bytes, status: int, host: str
) -> None:
    answer = await api.http.request(method, path, content=body, headers={**JSON, "Host": host})
    await api.check_refused(answer, field="Host")


@on_each_operation
@pytest.mark.parametrize("host", ["[::", "a@localhost", "localhost/x"])
async def test_a_host_that_is_no_name_is_refused_by_the_server(
    api: LoopbackApi, method: str, path: str, body: bytes, status: int, host: str
) -> None:
    answer = await api.http.request(method, path, content=body, headers={**JSON, "Host": host})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-request")


@on_each_operation
@pytest.mark.parametrize(
    ("headers", "code", "field"),
    [
        ({"Origin": "https://evil.example"}, "cross-site", "Origin"),
        ({"Origin": ALLOWED_ORIGIN}, "forbidden", "Origin"),
        ({"Origin": ALLOWED_ORIGIN, "Sec-Fetch-Site": "cross-site"}, "forbidden", "Sec-Fetch-Site"),
        ({"Origin": "null"}, "cross-site", "Origin"),
        ({"Origin": "http://127.0.0.1:1"}, "cross-site", "Origin"),
        ({"Origin": ""}, "cross-site", "Origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "cross-site", "Sec-Fetch-Site"),
        ({"Sec-Fetch-Site": "same-site"}, "cross-site", "Sec-Fetch-Site"),
    ],
)
async def test_pages_of_other_origins_are_refused(
    api: LoopbackApi,
    method: str,
    path: str,
    body: bytes,
    status: int,
    headers: dict[str, str],
    code: str,
    field: str,
) -> None:
    answer = await api.http.request(method, path, content=body, headers={**JSON, **headers})
    await api.check_refused(answer, code, field)


@on_each_operation
async def test_the_own_page_is_admitted(
    api: LoopbackApi, method: str, path: str, body: bytes, status: int
) -> None:
    headers = {**JSON, "Origin": api.server.url, "Sec-Fetch-Site": "same-origin"}
    assert (await api.http.request(method, path, content=body, headers=headers)).status_code == status


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", ["/connections/me/send", "/connections/broadcast"])
async def test_a_body_that_a_form_can_send_is_refused(api: LoopbackApi, path: str, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await api.http.post(path, content=b'{"data": 1}', headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (415, "Content-Type")


async def test_no_preflight_allows_to_close(api: LoopbackApi) -> None:
    for origin in (ALLOWED_ORIGIN, "https://evil.example"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
        answer = await api.http.options("/connections/me", headers=headers)
        assert "DELETE" not in answer.headers.get("access-control-allow-methods", "")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
        ("<local>", False),
        ("127.1", False),
    ],
)
def test_addresses_of_the_loopback_interface(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
