"""Cross-origin access (WHATWG Fetch, CORS protocol): the origins that may read responses."""

from collections.abc import Mapping

import pytest

from streamd import create_app
from streamd.connections.settings import ConnectionSettings
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import StreamRefused, open_stream
from tests.support.addressed import give_addresses
from tests.support.api import serving_api

ORIGIN = "https://app.example"
LOCAL = "http://localhost:3000"
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
SECONDS = 30


def allowing(*origins: str, connections: ConnectionSettings | None = None) -> Settings:
    return Settings(
        server=ServerSettings(cors_origins=list(origins)), connections=connections or ConnectionSettings()
    )


def granted(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the CORS headers of a response."""
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("access-")}


def listed(value: str) -> set[str]:
    """Split a comma-separated header, in lower case."""
    return {member.strip().lower() for member in value.split(",")}


def check_readable(headers: Mapping[str, str], allowed: str = ORIGIN) -> None:
    """Check that pages of the allowed origin can read the response and its headers, without credentials."""
    assert granted(headers) == {
        "access-control-allow-origin": allowed,
        "access-control-expose-headers": (
            "Retry-After, ETag, Location, Task-Status, Task-Progress, RateLimit, RateLimit-Policy, "
            "X-Request-Id"
        ),
    }
    assert "origin" in listed(headers["vary"])


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ([], ORIGIN, None),
        ([], "null", None),
        ([ORIGIN], ORIGIN, ORIGIN),
        ([ORIGIN, LOCAL], LOCAL, LOCAL),
        (["*"], ORIGIN, "*"),
        (["*"], "null", "*"),
        ([ORIGIN], "https://other.example", None),
        ([ORIGIN], "http://app.example", None),
        ([ORIGIN], "https://app.example:8443", None),
        ([ORIGIN], "https://app.example.other.example", None),
        ([ORIGIN], "https://other.example, https://app.example", None),
        ([ORIGIN], "null", None),
        ([ORIGIN], "*", None),
        ([ORIGIN], "", None),
    ],
)
async def test_only_listed_origins_get_cors_headers(
    origins: list[str], origin: str, allowed: str | None
) -> None:
    async with serving_api(allowing(*origins)) as api:
        ordinary = await api.http.get("/health/live", headers={"Origin": origin})
        assert ordinary.status_code == 200  # the browser hides the response from the page
        async with open_stream(api.server.url, topics=["a"], headers={"Origin": origin}) as reader:
            await reader.next_control("connected")
            for headers in (ordinary.headers, reader.headers):
                if allowed is None:
                    assert granted(headers) == {}
                else:
                    check_readable(headers, allowed)


ANSWERS = [
    ("GET", "/health/ready", {}, b"", 200),
    ("GET", "/metrics", {}, b"", 200),
    ("GET", "/connections", {}, b"", 200),
    ("GET", "/openapi.json", {}, b"", 200),
    ("GET", "/events/poll?topic=a&wait=0", {}, b"", 200),
    ("HEAD", "/events?topic=a", {}, b"", 200),
    ("POST", "/events", JSON, b'{"topic": "a"}', 201),
    ("POST", "/events", NDJSON, b'{"topic": "a"}\nnonsense\n', 200),
    ("GET", "/events", {}, b"", 400),
    ("GET", "/events?topic=a&last_event_id=7", {}, b"", 400),
    ("GET", "/events?topic=a&client_id=", {}, b"", 400),  # rejected at admission, after the view
    ("GET", "/events/poll", {}, b"", 400),
    ("POST", "/events", JSON, b"{", 400),
    ("GET", "/nowhere", {}, b"", 404),
    ("GET", "/static/nowhere.js", {}, b"", 404),
    ("DELETE", "/events", {}, b"", 405),
    ("POST", "/events", {}, b"text", 415),
]


@pytest.mark.parametrize(("origins", "allowed"), [([LOCAL, ORIGIN], ORIGIN), (["*"], "*")])
async def test_pages_can_read_every_response_whatever_its_status(origins: list[str], allowed: str) -> None:
    async with serving_api(allowing(*origins)) as api:
        for method, path, headers, body, status in ANSWERS:
            answer = await api.http.request(
                method, path, headers={**headers, "Origin": ORIGIN}, content=body or None
            )
            assert answer.status_code == status, (method, path)
            check_readable(answer.headers, allowed)
            if status >= 400:
                assert answer.headers["content-type"] == "application/problem+json"


async def test_pages_can_read_an_internal_error() -> None:
    settings = allowing(ORIGIN)
    app = create_app(settings)

    @app.get("/fails")
    async def fails() -> str:
        raise RuntimeError("raised by the test")

    async with serving_api(settings, app) as api:
        answer = await api.http.get("/fails", headers={"Origin": ORIGIN})
        assert answer.status_code == 500
        check_readable(answer.headers)


@pytest.mark.parametrize(
    ("connections", "status"),
    [(ConnectionSettings(max_connections=1), 503), (ConnectionSettings(max_per_address=1), 429)],
    ids=["full", "full for this address"],
)
async def test_pages_can_read_retry_after_of_a_full_server(
    connections: ConnectionSettings, status: int
) -> None:
    settings = allowing(ORIGIN, connections=connections)
    async with serving_api(settings, give_addresses(create_app(settings))) as api:
        async with open_stream(api.server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
            with pytest.raises(StreamRefused) as rejected:
                async with open_stream(api.server.url, topics=["a"], headers={"Origin": ORIGIN}):
                    pass
            polled = await api.http.get("/events/poll?topic=a&wait=0", headers={"Origin": ORIGIN})
            answers = ((rejected.value.status, rejected.value.headers), (polled.status_code, polled.headers))
            for received, headers in answers:
                assert received == status
                assert headers["retry-after"] == "5"
                assert headers["content-type"] == "application/problem+json"
                check_readable(headers)


def preflight(origin: str, method: str, headers: str = "") -> dict[str, str]:
    request = {"Origin": origin, "Access-Control-Request-Method": method}
    return request | ({"Access-Control-Request-Headers": headers} if headers else {})


@pytest.mark.parametrize(("origins", "allowed"), [([ORIGIN], ORIGIN), (["*"], "*")])
@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/events", "POST", "content-type"),
        ("/events", "GET", "last-event-id"),
        ("/events", "GET", "content-type,last-event-id"),
        ("/events", "GET", "resume-secret"),
        ("/events", "GET", "authorization,x-request-id"),
        ("/events", "GET", ""),
        ("/tasks", "POST", "content-type,idempotency-key"),
        ("/events/poll", "GET", "last-event-id"),
        ("/connections", "GET", ""),
    ],
)
async def test_a_preflight_allows_the_methods_and_headers_of_the_api(
    origins: list[str], allowed: str, path: str, method: str, headers: str
) -> None:
    async with serving_api(allowing(*origins)) as api:
        answer = await api.http.options(path, headers=preflight(ORIGIN, method, headers))
        assert answer.status_code in (200, 204)
        assert answer.headers["access-control-allow-origin"] == allowed
        assert method.lower() in listed(answer.headers["access-control-allow-methods"])
        assert listed(headers) - {""} <= listed(answer.headers["access-control-allow-headers"])
        assert int(answer.headers["access-control-max-age"]) > 0
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in listed(answer.headers["vary"])
        assert api.server.streamd.connections.statistics()["total"] == 0  # it takes no slot


@pytest.mark.parametrize("origins", [[], [ORIGIN]])
async def test_a_preflight_of_another_origin_gets_no_cors_headers(origins: list[str]) -> None:
    async with serving_api(allowing(*origins)) as api:
        for path in ("/events", "/events/poll"):
            headers = preflight("https://other.example", "POST", "content-type")
            answer = await api.http.options(path, headers=headers)
            assert granted(answer.headers) == {}


async def test_requests_without_origin_get_no_cors_headers() -> None:
    async with serving_api(allowing(ORIGIN)) as api:
        for path in ("/health/live", "/events/poll?topic=a&wait=0", "/nowhere"):
            assert granted((await api.http.get(path)).headers) == {}


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://other.example"}], ids=["none", "another"])
async def test_every_response_varies_by_origin_if_any_origin_is_allowed(headers: dict[str, str]) -> None:
    """See WHATWG Fetch, "CORS protocol and HTTP caches"."""
    async with serving_api(allowing(LOCAL, ORIGIN)) as api:
        for method, path, more, body, status in ANSWERS:
            answer = await api.http.request(method, path, headers={**headers, **more}, content=body or None)
            refused = headers and method not in ("GET", "HEAD")
            assert answer.status_code == (403 if refused else status), (method, path)
            assert granted(answer.headers) == {}
            assert listed(answer.headers.get("vary", "")) == {"origin"}, (method, path)
        async with open_stream(api.server.url, topics=["a"], headers=headers) as reader:
            await reader.next_control("connected")
            assert granted(reader.headers) == {}
            assert listed(reader.headers.get("vary", "")) == {"origin"}


async def test_responses_vary_by_origin_also_through_the_web_framework() -> None:
    """Add a hook, which disables the fast path."""
    app = create_app(allowing(ORIGIN))

    @app.before_request
    async def let_pass() -> None:
        return None

    async with serving_api(allowing(ORIGIN), app) as api:
        rejected = await api.http.get("/events?topic=a&client_id=")
        assert rejected.status_code == 400
        assert listed(rejected.headers.get("vary", "")) == {"origin"}
        async with open_stream(api.server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
            assert listed(reader.headers.get("vary", "")) == {"origin"}


async def test_no_response_varies_by_origin_if_none_is_allowed() -> None:
    async with serving_api(allowing()) as api:
        for path in ("/health/live", "/events", "/events/poll?topic=a&wait=0", "/nowhere"):
            assert "vary" not in (await api.http.get(path, headers={"Origin": ORIGIN})).headers
