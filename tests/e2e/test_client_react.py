"""The hooks and components for React in Chromium, under StrictMode and a strict Content-Security-Policy."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.browser import TIMEOUT_MS, chromium
from tests.support.nodejs import run_node
from tests.support.page_server import PageServer, page_server

SCRIPT: Final = '<script type="module" src="/react-test.js"></script>'
HTML: Final = f'<!doctype html><title>React</title><div id="root"></div>{SCRIPT}'
POLICY: Final = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"
ORDER: Final = "sku,description,quantity,unit price\nMUG-1,Blue mug,12,4.50\n"
STAGES: Final = 11  # of an order
STREAMS: Final = 2  # that the page follows when no analysis is open


@attrs.frozen
class ReactPage:
    """A page that uses the hooks and components: see its source, ``tests/react/page.tsx`` of the client.

    Attributes:
        page: the page itself.
        server: of the streams.
        messages: what the page has written to its console.
        streams: paths of the event streams that it has requested.
    """

    page: Page
    server: PageServer
    messages: list[str]
    streams: list[str]

    def expect_text(self, selector: str, text: str) -> None:
        """Wait until an element's text matches a pattern."""
        expect(self.page.locator(selector)).to_have_text(re.compile(text), timeout=TIMEOUT_MS)

    def wait_active(self, count: int) -> None:
        """Wait until the server has this number of connections."""
        while httpx.get(f"{self.server.url}/connections").json()["active"] != count:
            pass

    def analyse(self) -> None:
        """Start an analysis by the keyboard, and wait for its end."""
        self.page.focus("#start")
        self.page.keyboard.press("Enter")
        self.expect_text("#analysis", "^completed 100 true false")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("react") / "page.js"
    run_node("tests/react/bundle.mjs", file)
    return file


@pytest.fixture
def server() -> Iterator[PageServer]:
    with page_server(STREAMD_TUNING__CONNECTIONS__RETRY_MS="0") as server:
        yield server


@pytest.fixture
def react(browser: Browser, script: Path, server: PageServer) -> Iterator[ReactPage]:
    def html(route: Route) -> None:
        route.fulfill(body=HTML, content_type="text/html", headers={"Content-Security-Policy": POLICY})

    def javascript(route: Route) -> None:
        route.fulfill(path=script, content_type="text/javascript")

    with browser.new_context() as context:
        page = context.new_page()
        react = ReactPage(page, server, [], [])
        page.on("console", lambda message: react.messages.append(message.text))
        page.on("pageerror", lambda error: react.messages.append(str(error)))
        page.on("request", lambda request: _note(react, request.url, request.headers.get("accept", "")))
        page.route("**/react-test", html)
        page.route("**/react-test.js", javascript)
        page.goto(f"{server.url}/react-test")
        react.expect_text("[data-status]", "^Connected$")
        react.expect_text("#latest", "^true")
        yield react


def _note(react: ReactPage, url: str, accept: str) -> None:
    if accept == "text/event-stream":
        react.streams.append(url.removeprefix(react.server.url).partition("?")[0])


def test_each_hook_has_one_connection_and_none_after_unmounting(react: ReactPage) -> None:
    react.wait_active(STREAMS)
    assert sorted(react.streams) == ["/api/realtime/events", "/events"]
    react.page.click("#toggle")
    react.wait_active(0)
    react.page.click("#toggle")
    react.expect_text("#latest", "^true")
    react.wait_active(STREAMS)
    assert len(react.streams) == 2 * STREAMS


def test_the_last_event_is_shown_also_after_a_restart_of_the_server(react: ReactPage) -> None:
    react.server.publish("latest", {"n": 1})
    react.expect_text("#latest", "^true 1$")
    react.server.kill()
    react.expect_text("#latest", "^false 1$")
    react.server.start()
    react.expect_text("#latest", "^true 1$")
    react.server.publish("latest", {"n": 2})
    react.expect_text("#latest", "^true 2$")


def test_a_merchant_sees_the_stages_of_an_order(react: ReactPage) -> None:
    url = f"{react.server.url}/api/purchase-orders?merchantId=demo"
    httpx.post(url, content=ORDER, headers={"Content-Type": "text/csv"}).raise_for_status()
    completions = react.page.locator("#orders li").filter(has_text="completion")
    expect(completions).to_have_count(STAGES, timeout=TIMEOUT_MS)
    expect(react.page.locator("#orders li").first).to_have_text(re.compile("^stage "))


def test_an_analysis_is_shown_in_a_dialog_up_to_its_end(react: ReactPage) -> None:
    react.analyse()
    dialog = react.page.get_by_role("dialog", name="Analysis of Acme")
    expect(dialog.get_by_role("progressbar")).to_have_attribute("value", "100")
    expect(dialog.get_by_role("status")).to_have_text("The analysis is complete")
    assert len([path for path in react.streams if path.startswith("/api/brand-monitor/progress/")]) == 1
    react.wait_active(STREAMS)
    violations = [message for message in react.messages if "Content Security Policy" in message]
    assert violations == []


def test_the_focus_stays_in_the_dialog_and_returns_after_it(react: ReactPage) -> None:
    react.analyse()
    assert react.page.evaluate("document.activeElement.textContent") == "Analysis of Acme"
    seen = set()
    for _ in range(8):
        react.page.keyboard.press("Tab")
        # The body: the focus is on the browser's own controls.
        where = "document.activeElement === document.body || document.activeElement.textContent"
        seen.add(react.page.evaluate(where))
    assert seen - {True} == {"Cancel", "Close"}
    react.page.keyboard.press("Escape")
    expect(react.page.get_by_role("dialog")).to_have_count(0)
    assert react.page.evaluate("document.activeElement.id") == "start"
