"""The client in a page of another origin, which the server names in ``server.cors_origins``."""

import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser

from tests.support.browser import TIMEOUT_MS, chromium, empty_pages
from tests.support.client_page import ClientPage, client_context
from tests.support.page_server import PageServer, page_server
from tests.support.tokens import SECRET, make_token

RETRY_AFTER_MS = 5000  # of a server that is full


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with empty_pages() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def server(origin: str) -> Iterator[PageServer]:
    """Run a server that takes one connection, of callers with a token."""
    variables = {
        "STREAMD_AUTH__KEYS": SECRET,
        "STREAMD_CONNECTIONS__MAX_CONNECTIONS": "1",
        "STREAMD_SERVER__CORS_ORIGINS": origin,
        "STREAMD_TUNING__CONNECTIONS__RETRY_MS": "0",
    }
    with page_server(**variables) as server:
        yield server


@pytest.fixture
def client(browser: Browser, origin: str) -> Iterator[ClientPage]:
    with client_context(browser) as context:
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(origin)
        yield ClientPage(page)


def authorization() -> dict[str, str]:
    token = make_token({"sub": "ada", "subscribe": ["*"], "publish": ["*"], "exp": time.time() + 600})
    return {"Authorization": f"Bearer {token}"}


def follow(client: ClientPage, server: PageServer, topic: str, transport: str = "sse") -> None:
    alone = f"transports: ladder.ladder({{ transports: [ladder.{transport}] }})"
    backoff = "backoff: { baseMs: 20, maxMs: 50 }"
    options = f"{{ topics: ['{topic}'], headers: {authorization()}, {alone}, {backoff} }}"
    client.follow(f"{server.url}/events", options=options)


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
def test_a_page_of_a_named_origin_follows_resumes_and_publishes(
    client: ClientPage, server: PageServer, transport: str
) -> None:
    topic = f"cors/{transport}"
    follow(client, server, topic, transport)
    client.wait_open()
    with httpx.Client(base_url=server.url, headers=authorization()) as http:
        for number in range(2):
            http.post("/events", json={"topic": topic, "data": number}).raise_for_status()
            client.wait_data(number)
        client.page.evaluate("stream.disconnect()")
        http.post("/events", json={"topic": topic, "data": 2}).raise_for_status()
    client.page.evaluate("stream.connect()")
    client.page.evaluate(f"stream.send({{ topic: '{topic}', data: 3 }})")
    client.wait_data(3)
    assert client.data == ["0", "1", "2", "3"]


def test_a_page_of_another_origin_sees_why_and_how_long_it_must_wait(
    client: ClientPage, server: PageServer
) -> None:
    with httpx.stream("GET", f"{server.url}/events?topic=a", headers=authorization()) as other:
        lines = other.iter_lines()
        assert next(lines) == "event: connected"
        follow(client, server, "a")
        client.wait("stream.state.phase === 'waiting'")
        state = client.state
        assert (state["status"], state["failure"]["retryAfterMs"]) == (503, RETRY_AFTER_MS)
        assert client.page.evaluate("stream.state.failure.code") != ""
