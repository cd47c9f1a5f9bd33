"""Tabs of Chromium that share one connection over HTTP/1.1, where a browser opens six to a server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Error

from tests.support.browser import chromium
from tests.support.client_page import PLAIN_PATH, ClientPage, client_context, open_page
from tests.support.page_server import PageServer, page_server

TABS = 10
EVENTS = 2000
EVENTS_A_REQUEST = 100
OPTIONS = "{ topics: ['numbers'], backoff: { baseMs: 20, maxMs: 100 } }"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with client_context(browser) as context:
        yield context


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    """Run a server that keeps its log in a file."""
    variables = {"STREAMD_SERVER__DRAIN_SECONDS": "1", "STREAMD_TUNING__CONNECTIONS__RETRY_MS": "20"}
    with page_server("--log", f"sqlite:{tmp_path / 'log.db'}", **variables) as server:
        yield server


def open_shared(context: BrowserContext, server: PageServer, count: int) -> list[ClientPage]:
    """Open tabs which follow one stream; the first of them has the connection."""
    tabs: list[ClientPage] = []
    for _ in range(count):
        tab = open_page(context, server.url)
        tab.follow(options=OPTIONS, shared=True)
        tab.wait_open()
        tabs.append(tab)
    return tabs


def publish(server: PageServer, start: int, end: int) -> None:
    """Publish the numbers from start to end, some in each request."""
    for first in range(start, end, EVENTS_A_REQUEST):
        server.publish_all("numbers", range(first, min(first + EVENTS_A_REQUEST, end)))


def connections(server: PageServer) -> int:
    """Return the number of connections that the server has."""
    active: int = httpx.get(f"{server.url}/connections").json()["active"]
    return active


def until_one_connection(server: PageServer) -> None:
    """Wait until the server has noticed the end of all connections but one."""
    while connections(server) != 1:
        pass


def expect_numbers(tabs: list[ClientPage], end: int) -> None:
    """Wait for the last number, and check that each tab has seen all of them, once and in order."""
    for tab in tabs:
        tab.wait_data(end - 1)
        assert tab.data == [str(number) for number in range(end)]


@pytest.mark.parametrize(
    "end",
    [
        "closed",
        "crashed",
        pytest.param("navigated", marks=pytest.mark.soak),
        pytest.param("disconnected", marks=pytest.mark.soak),
    ],
)
def test_ten_tabs_lose_nothing_when_the_tab_with_the_connection_is(
    end: str, context: BrowserContext, server: PageServer
) -> None:
    leader, *others = open_shared(context, server, TABS)
    assert connections(server) == 1
    assert others[-1].page.evaluate("fetch('/health/live').then(({ status }) => status)") == 200

    publish(server, 0, EVENTS // 2)
    if end == "closed":
        leader.page.close()
    elif end == "navigated":
        leader.page.goto(f"{server.url}{PLAIN_PATH}?again")
    elif end == "crashed":
        with leader.page.expect_event("crash"), pytest.raises(Error):
            leader.page.goto("chrome://crash")
    else:
        leader.page.evaluate("stream.disconnect()")
    publish(server, EVENTS // 2, EVENTS)
    expect_numbers(others, EVENTS)
    until_one_connection(server)


def test_tabs_lose_nothing_when_the_server_is_killed_and_restarted(
    context: BrowserContext, server: PageServer
) -> None:
    tabs = open_shared(context, server, 3)
    publish(server, 0, 100)
    expect_numbers(tabs, 100)
    server.kill()
    for tab in tabs:
        tab.wait("recorded.phases.at(-1) !== 'open'")
    server.start()
    publish(server, 100, 200)
    expect_numbers(tabs, 200)
    assert connections(server) == 1
    assert [tab.controls.count("gap") for tab in tabs] == [0, 0, 0]


def test_a_late_tab_receives_the_events_after_its_own_cursor(
    context: BrowserContext, server: PageServer
) -> None:
    [first] = open_shared(context, server, 1)
    publish(server, 0, 500)
    expect_numbers([first], 500)
    after = first.page.evaluate("recorded.events[99].id")
    late = open_page(context, server.url)
    late.follow(options=f"{{ topics: ['numbers'], after: '{after}' }}", shared=True)
    late.wait_data(499)
    publish(server, 500, 600)
    late.wait_data(599)
    assert late.data == [str(number) for number in range(100, 600)]
    until_one_connection(server)
