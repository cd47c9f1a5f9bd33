"""Pages of other origins in Chromium: what ``server.cors_*`` and ``server.hosts`` let them do."""

from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import TIMEOUT_MS, chromium, empty_pages
from tests.support.page_server import PageServer, page_server

REBOUND: Final = "rebound.example"

TRY: Final = """
async ([url, credentials]) => {
  async function attempt(options) {
    try {
      return (await fetch(`${url}/events?topic=a`, { credentials, ...options })).status;
    } catch {
      return "blocked";
    }
  }
  function subscribe() {
    return new Promise((resolve) => {
      const source = new EventSource(`${url}/events?topic=a`, { withCredentials: credentials === "include" });
      source.addEventListener("connected", () => { source.close(); resolve("connected"); });
      source.addEventListener("error", () => { source.close(); resolve("blocked"); });
    });
  }
  const json = { "Content-Type": "application/json", Authorization: "Bearer x", "Idempotency-Key": "k" };
  const body = JSON.stringify({ topic: "a", data: "from a page" });
  return {
    read: await attempt({ method: "HEAD" }),
    publish: await attempt({ method: "POST", headers: json, body }),
    other_header: await attempt({ method: "POST", headers: { ...json, "X-Other": "1" }, body }),
    subscribe: await subscribe(),
  };
}
"""
FORM: Final = """
(url) => {
  const form = document.createElement("form");
  Object.assign(form, { method: "POST", action: `${url}/events`, enctype: "text/plain" });
  const field = document.createElement("input");
  form.append(Object.assign(field, { name: '{"topic": "a", "data": "forged', value: '"}' }));
  document.body.append(form);
  form.submit();
}
"""
ALLOWED: Final = {"read": 200, "publish": 201, "other_header": "blocked", "subscribe": "connected"}
BLOCKED: Final = dict.fromkeys(ALLOWED, "blocked")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    yield page
    context.close()


def published(server: PageServer) -> list[object]:
    """Return the data of all events."""
    url = f"{server.url}/events/poll?pattern=**&after=earliest&wait=0"
    return [event["data"] for event in httpx.get(url).json()["events"]]


@pytest.mark.parametrize("credentials", [True, False], ids=["with credentials", "without"])
def test_allowed_pages_send_cookies_only_if_a_setting_says_so(page: Page, credentials: bool) -> None:
    with empty_pages() as port:
        variables = {
            "STREAMD_SERVER__CORS_ORIGINS": f"http://127.0.0.1:{port}",
            "STREAMD_SERVER__CORS_CREDENTIALS": str(credentials).lower(),
        }
        with page_server(**variables) as server:
            page.goto(f"http://127.0.0.1:{port}/")
            assert page.evaluate(TRY, [server.url, "omit"]) == ALLOWED
            assert page.evaluate(TRY, [server.url, "include"]) == (ALLOWED if credentials else BLOCKED)
            page.goto(f"http://localhost:{port}/")  # another origin
            assert page.evaluate(TRY, [server.url, "omit"]) == BLOCKED
            assert page.evaluate(TRY, [server.url, "include"]) == BLOCKED


def test_no_page_of_another_origin_publishes_by_a_form(page: Page) -> None:
    with page_server() as server, empty_pages() as port:
        for host in ("127.0.0.1", "localhost"):  # the same site, and another one
            page.goto(f"http://{host}:{port}/")
            with page.expect_navigation() as navigation:
                page.evaluate(FORM, server.url)
            assert navigation.value.status == 403
            assert navigation.value.json()["code"] == "cross-site"
        httpx.post(f"{server.url}/events", json={"topic": "a", "data": "own"}).raise_for_status()
        assert published(server) == ["own"]


def test_a_page_whose_name_comes_to_mean_this_machine_is_refused(page: Page) -> None:
    with page_server() as server:
        for path in ("/", "/connections"):
            answer = page.goto(f"http://{REBOUND}:{server.url.rpartition(':')[2]}{path}")
            assert answer is not None
            assert answer.status == 421
