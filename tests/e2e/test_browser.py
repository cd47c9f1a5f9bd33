"""The page at / in Chromium over HTTP/1.1 and HTTP/2, through a restart of the server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.support.browser import TIMEOUT_MS, chromium
from tests.support.certificates import write_certificate
from tests.support.page_server import PageServer, page_server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(params=[pytest.param("http/1.1", marks=pytest.mark.soak), "h2"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def followed(tmp_path: Path) -> Path:
    path = tmp_path / "work.log"
    path.write_text("written before the start\n")
    return path


@pytest.fixture
def server(protocol: str, followed: Path, tmp_path: Path) -> Iterator[PageServer]:
    tls: list[str] = []
    if protocol == "h2":
        pem = write_certificate(tmp_path)
        tls = ["--certfile", pem, "--keyfile", pem]
    with page_server("--demo", "--follow", str(followed), *tls) as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    yield page
    context.close()


def test_the_page_shows_figures_and_log_lines_and_survives_a_restart(
    page: Page, server: PageServer, protocol: str, followed: Path
) -> None:
    errors: list[str] = []
    foreign: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # A restart makes requests fail, which the browser logs; any other error is a defect of the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: foreign.append(r.url) if not r.url.startswith(server.url) else None)
    page.goto(server.url)

    state = page.get_by_test_id("state")
    expect(state).to_have_attribute("data-state", "connected", timeout=TIMEOUT_MS)
    expect(page.get_by_test_id("protocol")).to_contain_text(
        "HTTP/2" if protocol == "h2" else "HTTP/1.1", timeout=TIMEOUT_MS, ignore_case=True
    )
    received = page.get_by_test_id("last-event-id")
    before = received.inner_text()
    expect(received).not_to_have_text(before, timeout=TIMEOUT_MS)  # figures keep arriving
    expect(page.get_by_test_id("cpu-value")).to_contain_text("%", timeout=TIMEOUT_MS)

    with followed.open("a") as file:
        file.write("first line\n<script>document.title = 'run'</script>\nthird line\n")
    rows = page.get_by_test_id("log-row")
    expect(rows.filter(has_text="third line")).to_have_count(1, timeout=TIMEOUT_MS)
    texts = [text for text in rows.all_inner_texts() if "line" in text or "script" in text]
    assert [next(w for w in ("first", "<script>", "third") if w in text) for text in texts[-3:]] == [
        "first",
        "<script>",
        "third",
    ]
    assert page.title() != "run"

    gaps = page.get_by_test_id("gap-count").inner_text()
    assert server.stop() == 0
    expect(state).not_to_have_attribute("data-state", "connected", timeout=TIMEOUT_MS)
    server.start()
    expect(state).to_have_attribute("data-state", "connected", timeout=TIMEOUT_MS)
    expect(page.get_by_test_id("gap-count")).not_to_have_text(gaps, timeout=TIMEOUT_MS)
    after = received.inner_text()
    expect(received).not_to_have_text(after, timeout=TIMEOUT_MS)  # figures arrive again
    assert errors == []
    assert [url for url in foreign if not url.startswith("data:")] == []


def test_a_phone_needs_no_horizontal_scrolling(browser: Browser, server: PageServer) -> None:
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 400, "height": 800})
    page = context.new_page()
    page.goto(server.url)
    expect(page.get_by_test_id("state")).to_have_attribute("data-state", "connected", timeout=TIMEOUT_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    context.close()
