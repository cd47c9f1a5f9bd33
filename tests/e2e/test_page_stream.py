"""The stream of the page at / in Chromium: silence, clocks, networks in the way, and a prefix."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import TIMEOUT_MS, chromium
from tests.support.page_server import PageServer, open_page, page_server, row


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def quiet_server() -> Iterator[PageServer]:
    """Run a server without the demo source for several tests, which publish under topics of their own."""
    with page_server() as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        yield page


# --- the stream and the clocks of the browser -----------------------------------------------------------

FOLLOW = """
async () => {
  const { Stream } = await import("/static/js/stream.js");
  window.states = [];
  const note = () => states.at(-1) === stream.state || states.push(stream.state);
  const ignore = () => {};
  window.stream = new Stream({ state: note, event: ignore, closing: ignore, resumed: ignore, gap: ignore });
  stream.open({ topics: ["logs"], patterns: [] }, "earliest");
}
"""
SET_CLOCK = "(ms) => { const now = Date.now.bind(Date); Date.now = () => now() + ms; }"
HOUR_MS = 3_600_000


def follow_on_virtual_clock(page: Page, server: PageServer, until: str) -> None:
    """Follow a stream in an empty page until it has a state. Timers then run by ``page.clock`` alone."""
    page.clock.install()
    page.goto(f"{server.url}/connections")  # beside /events
    page.evaluate(FOLLOW)
    page.wait_for_function("state => stream.state === state", arg=until)
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)  # a time in seconds


@pytest.mark.parametrize(
    ("set_by_ms", "seconds", "states"),
    [
        pytest.param(0, 20, ["connected"], id="less than two heartbeats"),
        pytest.param(0, 60, ["connected", "waiting"], id="silence"),
        pytest.param(2 * HOUR_MS, 2, ["connected", "waiting"], id="set forward, as after sleep"),
        pytest.param(-HOUR_MS, 60, ["connected", "waiting"], id="set back, and silence"),
    ],
)
def test_a_silent_connection_is_found_whatever_the_clock_is_set_to(
    page: Page, quiet_server: PageServer, set_by_ms: int, seconds: int, states: list[str]
) -> None:
    follow_on_virtual_clock(page, quiet_server, "connected")
    page.evaluate(SET_CLOCK, set_by_ms)
    page.clock.run_for(1000 * seconds)
    seen = page.evaluate("states")
    assert seen[: 1 + len(states)] == ["connecting", *states]
    assert len(states) > 1 or len(seen) == 2, "nothing else happened"


ANSWER_WITHOUT_END = """
() => {
  const blocks = [
    'connected\\ndata: {"heartbeat_seconds": 15}',
    'closing\\nretry: 60000\\ndata: {"reason": "lifetime"}',
  ];
  window.fetch = async (_, { signal }) => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(blocks.map((block) => `event: ${block}\\n\\n`).join("")));
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
}
"""


def test_a_stream_that_does_not_end_after_closing_is_given_up(page: Page, quiet_server: PageServer) -> None:
    page.add_init_script(f"({ANSWER_WITHOUT_END})()")
    follow_on_virtual_clock(page, quiet_server, "closing")
    page.clock.run_for(8000)
    assert page.evaluate("stream.state") == "closing"
    page.clock.run_for(4000)
    assert page.evaluate("stream.state") == "waiting"
    assert page.evaluate("stream.reason") == "the connection has reached its maximum lifetime"
    assert page.evaluate("stream.retryAt - performance.now() > 50000"), "as the server asked"


# --- networks that are in the way -----------------------------------------------------------------------


def test_the_page_falls_back_to_websocket(page: Page, quiet_server: PageServer) -> None:
    page.route("**/events?*", lambda route: route.fulfill(status=200, content_type="text/html", body="no"))
    open_page(page, quiet_server, "?topic=fallback")
    expect(page.get_by_test_id("protocol")).to_have_text("WebSocket")
    quiet_server.publish("fallback", "over another transport")
    expect(row(page, "over another transport")).to_have_count(1, timeout=TIMEOUT_MS)
    expect(page.locator("#server-transports")).to_have_text("1 over WebSocket", timeout=TIMEOUT_MS)
    page.reload()  # the page remembers, and the history is there again
    expect(row(page, "over another transport")).to_have_count(1, timeout=TIMEOUT_MS)


def test_the_page_falls_back_to_long_polling(page: Page, quiet_server: PageServer) -> None:
    page.route("**/events?*", lambda route: route.fulfill(status=200, content_type="text/html", body="no"))
    page.add_init_script("delete window.WebSocket")
    open_page(page, quiet_server, "?topic=polled")
    expect(page.get_by_test_id("protocol")).to_have_text("Long polling over HTTP/1.1", timeout=TIMEOUT_MS)
    for text in ("the first", "the second"):
        quiet_server.publish("polled", text)
        expect(row(page, text)).to_have_count(1, timeout=TIMEOUT_MS)


def test_the_page_waits_behind_a_captive_portal(page: Page, quiet_server: PageServer) -> None:
    portal = re.compile(r"/events")
    page.route(portal, lambda route: route.fulfill(status=200, content_type="text/html", body="log in"))
    page.add_init_script("delete window.WebSocket")
    page.clock.install()
    page.goto(f"{quiet_server.url}/?topic=portal")
    state = page.get_by_test_id("state")
    expect(state).to_have_attribute("data-state", "waiting", timeout=TIMEOUT_MS)
    page.unroute(portal)
    page.clock.run_for(31_000)
    expect(state).to_have_attribute("data-state", "connected", timeout=TIMEOUT_MS)


def test_the_page_works_below_a_prefix(page: Page) -> None:
    with page_server(STREAMD_SERVER__ROOT_PATH="/realtime") as server:
        page.goto(f"{server.url}/realtime/?topic=logs")
        state = page.get_by_test_id("state")
        expect(state).to_have_attribute("data-state", "connected", timeout=TIMEOUT_MS)
        server.publish("logs", "below a prefix")
        expect(row(page, "below a prefix")).to_have_count(1, timeout=TIMEOUT_MS)
        paths = page.evaluate(
            "performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)"
        )
        assert "/realtime/client/streamd.js" in paths
        assert [path for path in paths if not path.startswith("/realtime/")] == []
