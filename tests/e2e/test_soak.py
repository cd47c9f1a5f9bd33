"""Minutes of connecting, leaving, stalling and resuming: no event is lost, and memory does not grow."""

import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from streamd.server import raise_open_files
from streamd.testing import StreamReader, open_stream
from tests.support.program import Program, command, environment
from tests.support.server_process import ADDRESS, ServerProcess
from tests.support.sockets import connect

SECONDS = 200.0
WARM_SECONDS = 60.0  # fills caches and the log, and warms up the allocator
CLIENTS = 500
STALLERS = 10
PAUSE_SECONDS = 0.25  # between two events: 500 clients at 4 events a second
GROWTH_BYTES = 24_000_000  # noise of the allocator; leaking a tenth of the connections would be much more
LAST = -1  # the data of the last event
SETTINGS: dict[str, object] = {
    "tuning__connections__unhealthy_seconds": 1,
    "connections__stale_seconds": 3,
    "log__topic_max_events": 2000,
    "log__max_events": 4000,
    "tuning__hub__max_lag_events": 1000,
    "log__topic_max_bytes": 8_000_000,
    "log__max_bytes": 8_000_000,
}
STALLED = b"GET /events?topic=soak&topic=big HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 120)
async def test_each_client_receives_each_event_and_memory_does_not_grow(tmp_path: Path) -> None:
    raise_open_files()
    limits = httpx.Limits(max_connections=None)
    async with (
        _server(tmp_path / "log") as server,
        httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60) as http,
    ):
        received: list[list[int]] = [[] for _ in range(CLIENTS)]
        async with trio.open_nursery() as stalling:
            async with trio.open_nursery() as clients:
                for events in received:
                    await clients.start(_follow, server, events)
                for _ in range(STALLERS):
                    stalling.start_soon(_stall, server)
                published, warm_bytes = await _publish(server, http)
                await _post(http, "soak", LAST)  # ends the clients
            stalling.cancel_scope.cancel()
        assert all(events == [*range(published), LAST] for events in received)
        with trio.fail_after(30):
            while (await http.get("/connections")).json()["active"]:
                pass
        grown = server.rss_bytes - warm_bytes
        assert grown < GROWTH_BYTES, f"{grown} bytes more than when warm"


@asynccontextmanager
async def _server(log: Path) -> AsyncIterator[ServerProcess]:
    """Run a server without the time limit of shorter tests, and check that it logs no traceback."""
    variables = {f"STREAMD_{name.upper()}": str(value) for name, value in SETTINGS.items()}
    with log.open("wb") as stderr:
        process = await trio.lowlevel.open_process(
            command("serve", "--bind", "127.0.0.1:0"),
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment(**variables),
        )
    try:
        program = Program(process)
        yield ServerProcess((await program.line()).removeprefix(ADDRESS).split()[0], program)
        assert "Traceback" not in await trio.Path(log).read_text()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        if process.stdout is not None:
            await trio.aclose_forcefully(process.stdout)


async def _publish(server: ServerProcess, http: httpx.AsyncClient) -> tuple[int, int]:
    """Publish for the whole time; return the number of events, and the memory when warm (bytes)."""
    begun, warm_bytes, number = trio.current_time(), 0, 0
    while trio.current_time() < begun + SECONDS:
        await _post(http, "soak", number)
        await _post(http, "big", "x" * 50_000)  # stalls clients that do not read
        number += 1
        if not warm_bytes and trio.current_time() > begun + WARM_SECONDS:
            warm_bytes = server.rss_bytes
        await trio.sleep(PAUSE_SECONDS)  # sets the rate of publishing; no check depends on it
    return number, warm_bytes


async def _post(http: httpx.AsyncClient, topic: str, data: object) -> None:
    answer = await http.post("/events", json={"topic": topic, "data": data})
    assert answer.status_code == 201, answer.text


async def _follow(
    server: ServerProcess,
    events: list[int],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Read some events, leave, and resume, up to the last event."""
    last_event_id = None
    while True:
        async with open_stream(server.url, topics=["soak"], last_event_id=last_event_id) as reader:
            if last_event_id is None:
                last_event_id = await _begin(reader)
                task_status.started()
            for _ in range(random.randint(5, 200)):
                event = await reader.next_event()
                assert event is not None
                events.append(int(event.data))
                last_event_id = event.last_event_id
                if events[-1] == LAST:
                    return


async def _begin(reader: StreamReader) -> str:
    """Return the position of a client without an event: the head in its ``connected`` frame."""
    connected = await reader.next_control("connected")
    return str(connected["head"])


async def _stall(server: ServerProcess) -> None:
    """Connect, never read, and reconnect after the server has closed the connection."""
    while True:
        stream = await connect(server.url, receive_buffer_bytes=4096)
        try:
            await stream.send_all(STALLED)
            await trio.sleep(random.uniform(5, 15))  # longer than the server lets a client stall
        finally:
            await trio.aclose_forcefully(stream)
