"""A task's stream in Chromium over a WebSocket alone: a page learns its end."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.support.browser import chromium
from tests.support.client_page import ClientPage, client_context, open_page
from tests.support.page_server import PageServer, page_server

OPTIONS = "{ snapshots: true, transports: ladder.ladder({ transports: [ladder.websocket] }) }"


@pytest.fixture
def server() -> Iterator[PageServer]:
    with page_server(STREAMD_TUNING__CONNECTIONS__RETRY_MS="1") as server:
        yield server


@pytest.fixture
def client(server: PageServer) -> Iterator[ClientPage]:
    with chromium() as browser, client_context(browser) as context:
        yield open_page(context, server.url)


def test_a_page_follows_a_task_by_websocket_to_its_end(server: PageServer, client: ClientPage) -> None:
    with httpx.Client(base_url=server.url) as http:
        task = http.post("/tasks", json={"kind": "import", "worker": "w"}).json()

        def report(**fields: object) -> None:
            answer = http.patch(f"/tasks/{task['id']}", json={"lease": task["lease"], **fields})
            answer.raise_for_status()

        client.follow(f"/tasks/{task['id']}/events", OPTIONS)
        client.wait_open()
        report(progress=50)
        report(status="completed", result={"n": 1})
        client.wait("stream.state.phase === 'closed'")
    assert client.state["status"] == 204  # the answer to the next handshake, as a poll tells it
    assert client.state["failure"] is None
    assert set(client.transports) == {"websocket"}
    assert [json.loads(data)["version"] for data in client.data] == [2, 3, 4]
