"""Datasets behind HTTP endpoints: requests, retries, and invalid answers."""

from urllib.parse import parse_qs, urlsplit

import pytest
import structlog.testing
import trio

from streamd.services.research.endpoints import HttpSource
from streamd.services.research.query import ResearchQuery
from streamd.services.research.sources import NothingKnown, SourceFailed, SourceReport
from streamd.services.research.templates import UrlTemplate
from tests.support.fake_server import Exchange, FakeServer, fake_server, hang, respond
from tests.support.json_texts import nested
from tests.support.research_rig import no_report

QUERY = ResearchQuery("decision_makers", "acme", "Head of Sales", "Corvane Cloud")
OK = respond(200, b'{"people": 3}')


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore a proxy of the environment: the servers are on this machine."""
    monkeypatch.setenv("NO_PROXY", "*")


def source_of(
    server: FakeServer,
    path: str = "/people/{company_id}",
    *,
    attempts: int = 3,
    timeout_seconds: float = 30.0,
    retry_seconds: float = 0.001,
    headers: dict[str, str] | None = None,
) -> HttpSource:
    return HttpSource(
        "People",
        UrlTemplate.parse(server.url + path),
        headers=headers or {},
        attempts=attempts,
        timeout_seconds=timeout_seconds,
        retry_seconds=retry_seconds,
    )


async def fetch(source: HttpSource, *, max_bytes: int = 1000, report: SourceReport = no_report) -> object:
    return await source.fetch(QUERY, max_bytes, report)


async def test_json_is_fetched_with_the_configured_headers() -> None:
    async with fake_server(OK) as server:
        source = source_of(server, headers={"Authorization": "Bearer secret"})
        assert await fetch(source) == {"people": 3}
    assert server.requests[0].target == "/people/acme"
    assert server.requests[0].headers["authorization"] == "Bearer secret"
    assert "Bearer" not in repr(source), "a key must not appear in logs"


async def test_values_are_quoted_and_change_nothing_else_in_the_url() -> None:
    query = ResearchQuery("risk", "a.b-c_1", "CTO & CIO?x=1#y", "Ünïted/../%2e%2e + Söhne")
    async with fake_server(OK) as server:
        source = source_of(server, "/v1/{area_id}/{company_id}?role={user_role}&for={user_company}&fixed=1")
        await source.fetch(query, 1000, no_report)
    target = urlsplit(server.requests[0].target)
    assert target.path == "/v1/risk/a.b-c_1"
    assert parse_qs(target.query) == {
        "role": [query.user_role],
        "for": [query.user_company],
        "fixed": ["1"],
    }


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_temporary_failures_are_retried(status: int) -> None:
    messages: list[str] = []

    async def report(message: str, progress: float | None = None) -> None:
        messages.append(message)

    with structlog.testing.capture_logs() as logs:
        async with fake_server(respond(status, b"sorry"), OK) as server:
            assert await fetch(source_of(server), report=report) == {"people": 3}
    assert len(server.requests) == 2
    asking, retrying = messages
    assert asking == "requesting People"
    assert f"answered {status}" in retrying
    assert "trying again" in retrying
    assert [(entry["event"], entry["title"], entry["cause"]) for entry in logs] == [
        ("dataset_retried", "People", None)
    ]


async def test_number_of_attempts_is_limited() -> None:
    async with fake_server(respond(500)) as server:
        with pytest.raises(SourceFailed, match=r"answered 500 Internal Server Error \(try 3 of 3\)$"):
            await fetch(source_of(server))
    assert len(server.requests) == 3


async def test_retry_after_is_honoured() -> None:
    messages: list[str] = []
    waiting = trio.CancelScope()

    async def report(message: str, progress: float | None = None) -> None:
        messages.append(message)
        if "trying again" in message:
            waiting.cancel()  # the sentence states the wait

    async with fake_server(respond(503, headers={"Retry-After": "7"})) as server:
        with waiting:
            await fetch(source_of(server), report=report)
    wait = float(messages[-1].removesuffix(" s").rpartition(" ")[2])
    assert 7 <= wait <= 11


async def test_long_retry_after_ends_the_retries() -> None:
    async with fake_server(respond(429, headers={"Retry-After": "3600"})) as server:
        with pytest.raises(SourceFailed, match="answered 429"):
            await fetch(source_of(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [404, 410, 204])
async def test_unknown_company_is_not_retried(status: int) -> None:
    async with fake_server(respond(status)) as server:
        with pytest.raises(NothingKnown, match="nothing is known about acme"):
            await fetch(source_of(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 206])
async def test_refusals_are_not_retried(status: int) -> None:
    async with fake_server(respond(status)) as server:
        with pytest.raises(SourceFailed, match=f"answered {status}"):
            await fetch(source_of(server))
    assert len(server.requests) == 1


async def test_redirects_are_not_followed() -> None:
    async with fake_server(OK) as elsewhere:
        async with fake_server(respond(302, headers={"Location": f"{elsewhere.url}/x"})) as server:
            with pytest.raises(SourceFailed, match="answered 302 Found"):
                await fetch(source_of(server))
    assert elsewhere.requests == []


async def test_silent_server_times_out() -> None:
    async with fake_server(hang) as server:
        with pytest.raises(SourceFailed, match=r"did not answer within 0.05 s \(try 2 of 2\)"):
            await fetch(source_of(server, attempts=2, timeout_seconds=0.05))
    assert len(server.requests) == 2


async def test_timeout_covers_the_body() -> None:
    async def stall(exchange: Exchange) -> None:
        await exchange.head(200, {"Content-Length": "100"})
        await exchange.data(b'{"people"')
        await exchange.wait_for_close()  # the rest never comes

    async with fake_server(stall) as server:
        with pytest.raises(SourceFailed, match="did not answer within"):
            await fetch(source_of(server, attempts=1, timeout_seconds=0.1))


async def test_truncated_answer_is_retried_and_never_accepted() -> None:
    async with fake_server(respond(200, b'{"people": 3}', content_length=200), OK) as server:
        assert await fetch(source_of(server)) == {"people": 3}
        assert len(server.requests) == 2
    async with fake_server(respond(200, b'{"people": 3}', content_length=200)) as server:
        with pytest.raises(SourceFailed, match="cut its answer off"):
            await fetch(source_of(server, attempts=2))


async def test_unreachable_server_is_reported() -> None:
    async with fake_server(OK) as server:
        pass
    with pytest.raises(SourceFailed, match="cannot be reached"):
        await fetch(source_of(server, attempts=2))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "is not valid JSON: expecting value"),
        (b"", "is empty"),
        (b'{"a": 1', "is not valid JSON: it ends too early"),
        (b"\xff\xfe", "is not valid UTF-8"),
        (b'{"a": ' + nested(64) + b"}", "is not usable: a is nested deeper than 64 levels"),
        (b'{"a": NaN}', "is not usable: a must be a finite number"),
    ],
)
async def test_invalid_json_is_not_retried(body: bytes, says: str) -> None:
    async with fake_server(respond(200, body)) as server:
        with pytest.raises(SourceFailed, match=f"the answer of .* {says}"):
            await fetch(source_of(server))
    assert len(server.requests) == 1


async def test_oversize_answers_are_refused_by_header_and_by_content() -> None:
    large = b'"' + b"x" * 1000 + b'"'
    for content in (respond(200, b"", content_length=1001), respond(200, [large])):
        async with fake_server(content) as server:
            with pytest.raises(SourceFailed, match="is larger than 1000 bytes"):
                await fetch(source_of(server))
        assert len(server.requests) == 1
    async with fake_server(respond(200, large[2:-1].join([b'"', b'"']))) as server:
        assert await fetch(source_of(server), max_bytes=1001) == "x" * 999


async def test_compressed_answers_are_refused() -> None:
    async with fake_server(respond(200, b"{}", {"Content-Encoding": "gzip"})) as server:
        with pytest.raises(SourceFailed, match="compressed"):
            await fetch(source_of(server))
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_progress_of_a_long_answer_is_reported_at_intervals() -> None:
    reported: list[float | None] = []

    async def report(message: str, progress: float | None = None) -> None:
        if "bytes of" in message:
            reported.append(progress)

    body = b'"' + b"x" * 1_000_000 + b'"'
    async with fake_server(respond(200, body)) as server:
        await fetch(source_of(server), max_bytes=2_000_000, report=report)
    assert reported == sorted(reported, key=lambda value: value or 0)
    assert 1 <= len(reported) <= 1_000_002 / 65_536
    assert all(value is not None and 0 < value <= 100 for value in reported)


async def test_cancelling_within_an_answer_leaves_nothing_behind() -> None:
    scope = trio.CancelScope()

    async def report(message: str, progress: float | None = None) -> None:
        if "bytes of" in message:
            scope.cancel()
        await trio.lowlevel.checkpoint()

    async with fake_server(respond(200, b'"' + b"x" * 1_000_000 + b'"')) as server:
        with scope:  # an abandoned generator or socket is a warning, which is an error here
            await fetch(source_of(server), max_bytes=2_000_000, report=report)
    assert scope.cancelled_caught
