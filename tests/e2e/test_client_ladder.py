"""The client's ladder of transports in Chromium, behind a proxy that buffers streams and cuts WebSockets.

The clock of the page is Playwright's: time passes when the test says so.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import chromium
from tests.support.client_page import ClientPage, client_context, open_page
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.page_server import PageServer, page_server

LADDER = "transports: ladder.ladder()"
SOON = "backoff: { baseMs: 1, maxMs: 1 }"
STEP_MS = 1000  # from one look of the client at its clock to the next
FIRST_BLOCK_MS = 5000
BETTER_MS = 600_000  # then better transports are tried again
POLL_MS = 50_000  # less than the silence after which a poll would count as lost


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with page_server(STREAMD_TUNING__CONNECTIONS__RETRY_MS="1") as server:
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
        yield client


def follow(client: ClientPage, topic: str) -> None:
    client.follow(options=f"{{ topics: ['{topic}'], {LADDER}, {SOON} }}")


def give_up_late(client: ClientPage, attempt: int) -> None:
    """Let time pass in an attempt over SSE, until it is given up because its first block has not come."""
    is_trying = f"stream.state.attempt === {attempt} && stream.state.phase === 'connecting'"
    client.pass_time(10, is_trying)  # after the backoff
    started_ms = client.page.evaluate("Date.now()")
    client.pass_time(STEP_MS, f"!({is_trying})")
    waited_ms = client.page.evaluate("Date.now()") - started_ms
    assert FIRST_BLOCK_MS < waited_ms <= FIRST_BLOCK_MS + 2 * STEP_MS


def test_a_buffering_proxy_moves_a_stream_to_websocket_without_loss(
    client: ClientPage, proxy: FaultProxy, server: PageServer
) -> None:
    follow(client, "buffered")
    client.wait_open()
    server.publish("buffered", "by sse")
    client.wait_data("by sse")

    client.page.clock.run_for(STEP_MS)
    proxy.faults.buffers = True
    proxy.cut_connections()
    server.publish("buffered", "missed")
    for attempt in (2, 3):  # it has worked, so it is given up only when it has failed three times
        give_up_late(client, attempt)
    client.wait("stream.state.transport === 'websocket' && stream.isConnected")
    server.publish("buffered", "by websocket")
    client.wait_data("by websocket")
    assert client.data == ["by sse", "missed", "by websocket"]
    assert client.transports == ["sse", "websocket"]


def test_the_next_page_begins_with_what_worked_and_tries_better_ones_later(
    client: ClientPage, proxy: FaultProxy, server: PageServer
) -> None:
    proxy.faults.buffers = True
    follow(client, "remembered")
    give_up_late(client, 1)
    client.wait("stream.state.transport === 'websocket' && stream.isConnected")
    assert proxy.count("sse") == 1

    client.page.reload()
    follow(client, "remembered")
    client.wait_open()
    assert client.transports == ["websocket"]
    assert proxy.count("sse") == 1

    proxy.faults.buffers = False
    client.page.clock.fast_forward(BETTER_MS + STEP_MS)
    proxy.cut_connections()
    server.publish("remembered", "missed")
    client.pass_time(10, "stream.state.transport === 'sse' && stream.isConnected")
    server.publish("remembered", "by sse again")
    client.wait_data("by sse again")
    assert client.data == ["missed", "by sse again"]
    client.page.reload()
    follow(client, "remembered")
    client.wait_open()
    assert client.transports == ["sse"]


@pytest.mark.parametrize("status", [400, 403, 502])
def test_a_proxy_that_also_refuses_websocket_leaves_long_polling(
    client: ClientPage, proxy: FaultProxy, server: PageServer, status: int
) -> None:
    proxy.faults.buffers = True
    proxy.faults.rejects["websocket"] = (status, {})
    topic = f"refused/{status}"
    follow(client, topic)
    give_up_late(client, 1)
    client.wait("stream.state.transport === 'poll' && stream.isConnected")
    server.publish_all(topic, range(3))
    client.wait_data(2)
    server.publish_all(topic, range(3, 6))
    client.wait_data(5)
    assert client.data == [str(number) for number in range(6)]
    assert client.transports == ["sse", "websocket", "poll"]
    assert proxy.count("websocket") == 2  # the second tells a refusal from a server that has just started


def test_a_proxy_that_cuts_websockets_at_once_leaves_long_polling(
    client: ClientPage, proxy: FaultProxy, server: PageServer
) -> None:
    proxy.faults.buffers = True
    proxy.faults.websocket = "cut"
    follow(client, "cut")
    give_up_late(client, 1)
    client.pass_time(10, "stream.state.transport === 'poll' && stream.isConnected")
    server.publish_all("cut", range(3))
    client.wait_data(2)
    assert client.data == ["0", "1", "2"]
    assert proxy.count("websocket") == 3


def test_polling_goes_back_to_a_stream_when_the_network_lets_it_pass(
    client: ClientPage, proxy: FaultProxy, server: PageServer
) -> None:
    proxy.faults.buffers = True
    proxy.faults.rejects["websocket"] = (403, {})
    follow(client, "back")
    give_up_late(client, 1)
    client.wait("stream.state.transport === 'poll' && stream.isConnected")
    proxy.faults.buffers = False
    polls = BETTER_MS // POLL_MS
    for number in range(polls):
        assert client.transports[-1] == "poll"
        client.page.clock.run_for(POLL_MS)
        server.publish("back", number)
        client.wait_data(number)
    client.wait("stream.state.transport === 'sse' && stream.isConnected")
    server.publish("back", polls)
    client.wait_data(polls)
    assert client.data == [str(number) for number in range(polls + 1)]
    assert "waiting" not in client.phases
