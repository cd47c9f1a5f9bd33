"""Streams of ``GET /events`` past the web framework begin as those of the view, and bypass no hook."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import httpx
import pytest
import trio
from quart import Response

from streamd.app import create_app
from streamd.errors import StreamdError
from streamd.settings import Settings
from streamd.testing import RunningServer, open_stream, run_server
from tests.support.sockets import connect

ORIGINS = attrs.evolve(
    Settings(), server=attrs.evolve(Settings().server, cors_origins=["https://app.example"])
)
QUERIES = [
    "/events",
    "/events?topic=",
    "/events?topic=a&overflow=never",
    "/events?topic=a&heartbeat=soon",
    "/events?topic=a&include=nothing",
    "/events?topic=a&last_event_id=yesterday",
    "/events?pattern=a/**/b",
    "/events?topic=a&client_id=",
    "/events?topic=%00",
    "/events?" + "&".join(f"topic={n}" for n in range(101)),
]


@asynccontextmanager
async def both_ways() -> AsyncIterator[tuple[RunningServer, RunningServer]]:
    """Run a server with hot routes, and one whose hook, which does nothing, disables them."""
    hooked = create_app(ORIGINS)

    @hooked.before_request
    async def do_nothing() -> None:
        """Disable the hot routes."""

    async with run_server(ORIGINS) as hot, run_server(ORIGINS, app=hooked) as view:
        yield hot, view


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("origin", [None, "https://app.example", "https://evil.example"])
async def test_rejections_are_those_of_the_view(query: str, origin: str | None) -> None:
    headers = {"X-Request-Id": "same"} | ({} if origin is None else {"Origin": origin})
    with trio.fail_after(20):
        async with both_ways() as servers, httpx.AsyncClient() as http:
            answers = [await http.get(server.url + query, headers=headers) for server in servers]
    comparable = [
        (answer.status_code, answer.content, sorted((n, v) for n, v in answer.headers.items() if n != "date"))
        for answer in answers
    ]
    assert answers[0].status_code == 400
    assert comparable[0] == comparable[1]


async def test_streams_begin_as_those_of_the_view() -> None:
    path = "/events?topic=a&pattern=b/*&client_id=me&heartbeat=7&last_event_id=earliest"
    heads, openings = [], []
    with trio.fail_after(20):
        async with both_ways() as servers:
            for server in servers:
                await server.streamd.publish("a", "kept")
                heads.append(await stream_head(server, path))
                async with open_stream(server.url, path=path) as reader:
                    opening = await reader.next_control("connected")
                    event = await reader.next_event()
                assert event is not None
                assert event.data == "kept"
                openings.append((opening["heartbeat_seconds"], "me" in opening.values()))
    assert heads[0] == heads[1]
    assert openings[0] == openings[1] == (7, True)


async def stream_head(server: RunningServer, target: str) -> list[bytes]:
    """Return the status line and header lines of a stream's answer, sorted and without the date."""
    stream = await connect(server.url)
    async with stream:
        await stream.send_all(f"GET {target} HTTP/1.1\r\nHost: x\r\nX-Request-Id: same\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            part = await stream.receive_some()
            assert part, received
            received += part
    lines = received.partition(b"\r\n\r\n")[0].lower().splitlines()
    assert lines[0].startswith(b"http/1.1 200 ")
    return sorted(line for line in lines if b"date:" not in line)


async def test_a_hook_of_the_application_is_not_bypassed() -> None:
    app = create_app()

    @app.before_request
    async def reject() -> Response:
        return Response("authentication required", 401)

    with trio.fail_after(20):
        async with run_server(app=app) as server, httpx.AsyncClient() as http:
            assert (await http.get(f"{server.url}/events?topic=a")).status_code == 401
            assert not server.streamd.connections.statistics()["active"]


async def test_an_error_handler_of_the_application_is_not_bypassed() -> None:
    app = create_app()

    @app.errorhandler(StreamdError)
    async def answer(error: StreamdError) -> tuple[str, int]:
        return f"no: {error.code}", 418

    with trio.fail_after(20):
        async with run_server(app=app) as server, httpx.AsyncClient() as http:
            rejected = await http.get(f"{server.url}/events")
            assert (rejected.status_code, rejected.text) == (418, "no: invalid-field")


@pytest.mark.parametrize("method", ["OPTIONS", "DELETE"])
async def test_other_methods_go_to_the_framework(method: str) -> None:
    with trio.fail_after(20):
        async with run_server() as server, httpx.AsyncClient() as http:
            answer = await http.request(method, f"{server.url}/events?topic=a")
            assert answer.status_code == {"OPTIONS": 200, "DELETE": 405}[method]
            assert "GET" in answer.headers["Allow"]
