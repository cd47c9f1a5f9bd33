"""Pages of other origins (WHATWG Fetch, CORS protocol): who may read an answer, and which answers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import httpx
import pytest
from quart_trio import QuartTrio

from streamd import create_app
from streamd.config import ConnectionSettings, ServerSettings, Settings
from streamd.testing import RunningServer, StreamRefused, open_stream, run_server

ORIGIN = "https://app.example"
LOCAL = "http://localhost:3000"
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
SECONDS = 30


@attrs.frozen
class Api:
    server: RunningServer
    http: httpx.AsyncClient


def allowing(*origins: str, connections: ConnectionSettings | None = None) -> Settings:
    return Settings(
        server=ServerSettings(cors_origins=list(origins)), connections=connections or ConnectionSettings()
    )


@asynccontextmanager
async def running(settings: Settings, app: QuartTrio | None = None) -> AsyncIterator[Api]:
    async with run_server(settings, app=app) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as http:
            yield Api(server, http)


def granted(headers: Mapping[str, str]) -> dict[str, str]:
    """Every header with which an answer opens itself to other origins."""
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("access-")}


def listed(value: str) -> set[str]:
    """The members of a comma-separated header, in lower case."""
    return {member.strip().lower() for member in value.split(",")}


def check_readable(headers: Mapping[str, str], allowed: str = ORIGIN) -> None:
    """A page of the allowed origin sees the answer, and when to come back; no credentials are asked for."""
    assert granted(headers) == {
        "access-control-allow-origin": allowed,
        "access-control-expose-headers": "Retry-After, ETag, Location, Task-Status, Task-Progress",
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
async def test_only_a_listed_origin_is_let_in(origins: list[str], origin: str, allowed: str | None) -> None:
    async with running(allowing(*origins)) as api:
        ordinary = await api.http.get("/health/live", headers={"Origin": origin})
        assert ordinary.status_code == 200  # it is the browser that keeps the answer from the page
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
    ("GET", "/events?topic=a&client_id=", {}, b"", 400),  # refused when it is admitted, past its view
    ("GET", "/events/poll", {}, b"", 400),
    ("POST", "/events", JSON, b"{", 400),
    ("GET", "/nowhere", {}, b"", 404),
    ("GET", "/static/nowhere.js", {}, b"", 404),
    ("DELETE", "/events", {}, b"", 405),
    ("POST", "/events", {}, b"text", 415),
]


@pytest.mark.parametrize(("origins", "allowed"), [([LOCAL, ORIGIN], ORIGIN), (["*"], "*")])
async def test_every_answer_can_be_read_whatever_it_says(origins: list[str], allowed: str) -> None:
    async with running(allowing(*origins)) as api:
        for method, path, headers, body, status in ANSWERS:
            answer = await api.http.request(
                method, path, headers={**headers, "Origin": ORIGIN}, content=body or None
            )
            assert answer.status_code == status, (method, path)
            check_readable(answer.headers, allowed)
            if status >= 400:
                assert answer.headers["content-type"] == "application/problem+json"


async def test_a_failure_of_the_server_can_be_read_too() -> None:
    settings = allowing(ORIGIN)
    app = create_app(settings)

    @app.get("/fails")
    async def fails() -> str:
        raise RuntimeError("this is only the test's")

    async with running(settings, app) as api:
        answer = await api.http.get("/fails", headers={"Origin": ORIGIN})
        assert answer.status_code == 500
        check_readable(answer.headers)


@pytest.mark.parametrize(
    ("connections", "status"),
    [(ConnectionSettings(max_connections=1), 503), (ConnectionSettings(max_per_address=1), 429)],
    ids=["full", "full for this address"],
)
async def test_a_page_reads_when_to_come_back_to_a_full_server(
    connections: ConnectionSettings, status: int
) -> None:
    async with running(allowing(ORIGIN, connections=connections)) as api:
        async with open_stream(api.server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
            with pytest.raises(StreamRefused) as refused:
                async with open_stream(api.server.url, topics=["a"], headers={"Origin": ORIGIN}):
                    pass
            polled = await api.http.get("/events/poll?topic=a&wait=0", headers={"Origin": ORIGIN})
            answers = ((refused.value.status, refused.value.headers), (polled.status_code, polled.headers))
            for received, headers in answers:
                assert received == status
                assert headers["retry-after"] == "5"
                assert headers["content-type"] == "application/problem+json"
                check_readable(headers)


def preflight(origin: str, method: str, headers: str = "") -> dict[str, str]:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return asked | ({"Access-Control-Request-Headers": headers} if headers else {})


@pytest.mark.parametrize(("origins", "allowed"), [([ORIGIN], ORIGIN), (["*"], "*")])
@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/events", "POST", "content-type"),
        ("/events", "GET", "last-event-id"),
        ("/events", "GET", "content-type,last-event-id"),
        ("/events", "GET", ""),
        ("/events/poll", "GET", "last-event-id"),
        ("/connections", "GET", ""),
    ],
)
async def test_a_preflight_is_answered(
    origins: list[str], allowed: str, path: str, method: str, headers: str
) -> None:
    async with running(allowing(*origins)) as api:
        answer = await api.http.options(path, headers=preflight(ORIGIN, method, headers))
        assert answer.status_code in (200, 204)
        assert answer.headers["access-control-allow-origin"] == allowed
        assert method.lower() in listed(answer.headers["access-control-allow-methods"])
        assert listed(headers) - {""} <= listed(answer.headers["access-control-allow-headers"])
        assert "authorization" not in listed(answer.headers["access-control-allow-headers"])
        assert int(answer.headers["access-control-max-age"]) > 0
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in listed(answer.headers["vary"])
        assert api.server.streamd.connections.statistics()["total"] == 0  # it takes no place


@pytest.mark.parametrize("origins", [[], [ORIGIN]])
async def test_a_preflight_of_another_origin_is_granted_nothing(origins: list[str]) -> None:
    async with running(allowing(*origins)) as api:
        for path in ("/events", "/events/poll"):
            asked = preflight("https://other.example", "POST", "content-type")
            answer = await api.http.options(path, headers=asked)
            assert granted(answer.headers) == {}


async def test_what_is_not_from_a_page_is_told_nothing_of_origins() -> None:
    async with running(allowing(ORIGIN)) as api:
        for path in ("/health/live", "/events/poll?topic=a&wait=0", "/nowhere"):
            assert granted((await api.http.get(path)).headers) == {}


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://other.example"}], ids=["none", "another"])
async def test_an_answer_that_depends_on_the_origin_always_says_so(headers: dict[str, str]) -> None:
    """WHATWG Fetch, "CORS protocol and HTTP caches": also without an Origin, or with one not let in."""
    async with running(allowing(LOCAL, ORIGIN)) as api:
        for method, path, more, body, status in ANSWERS:
            answer = await api.http.request(method, path, headers={**headers, **more}, content=body or None)
            assert answer.status_code == status, (method, path)
            assert granted(answer.headers) == {}
            assert listed(answer.headers.get("vary", "")) == {"origin"}, (method, path)
        async with open_stream(api.server.url, topics=["a"], headers=headers) as reader:
            await reader.next_control("connected")
            assert granted(reader.headers) == {}
            assert listed(reader.headers.get("vary", "")) == {"origin"}


async def test_an_application_that_checks_who_asks_says_so_too() -> None:
    """With a hook of its own an application serves streams by itself, past the direct route."""
    app = create_app(allowing(ORIGIN))

    @app.before_request
    async def let_pass() -> None:
        return None

    async with running(allowing(ORIGIN), app) as api:
        refused = await api.http.get("/events?topic=a&client_id=")
        assert refused.status_code == 400
        assert listed(refused.headers.get("vary", "")) == {"origin"}
        async with open_stream(api.server.url, topics=["a"]) as reader:
            await reader.next_control("connected")
            assert listed(reader.headers.get("vary", "")) == {"origin"}


async def test_without_origins_to_allow_no_answer_depends_on_one() -> None:
    async with running(allowing()) as api:
        for path in ("/health/live", "/events", "/events/poll?topic=a&wait=0", "/nowhere"):
            assert "vary" not in (await api.http.get(path, headers={"Origin": ORIGIN})).headers
