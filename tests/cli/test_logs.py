"""The log of `streamd serve`: lines about requests, connections and tasks, and levels by area."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio

from streamd.testing import open_stream
from tests.support.program import run, started_on
from tests.support.server_process import ADDRESS, ServerProcess
from tests.support.sockets import connect

SERVE = ("serve", "--bind", "127.0.0.1:0")


@asynccontextmanager
async def logging_server(
    level: str = "info", debug: str = "", **settings: object
) -> AsyncIterator[ServerProcess]:
    """Run a server that logs JSON lines."""
    options = {"logging__format": "json", "logging__level": level, **settings}
    variables = {f"STREAMD_{name.upper()}": str(value) for name, value in options.items()}
    async with started_on(*SERVE, variables={**variables, "DEBUG": debug}) as program:
        line = await program.line()
        yield ServerProcess(line.removeprefix(ADDRESS).split()[0], program)


async def logged(server: ServerProcess, event: str, **fields: object) -> dict[str, Any]:
    """Wait for the next line of an event with these fields."""
    while True:
        entry: dict[str, Any] = json.loads(await server.program.line(2))
        if entry["event"] == event and fields.items() <= entry.items():
            return entry


async def stream_once(server: ServerProcess, topic: str) -> None:
    """Open a stream, read its first event, and leave."""
    async with open_stream(server.url, topics=[topic], last_event_id="earliest") as stream:
        await stream.take(1)


async def test_requests_connections_and_failed_tasks_are_one_line_each() -> None:
    async with logging_server() as server, httpx.AsyncClient(base_url=server.url) as client:
        for path in ("/health/live", "/health/ready", "/metrics"):
            await client.get(path)
        await client.post("/events", json={"topic": "a", "type": "stage", "data": 1})
        request = await logged(server, "request")
        assert request["route"] == "/events", "health and metrics leave no line"
        assert (request["method"], request["status"], request["level"]) == ("POST", 201, "info")
        assert 0 < request["seconds"] < 10
        await client.get("/tasks/none/events")
        assert (await logged(server, "request", status=404))["route"] == "/tasks/<task_id>/events"
        await client.get("/events")
        assert (await logged(server, "request", status=400))["route"] == "/events"
        await stream_once(server, "a")
        opened = await logged(server, "connection_opened")
        closed = await logged(server, "connection_closed", connection=opened["connection"])
        assert (opened["topics"], opened["transport"]) == (["a"], "sse")
        assert closed["events"] == {"stage": 1}
        assert closed["bytes"] > 0
        assert closed["reason"] == "disconnected"
        task = (await client.post("/tasks", json={"kind": "k", "worker": "w"})).json()
        await client.patch(
            f"/tasks/{task['id']}",
            json={"lease": task["lease"], "status": "failed", "error": {"code": "e", "detail": "no file"}},
        )
        failed = await logged(server, "task_failed", task=task["id"])
        assert (failed["level"], failed["code"], failed["detail"]) == ("warning", "e", "no file")


async def test_lines_about_requests_are_bounded_and_counted() -> None:
    async with (
        logging_server(tuning__logging__max_lines_per_second=5) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        for _ in range(200):
            await client.get("/tasks")
        line = await logged(server, "lines_suppressed")
        assert line["suppressed"] == "request"
        assert line["count"] > 0


UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: %b\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n"
)


async def exchange(server: ServerProcess, data: bytes) -> bytes:
    """Send bytes on a connection of their own, end the output, and return all that the server answers."""
    stream = await connect(server.url)
    async with stream:
        assert isinstance(stream, trio.SocketStream)
        await stream.send_all(data)
        await stream.send_eof()
        return b"".join([bytes(part) async for part in stream])


@pytest.mark.parametrize(
    ("path", "header", "status", "route"),
    [
        (b"/nope", b"", 404, "unknown"),
        (b"/events?topic=a", b"Origin: https://other.example\r\n", 403, "unknown"),
        (b"/events?topic=", b"", 400, "/events"),
    ],
)
async def test_a_refused_websocket_is_one_line(path: bytes, header: bytes, status: int, route: str) -> None:
    async with logging_server() as server, await connect(server.url) as stream:
        await stream.send_all(UPGRADE % (path, b"13", header))
        answer = b"".join([bytes(part) async for part in stream])
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        line = await logged(server, "request")
    assert (line["method"], line["status"], line["route"]) == ("GET", status, route)
    assert 0 < line["seconds"] < 10


async def test_a_request_whose_body_is_cut_off_is_one_line() -> None:
    async with logging_server() as server:
        head = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        await exchange(server, b"POST /events HTTP/1.1\r\n" + head)
        line = await logged(server, "request")
    assert (line["method"], line["status"], line["route"]) == ("POST", 499, "/events")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5 is no HTTP\r\n\r\n", 400),
        (UPGRADE % (b"/events?topic=a", b"12", b""), 426),
    ],
    ids=["length", "host", "tls", "websocket version"],
)
async def test_a_malformed_request_is_one_line(data: bytes, status: int) -> None:
    async with logging_server() as server:
        assert b" %d " % status in await exchange(server, data)
        line = await logged(server, "request_malformed")
    assert (line["level"], line["status"], line["address"]) == ("info", status, "127.0.0.1")


async def test_lines_about_malformed_requests_are_bounded_and_counted() -> None:
    async with logging_server(tuning__logging__max_lines_per_second=5) as server:
        for _ in range(50):
            await exchange(server, b"GET / HTTP/1.1\r\n\r\n")
        line = await logged(server, "lines_suppressed")
    assert line["suppressed"] == "request_malformed"
    assert line["count"] > 0


async def test_levels_hold_for_their_area() -> None:
    async with (
        logging_server(level="connections=info,*=error") as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        await client.post("/events", json={"topic": "a", "data": 1})
        await stream_once(server, "a")
        entry = json.loads(await server.program.line(2))
        assert entry["event"] == "connection_opened", "requests leave no line below error"


async def test_debug_means_connections_and_transports_only() -> None:
    async with (
        logging_server(level="error", debug="sse:*") as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        await client.post("/events", json={"topic": "a", "data": 1})
        await stream_once(server, "a")
        entries = [json.loads(await server.program.line(2)) for _ in range(3)]
    assert [entry["event"] for entry in entries] == [
        "connection_opened",
        "stream_started",
        "connection_closed",
    ]


@pytest.mark.parametrize("level", ["conections=debug", "loud", "tasks=debug,tasks=info"])
async def test_an_invalid_level_is_refused_with_the_areas(level: str) -> None:
    done = await run("serve", "--bind", "127.0.0.1:0", "--log-level", level)
    assert done.returncode != 0
    assert "logging.level" in done.stderr
    assert "connections" in done.stderr
