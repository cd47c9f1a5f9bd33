"""The client in Chromium while its server rejects requests: attempts are few, and the events come afterwards.

The clock of the page is Playwright's: time passes when the test says so, and half a minute takes no time.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import chromium
from tests.support.client_page import ClientPage, client_context, open_page
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.page_server import PageServer, page_server

LATEST = "Math.random = () => 0.999999;"
"""Each wait is as long as jitter can make it."""
LEFT_MS = "Math.round(stream.state.retryAt - Date.now())"
ROUNDING_MS = 20


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with page_server(STREAMD_TUNING__CONNECTIONS__RETRY_MS="0") as server:
        yield server


@pytest.fixture
def proxy(server: PageServer) -> Iterator[FaultProxy]:
    with fault_proxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def client(browser: Browser, proxy: FaultProxy) -> Iterator[ClientPage]:
    with client_context(browser) as context:
        client = open_page(context, proxy.url)
        client.pause_clock()
        client.page.evaluate(LATEST)
        yield client


def wait_attempts(client: ClientPage, count: int) -> int:
    """Wait until this number of attempts have failed; return how long the client waits for the next (ms)."""
    client.wait(f"stream.state.phase === 'waiting' && stream.state.attempt === {count}")
    left_ms: int = client.page.evaluate(LEFT_MS)
    return left_ms


def test_waits_double_up_to_half_a_minute_while_the_server_answers_503(
    client: ClientPage, proxy: FaultProxy, server: PageServer
) -> None:
    proxy.faults.rejects["sse"] = (503, {})
    client.follow(options="{ topics: ['storm'] }")
    for attempt, expected_ms in enumerate((1000, 2000, 4000, 8000, 16_000, 30_000, 30_000), 1):
        waits_ms = wait_attempts(client, attempt)
        assert expected_ms - ROUNDING_MS <= waits_ms <= expected_ms
        assert proxy.count("sse") == attempt
        assert client.state["status"] == 503
        client.page.clock.run_for(waits_ms - 2 * ROUNDING_MS)
        assert client.page.evaluate("stream.state.phase") == "waiting"
        client.page.clock.run_for(3 * ROUNDING_MS)
    wait_attempts(client, 8)
    proxy.faults.rejects.clear()
    client.page.clock.run_for(30_000)
    client.wait_open()
    server.publish("storm", "over")
    client.wait_data("over")
    assert client.state["status"] == 200
    assert client.state["failure"] is None
    assert proxy.count("sse") == 9


@pytest.mark.parametrize("status", [503, 429])
def test_no_attempt_comes_before_the_time_that_the_server_asks_for(
    client: ClientPage, proxy: FaultProxy, status: int
) -> None:
    proxy.faults.rejects["sse"] = (status, {"Retry-After": "60"})
    client.follow(options="{ topics: ['storm'], backoff: { baseMs: 1, maxMs: 1 } }")
    for attempt in (1, 2):
        assert 60_000 - ROUNDING_MS <= wait_attempts(client, attempt) <= 60_001
        client.page.clock.run_for(59_900)
        client.page.evaluate("dispatchEvent(new Event('online'))")  # nor when the network comes back
        assert client.page.evaluate("stream.state.phase") == "waiting"
        assert proxy.count("sse") == attempt
        client.page.clock.run_for(200)
    wait_attempts(client, 3)
    proxy.faults.rejects.clear()
    client.page.clock.run_for(60_100)
    client.wait_open()


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_rejection_that_would_come_again_ends_the_stream(
    client: ClientPage, proxy: FaultProxy, status: int
) -> None:
    proxy.faults.rejects["sse"] = (status, {})
    client.follow(options="{ topics: ['storm'] }")
    client.wait("stream.state.phase === 'closed' && recorded.phases.length > 0")
    client.page.clock.run_for(120_000)
    assert client.phases == ["connecting", "closed"]
    assert client.state["status"] == status
    assert client.state["failure"]["fatal"]
    assert proxy.count("sse") == 1


def test_a_server_that_accepts_and_breaks_every_connection_is_not_stormed(
    client: ClientPage, proxy: FaultProxy
) -> None:
    client.follow(options="{ topics: ['storm'] }")
    for attempt, expected_ms in enumerate((1000, 2000, 4000, 8000), 1):
        client.wait_open(attempt)
        proxy.cut_connections()
        waits_ms = wait_attempts(client, attempt)
        assert expected_ms - ROUNDING_MS <= waits_ms <= expected_ms
        client.page.clock.run_for(waits_ms + ROUNDING_MS)
    assert proxy.count("sse") <= 5
