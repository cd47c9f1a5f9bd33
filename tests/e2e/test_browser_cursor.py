"""Chromium's native EventSource takes an id-only block as its cursor, and resumes with it."""

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

# Keeps what the page was given; the last event id is what its next request would say.
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
    """What every request for a stream of ``app`` brings as ``Last-Event-ID``."""
    brought: list[str | None] = []

    async def record() -> None:
        if request.path == "/events":
            brought.append(request.headers.get("Last-Event-ID"))

    app.before_request(record)
    return brought


async def test_a_reconnect_sends_the_id_of_a_block_that_had_no_event() -> None:
    app = create_app(SETTINGS)
    brought = recording(app)
    async with run_server(SETTINGS, app=app) as server:
        moved = await trio.to_thread.run_sync(partial(in_browser, server))
    # The page never got an event, and yet each request goes on where the one before had read up to.
    assert brought == [None, *moved]


def in_browser(server: RunningServer) -> list[str]:
    """Follow ``mine`` through two reconnects while only ``others`` is published; the ids published.

    Runs in a thread of its own, for Playwright blocks; what it asks of the server runs in trio's.
    """
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(f"{server.url}/health/live")  # of the same origin, and without streams of its own
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
