"""The list of events on the page at /, its stream by fetch, and its layout, in Chromium."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import TIMEOUT_MS, chromium, empty_pages
from tests.support.page_server import PageServer, page_server

SELECTION = "?topic=logs&pattern=orders/*"
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


def open_page(page: Page, server: PageServer, query: str = SELECTION) -> None:
    page.goto(f"{server.url}/{query}")
    expect(page.get_by_test_id("state")).to_have_attribute("data-state", "connected", timeout=TIMEOUT_MS)


def row(page: Page, text: str) -> Locator:
    return page.get_by_test_id("log-row").filter(has_text=text)


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


# --- the stream and the clocks of the browser -----------------------------------------------------------

WATCH_AFTER_A_STEP = """
async ([wallMs, steadyMs]) => {
  const { Stream } = await import("/static/js/stream.js");
  const stream = await new Promise((resolve) => {
    const state = () => stream.state === "connected" && resolve(stream);
    const stream = new Stream({ state, event: () => {} });
    stream.open({ topics: ["logs"], patterns: [] }, "earliest");
  });
  const [wall, steady] = [Date.now.bind(Date), performance.now.bind(performance)];
  Date.now = () => wall() + wallMs;
  performance.now = () => steady() + steadyMs;
  stream.watch();
  stream.close();
  return stream.state;
}
"""
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("wall_ms", "steady_ms", "state"),
    [
        (0, 0, "connected"),
        (2 * HOUR_MS, 0, "connected"),
        (-HOUR_MS, 0, "connected"),
        (HOUR_MS, HOUR_MS, "reconnecting"),
        (-HOUR_MS, HOUR_MS, "reconnecting"),
    ],
)
def test_a_silent_connection_is_found_whatever_the_clock_is_set_to(
    page: Page, quiet_server: PageServer, wall_ms: int, steady_ms: int, state: str
) -> None:
    page.goto(f"{quiet_server.url}/connections")
    assert page.evaluate(WATCH_AFTER_A_STEP, [wall_ms, steady_ms]) == state


WATCH_AFTER_CLOSING = """
async (steadyMs) => {
  const { Stream } = await import("/static/js/stream.js");
  const blocks = ["connected\\ndata: {}", 'closing\\nretry: 60000\\ndata: {"reason": "lifetime"}'];
  window.fetch = async (_, { signal }) => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(blocks.map((block) => `event: ${block}\\n\\n`).join("")));
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  const stream = await new Promise((resolve) => {
    const handlers = { state: () => stream.state === "closing" && resolve(stream), closing: () => {} };
    const stream = new Stream(handlers);
    stream.open({ topics: ["logs"], patterns: [] }, "earliest");
  });
  const steady = performance.now.bind(performance);
  performance.now = () => steady() + steadyMs;
  stream.watch();
  const { state, reason, retryAt } = stream;
  stream.close();
  return { state, reason, waits: retryAt !== null && retryAt - performance.now() > 50000 };
}
"""
CLOSING = {"reason": "the connection has reached its maximum lifetime"}


@pytest.mark.parametrize(
    ("steady_ms", "expected"),
    [
        (0, CLOSING | {"state": "closing", "waits": False}),
        (HOUR_MS, CLOSING | {"state": "waiting", "waits": True}),
    ],
)
def test_a_stream_that_does_not_end_after_closing_is_given_up(
    page: Page, quiet_server: PageServer, steady_ms: int, expected: dict[str, Any]
) -> None:
    page.goto(f"{quiet_server.url}/connections")
    assert page.evaluate(WATCH_AFTER_CLOSING, steady_ms) == expected


# --- the parser of event streams ------------------------------------------------------------------------

PARSE_AT_EVERY_CUT = """
async (text) => {
  const { EventStreamParser } = await import("/static/js/sse.js");
  const parse = (...parts) => {
    const parser = new EventStreamParser();
    return parts.flatMap((part) => parser.receive(part));
  };
  const cuts = Array.from({ length: text.length }, (_, cut) => parse(text.slice(0, cut), text.slice(cut)));
  return [parse(text), parse(...text), ...cuts];
}
"""


def block(**fields: Any) -> dict[str, Any]:
    members: dict[str, Any] = {"id": None, "type": "message", "data": None, "encoding": ""}
    return members | {"topics": [], "retry": None} | fields


STREAMS: list[tuple[str, list[dict[str, Any]]]] = [
    ("data: a\n\n", [block(data="a")]),
    ("data: a\ndata:b\ndata\ndata:  c\n\n", [block(data="a\nb\n\n c")]),
    ("id: 7\n\n", [block(id="7")]),
    ("id\ndata: reset\n\n", [block(id="", data="reset")]),
    ("id: 8\r\nevent: x\r\ndata: a\r\n\r\n", [block(id="8", type="x", data="a")]),
    ("event: x\rdata: a\r\revent: y\rdata: b\r\r", [block(type="x", data="a"), block(type="y", data="b")]),
    ("data: a\r\n\r\ndata: b\n\n", [block(data="a"), block(data="b")]),
    ("topic: a\ntopic: b:c\ndata: d\n\n", [block(topics=["a", "b:c"], data="d")]),
    ("encoding: base64\ndata: AA==\n\ndata: b\n\n", [block(data="AA==", encoding="base64"), block(data="b")]),
    ("retry: 20\nretry: x\nretry: -1\n\n", [block(retry=20)]),
    (": comment\nunknown: field\n\n\n\n", []),
    ("event: without data\n\ndata: next\n\n", [block(data="next")]),
    ("id: a\0b\ndata: c\n\n", [block(data="c")]),
    ("data: cut off\n", []),
    ("data: \N{GRINNING FACE} é\n\n", [block(data="\N{GRINNING FACE} é")]),
]


def test_the_parser_reads_the_same_blocks_however_the_stream_is_cut(
    page: Page, quiet_server: PageServer
) -> None:
    page.goto(f"{quiet_server.url}/health/live")
    for text, blocks in STREAMS:
        readings = page.evaluate(PARSE_AT_EVERY_CUT, text)
        assert [reading for reading in readings if reading != blocks] == [], text
