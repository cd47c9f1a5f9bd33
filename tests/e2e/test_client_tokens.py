"""The client in Chromium with tokens that expire or are revoked while its stream is open."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from tests.support.browser import chromium
from tests.support.client_page import ClientPage, client_context, open_page
from tests.support.page_server import PageServer, page_server
from tests.support.tokens import SECRET, make_token

LIFETIME_SECONDS = 2
SOON = "backoff: { baseMs: 20, maxMs: 100 }"
HEADERS = "headers: async () => ({ Authorization: `Bearer ${await nextToken()}` })"


def token(*, lifetime_seconds: float = 600, **claims: Any) -> str:
    grants = {"subscribe": ["*"], "publish": ["*"], "exp": time.time() + lifetime_seconds}
    return make_token({"sub": "ada", **grants, **claims})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    variables = {
        "STREAMD_AUTH__KEYS": SECRET,
        "STREAMD_TUNING__AUTH__LEEWAY_SECONDS": "0",
        "STREAMD_TUNING__CONNECTIONS__TOKEN_NOTICE_SECONDS": "1",
        "STREAMD_TUNING__CONNECTIONS__SWEEP_SECONDS": "0.05",
        "STREAMD_TUNING__CONNECTIONS__RETRY_MS": "20",
    }
    with page_server(**variables) as server:
        yield server


@pytest.fixture
def client(browser: Browser, server: PageServer) -> Iterator[ClientPage]:
    with client_context(browser) as context:
        yield open_page(context, server.url)


def authorization(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(**claims)}"}


def revoke(server: PageServer, token_id: str) -> None:
    headers = authorization(sub="root", admin=True)
    httpx.post(
        f"{server.url}/auth/revocations", json={"token_id": token_id}, headers=headers
    ).raise_for_status()


@pytest.mark.parametrize(
    "transport",
    ["sse", pytest.param("websocket", marks=pytest.mark.soak), pytest.param("poll", marks=pytest.mark.soak)],
)
def test_a_stream_goes_on_with_fresh_tokens_without_loss(
    client: ClientPage, server: PageServer, transport: str
) -> None:
    topic = f"expiring/{transport}"
    tokens: list[str] = []

    def next_token() -> str:
        tokens.append(token(lifetime_seconds=LIFETIME_SECONDS))
        return tokens[-1]

    client.page.expose_function("nextToken", next_token)
    alone = f"transports: ladder.ladder({{ transports: [ladder.{transport}], storage: null }})"
    client.follow(options=f"{{ topics: ['{topic}'], {alone}, {HEADERS}, {SOON} }}")
    client.wait_open()
    with httpx.Client(base_url=server.url, headers=authorization()) as http:
        published = 0
        while len(tokens) < 3:
            http.post("/events", json={"topic": topic, "data": published}).raise_for_status()
            client.wait_data(published)
            published += 1
    assert client.data == [str(number) for number in range(published)]
    assert client.controls.count("token-expiring") >= 2
    if transport != "poll":  # the next poll is rejected
        assert client.controls.count("closing") >= 2
    assert client.controls.count("gap") == 0
    assert "closed" not in client.phases


def test_a_stream_whose_token_is_revoked_ends_with_401_after_one_refresh(
    client: ClientPage, server: PageServer
) -> None:
    tokens = [token(jti="only")] * 3  # for two connections, and once more after the first 401
    client.page.expose_function("nextToken", lambda: tokens.pop(0))
    client.follow(options=f"{{ topics: ['revoked'], {HEADERS}, {SOON} }}")
    client.wait_open()
    revoke(server, "only")
    client.wait("stream.state.phase === 'closed'")
    assert client.state["status"] == 401
    assert client.state["failure"]["fatal"]
    assert tokens == []


def test_a_token_that_was_rejected_once_is_replaced_and_the_stream_resumes(
    client: ClientPage, server: PageServer
) -> None:
    tokens = [token(jti="first"), token(lifetime_seconds=-60), token(jti="second")]
    client.page.expose_function("nextToken", lambda: tokens.pop(0))
    client.follow(options=f"{{ topics: ['again'], {HEADERS}, {SOON} }}")
    client.wait_open()
    revoke(server, "first")
    with httpx.Client(base_url=server.url, headers=authorization()) as http:
        http.post("/events", json={"topic": "again", "data": "while away"}).raise_for_status()
    client.wait_data("while away")
    assert client.data == ["while away"]
    assert "closed" not in client.phases
    assert tokens == []
