"""The list of events on the page at / and its layout, in Chromium."""

from base64 import b64encode
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import TIMEOUT_MS, chromium, empty_pages
from tests.support.page_server import PageServer, open_page, page_server, row

UNKNOWN_TYPES = ["refund.requested", "error", "open", "constructor", "__proto__"]


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


def test_events_of_every_type_appear_live_and_from_the_history(page: Page, quiet_server: PageServer) -> None:
    for number, type in enumerate(UNKNOWN_TYPES):
        quiet_server.publish("types", f"history {number}.", type)
    open_page(page, quiet_server, "?topic=types")
    for number, type in enumerate(UNKNOWN_TYPES):
        quiet_server.publish("types", f"live {number}.", type)
        for text in (f"history {number}.", f"live {number}."):
            expect(row(page, text)).to_have_count(1, timeout=TIMEOUT_MS)
            assert row(page, text).locator(".type").inner_text() == type
    received = str(2 * len(UNKNOWN_TYPES))
    expect(page.get_by_test_id("received-count")).to_have_text(received, timeout=TIMEOUT_MS)


def test_each_row_names_the_topic_of_its_event(page: Page, quiet_server: PageServer) -> None:
    open_page(page, quiet_server)
    quiet_server.publish("logs", "under an exact topic")
    quiet_server.publish("orders/7", "under a topic of a pattern", "stage")
    for text, topic in (("under an exact topic", "logs"), ("under a topic of a pattern", "orders/7")):
        expect(row(page, text).get_by_test_id("log-topic")).to_have_text(topic, timeout=TIMEOUT_MS)


def test_bytes_are_shown_as_base64_with_a_mark(page: Page, quiet_server: PageServer) -> None:
    open_page(page, quiet_server, "?topic=bytes")
    for members in ({"data": "AAEC", "encoding": "base64"}, {"data": "AAEC"}):
        answer = httpx.post(f"{quiet_server.url}/events", json={"topic": "bytes", **members})
        assert answer.status_code == 201
    texts = page.get_by_test_id("log-row").locator(".text")
    expect(texts).to_have_text(["(base64) AAEC", "AAEC"], timeout=TIMEOUT_MS)


RECEIVE_BYTES = """
() => new Promise((resolve) => {
  const source = new EventSource("/events?topic=native&last_event_id=earliest");
  source.addEventListener("message", ({ data }) => {
    source.close();
    resolve(Array.from(atob(data), (char) => char.charCodeAt(0)));
  });
})
"""


def test_a_native_eventsource_receives_the_base64_of_bytes(page: Page, quiet_server: PageServer) -> None:
    event = {"topic": "native", "data": b64encode(bytes(range(256))).decode(), "encoding": "base64"}
    assert httpx.post(f"{quiet_server.url}/events", json=event).status_code == 201
    page.goto(f"{quiet_server.url}/health/live")
    assert bytes(page.evaluate(RECEIVE_BYTES)) == bytes(range(256))


def test_topics_types_and_data_are_shown_as_text(page: Page, quiet_server: PageServer) -> None:
    markup = "<img src=x onerror=document.title='run'>"
    open_page(page, quiet_server, "?pattern=**")
    quiet_server.publish(f"orders/{markup}", markup, markup)
    expect(row(page, markup)).to_have_count(1, timeout=TIMEOUT_MS)
    assert row(page, markup).inner_text().count(markup) == 3
    assert page.locator("#log img").count() == 0
    assert page.title() == "streamd"


def test_the_list_goes_on_after_a_restart_of_the_server(page: Page) -> None:
    with page_server() as server:
        open_page(page, server)
        server.publish("logs", "before the restart", "unknown")
        expect(row(page, "before the restart")).to_have_count(1, timeout=TIMEOUT_MS)
        assert server.stop() == 0
        notices = page.get_by_test_id("log-notice")
        expect(notices.filter(has_text="the server is restarting")).to_have_count(1, timeout=TIMEOUT_MS)
        expect(page.get_by_test_id("state")).to_have_attribute("data-state", "waiting", timeout=TIMEOUT_MS)
        server.start()
        server.publish("logs", "while the page was away", "unknown")
        expect(notices.filter(has_text="Gap")).to_have_count(1, timeout=TIMEOUT_MS)  # the log was in memory
        server.publish("logs", "after the restart", "unknown")
        expect(row(page, "after the restart")).to_have_count(1, timeout=TIMEOUT_MS)
        expect(row(page, "before the restart")).to_have_count(1)
        expect(page.get_by_test_id("reconnect-count")).to_have_text("1", timeout=TIMEOUT_MS)


def test_a_wrong_selection_is_rejected_with_the_sentence_of_the_server(
    page: Page, quiet_server: PageServer
) -> None:
    page.goto(f"{quiet_server.url}/?pattern=**/a")
    state = page.get_by_test_id("state")
    expect(state).to_have_attribute("data-state", "rejected", timeout=TIMEOUT_MS)
    expect(page.get_by_test_id("log-empty")).to_contain_text("'**' may only be the last segment of a pattern")
    page.get_by_test_id("selectors").fill("logs")
    page.get_by_test_id("selectors").press("Enter")
    expect(state).to_have_attribute("data-state", "connected", timeout=TIMEOUT_MS)


@pytest.mark.parametrize(("options", "shown"), [([], True), (["--demo"], False)], ids=["off", "on"])
def test_a_hint_tells_to_start_the_demo_source_only_if_it_is_off(
    page: Page, options: list[str], shown: bool
) -> None:
    with page_server(*options) as server:
        open_page(page, server)
        hint = page.get_by_test_id("demo-hint")
        if shown:
            expect(hint).to_be_visible(timeout=TIMEOUT_MS)
            expect(hint).to_contain_text("streamd serve --demo")
            server.publish("host/metrics", {"timestamp": "2026-11-21T10:00:00Z", "cpu": {"percent": 7}})
            expect(hint).to_be_hidden(timeout=TIMEOUT_MS)
        expect(page.get_by_test_id("cpu-value")).to_contain_text("%", timeout=TIMEOUT_MS)
        expect(hint).to_be_hidden()


LINES = """
(cell) => {
  const range = new Range();
  range.selectNodeContents(cell);
  return new Set(Array.from(range.getClientRects(), (rectangle) => rectangle.top)).size;
}
"""


@pytest.mark.parametrize("width", [1360, 390, 320])
def test_ids_stay_on_one_line(page: Page, quiet_server: PageServer, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, quiet_server)
    quiet_server.publish("logs", "an event, for an id")
    for name in ("connection-id", "last-event-id"):
        cell = page.get_by_test_id(name)
        expect(cell).not_to_have_text("–", timeout=TIMEOUT_MS)
        assert cell.evaluate(LINES) == 1
        assert cell.get_attribute("title") == cell.inner_text()
    if width > 320:
        cell = page.get_by_test_id("connection-id")
        assert cell.evaluate("(cell) => cell.scrollWidth <= cell.clientWidth")  # all 32 digits are visible


def test_transports_are_named_in_words(page: Page, quiet_server: PageServer) -> None:
    open_page(page, quiet_server)
    expect(page.locator("#server-transports")).to_have_text("1 over SSE", timeout=TIMEOUT_MS)


def test_a_message_to_this_page_alone_is_shown_without_a_topic(page: Page) -> None:
    with page_server(STREAMD_CONNECTIONS__CONTROL="true") as server:
        open_page(page, server)
        body = {"data": "for you alone", "type": "notice"}
        assert httpx.post(f"{server.url}/connections/broadcast", json=body).json()["sent"] == 1
        message = row(page, "for you alone")
        expect(message.get_by_test_id("log-topic")).to_have_text("this page only", timeout=TIMEOUT_MS)
        assert message.locator(".type").inner_text() == "notice"


CONTROL = """
async (url) => {
  const json = { "Content-Type": "application/json" };
  const attempts = [
    ["DELETE", "/connections/me", {}],
    ["POST", "/connections/me/send", { headers: json, body: '{"data": 1}' }],
    ["POST", "/connections/me/send", { mode: "no-cors", body: '{"data": 1}' }],
    ["POST", "/connections/broadcast", { headers: json, body: '{"data": 1}' }],
    ["POST", "/connections/broadcast", { mode: "no-cors", body: '{"data": 1}' }],
  ];
  const outcomes = [];
  for (const [method, path, options] of attempts) {
    try {
      const answer = await fetch(url + path, { method, ...options });
      outcomes.push(answer.type === "opaque" ? "opaque" : answer.status);
    } catch {
      outcomes.push("blocked");
    }
  }
  return outcomes;
}
"""


@pytest.mark.parametrize("origins", ["", '["*"]'], ids=["no origin allowed", "all origins allowed"])
def test_a_page_of_another_origin_cannot_operate_on_connections(page: Page, origins: str) -> None:
    variables = {"STREAMD_CONNECTIONS__CONTROL": "true"}
    if origins:
        variables["STREAMD_SERVER__CORS_ORIGINS"] = "*"
    with page_server(**variables) as server, empty_pages() as port:
        with httpx.stream("GET", f"{server.url}/events?topic=a&client_id=me") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: connected"
            for host in ("127.0.0.1", "localhost"):
                page.goto(f"http://{host}:{port}/")
                outcomes = page.evaluate(CONTROL, server.url)
                assert set(outcomes) <= {"blocked", "opaque", 403}, outcomes
                assert outcomes[0] == "blocked"
            httpx.post(f"{server.url}/connections/me/send", json={"data": "the first message"})
            messages = (line for line in lines if line.startswith("data: ") and "{" not in line)
            assert next(messages) == "data: the first message"  # no page has sent one before


# Each entry is a movement of content in the window (Layout Instability API); the sum is the cumulative shift.
NOTE_SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shift += entry.value; }))
  .observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize("scroll", [pytest.param(0, marks=pytest.mark.soak), 900])
def test_nothing_moves_on_a_narrow_screen(page: Page, quiet_server: PageServer, scroll: int) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.add_init_script(NOTE_SHIFTS)
    open_page(page, quiet_server, f"?pattern=narrow/{scroll}/**")
    page.evaluate(f"scrollTo(0, {scroll})")
    for number in range(5):
        quiet_server.publish(f"narrow/{scroll}/a", f"row {number}.")
        longer = f"narrow/{scroll}/with/a/longer/topic/than/others"
        quiet_server.publish(longer, {"n": number}, "with.a.longer.type")
    expect(page.get_by_test_id("log-row")).to_have_count(10, timeout=TIMEOUT_MS)
    expect(page.get_by_test_id("demo-hint")).to_be_visible(timeout=TIMEOUT_MS)
    assert page.evaluate("shift") < 0.01
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
