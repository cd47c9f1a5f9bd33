"""A native EventSource in Chromium that finds no slot: it comes back only where the server asks for that."""

from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import TIMEOUT_MS, chromium, empty_pages
from tests.support.page_server import PageServer, page_server

CONNECTING, CLOSED = 0, 2  # EventSource.readyState (WHATWG HTML section 9.2.2)
SUBSCRIBE: Final = """
(url) => new Promise((resolve) => {
  window.received = [];
  window.source = new EventSource(url);
  source.addEventListener("message", (event) => received.push(event.data));
  source.addEventListener("connected", () => received.push("connected"));
  source.addEventListener("error", () => resolve(source.readyState), { once: true });
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page of another origin: those of streamd permit no scripts of a test."""
    with empty_pages() as port:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(f"http://127.0.0.1:{port}/")
        yield page
        context.close()


@pytest.fixture(params=["error", "retry"])
def server(request: pytest.FixtureRequest, page: Page) -> Iterator[PageServer]:
    variables = {
        "STREAMD_SERVER__CORS_ORIGINS": page.url.rstrip("/"),
        "STREAMD_CONNECTIONS__MAX_CONNECTIONS": "1",
        "STREAMD_CONNECTIONS__ON_LIMIT": request.param,
        "STREAMD_TUNING__CONNECTIONS__RETRY_AFTER_SECONDS": "0.1",
    }
    with page_server(**variables) as server:
        yield server


@pytest.mark.parametrize("server", ["retry"], indirect=True)
@pytest.mark.parametrize("query", ["", "&on_limit=retry"])
def test_an_event_source_without_a_slot_comes_back_when_there_is_one(
    page: Page, server: PageServer, query: str
) -> None:
    with httpx.Client(base_url=server.url) as http:
        with http.stream("GET", "/events?topic=b"):
            assert page.evaluate(SUBSCRIBE, f"{server.url}/events?topic=a{query}") == CONNECTING
        page.wait_for_function("received.includes('connected')")
        assert http.post("/events", json={"topic": "a", "data": "at last"}).status_code == 201
        page.wait_for_function("received.includes('at last')")


@pytest.mark.parametrize(
    ("server", "query"), [("error", ""), ("retry", "&on_limit=error")], indirect=["server"]
)
def test_an_event_source_gives_up_after_an_error(page: Page, server: PageServer, query: str) -> None:
    with httpx.Client(base_url=server.url) as http, http.stream("GET", "/events?topic=b"):
        assert page.evaluate(SUBSCRIBE, f"{server.url}/events?topic=a{query}") == CLOSED
