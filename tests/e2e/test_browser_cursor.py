"""Chromium's native EventSource takes its cursor from an id-only block, and resumes with it."""

import json
from functools import partial

import trio
from playwright.sync_api import Page
from quart import request
from quart_trio import QuartTrio

from streamd import create_app
from streamd.connections.settings import ConnectionSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.browser import TIMEOUT_MS, chromium

SETTINGS = Settings(
    connections=ConnectionSettings(min_heartbeat_seconds=0.05, sweep_seconds=0.02, retry_ms=50)
)

# Records the events of the page, and the last event id that its next request would send.
FOLLOW = """
window.opened = 0; window.cursor = ""; window.received = [];
window.source = new EventSource("/events?topic=mine&client_id=page&heartbeat=0.1");
window.source.addEventListener("connected", () => { window.opened += 1; });
window.source.addEventListener("heartbeat", (event) => { window.cursor = event.lastEventId; });
window.source.addEventListener("message", (event) => {
  window.cursor = event.lastEventId;
  window.received.push(event.data);
});
"""


def recording(app: QuartTrio) -> list[str | None]:
    """Record the ``Last-Event-ID`` of each request for an event stream of ``app``."""
    sent: list[str | None] = []

    async def record() -> None:
        if request.path == "/events":
            sent.append(request.headers.get("Last-Event-ID"))

    app.before_request(record)
    return sent


async def test_a_reconnect_sends_the_id_of_a_block_without_an_event() -> None:
    app = create_app(SETTINGS)
    sent = recording(app)
    async with run_server(SETTINGS, app=app) as server:
        moved = await trio.to_thread.run_sync(partial(in_browser, server))
    # The page received no event, and still each request resumes from the position of the one before.
    assert sent == [None, *moved]


def in_browser(server: RunningServer) -> list[str]:
    """Follow ``mine`` through two reconnects while only ``others`` is published; return the published ids.

    Runs in a thread, because Playwright blocks; its calls to the server run in trio's thread.
    """
    with chromium() as browser:
        page = browser.new_page(bypass_csp=True)
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(f"{server.url}/health/live")  # a page of the same origin, without an event stream
        page.evaluate(FOLLOW)
        wait_for(page, "opened", 1)
        moved = []
        for reconnects in (1, 2):
            moved.append(publish(server, "others"))
            wait_for(page, "cursor", moved[-1])
            trio.from_thread.run_sync(server.streamd.connections.close, "page")
            wait_for(page, "opened", 1 + reconnects)
        assert page.evaluate("received") == []
        last = publish(server, "mine")
        wait_for(page, "cursor", last)
        assert page.evaluate("received") == ["for mine"]
    return moved


def publish(server: RunningServer, topic: str) -> str:
    return str(trio.from_thread.run(server.streamd.publish, topic, f"for {topic}"))


def wait_for(page: Page, name: str, value: object) -> None:
    """Wait until a variable of the page has the value."""
    page.wait_for_function(f"window.{name} === {json.dumps(value)}")
