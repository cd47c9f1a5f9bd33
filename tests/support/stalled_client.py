"""A client that reads nothing, and so keeps a server draining for as long as a test needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.support.server_process import ServerProcess
from tests.support.sockets import connect

TOPIC = "stalled"


@asynccontextmanager
async def delayed_shutdown(server: ServerProcess) -> AsyncIterator[None]:
    """Connect a client that is stalled, while the block lasts. A shutdown meanwhile waits for it."""
    async with httpx.AsyncClient(base_url=server.url) as http:
        async with await connect(server.url, receive_buffer_bytes=4096) as stalled:
            await stalled.send_all(f"GET /events?topic={TOPIC} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await stalled.receive_some()  # the head: it is admitted
            event = {"topic": TOPIC, "data": "x" * 500_000}
            while not await _has_stalled(http):
                assert (await http.post("/events", json=event)).status_code == 201
            yield


async def _has_stalled(http: httpx.AsyncClient) -> bool:
    connections = (await http.get("/connections")).json()["connections"]
    return any(connection["stalled_seconds"] > 0 for connection in connections)
