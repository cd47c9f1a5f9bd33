"""The client in Chromium when the network fails or the computer sleeps; POST, abort, events named error."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Route

from tests.support.browser import chromium
from tests.support.client_page import ClientPage, client_context, open_page
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.page_server import PageServer, page_server

SOON = "backoff: { baseMs: 1, maxMs: 1 }"
SILENCE_MS = 37_500  # two and a half of the server's heartbeats
STEP_MS = 1000  # from one look of the client at its clock to the next
HOUR_MS = 3_600_000


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
        yield client


def until_active(server: PageServer, count: int) -> None:
    """Wait until the server has this number of connections."""
    while httpx.get(f"{server.url}/connections").json()["active"] != count:
        pass


def test_a_page_that_is_offline_disconnects_and_reconnects_as_soon_as_it_is_online(
    client: ClientPage, proxy: FaultProxy, server: PageServer
) -> None:
    client.follow(options="{ topics: ['offline'], backoff: { baseMs: 60_000 } }")
    client.wait_open()
    client.page.context.set_offline(True)  # which leaves the open connection alone
    client.wait("stream.state.phase === 'waiting'")
    until_active(server, 0)
    server.publish("offline", "missed")
    client.page.clock.run_for(HOUR_MS)
    assert proxy.count("sse") == 1  # no attempt can succeed
    client.page.context.set_offline(False)  # the page's clock stands still
    client.wait_data("missed")
    server.publish("offline", "online again")
    client.wait_data("online again")
    assert client.data == ["missed", "online again"]


def test_a_connection_without_heartbeats_is_replaced_without_loss(
    client: ClientPage, proxy: FaultProxy, server: PageServer
) -> None:
    client.follow(options=f"{{ topics: ['silence'], {SOON} }}")
    client.wait_open()
    client.page.clock.run_for(SILENCE_MS - 2 * STEP_MS)
    proxy.silence_connections()
    server.publish("silence", "lost on the way")
    assert client.page.evaluate("stream.isConnected")
    client.page.clock.run_for(4 * STEP_MS)
    client.pass_time(10, "stream.isConnected && recorded.data.length === 1")
    server.publish("silence", "heard")
    client.wait_data("heard")
    assert client.data == ["lost on the way", "heard"]
    assert proxy.count("sse") == 2


def test_a_connection_from_before_a_sleep_is_replaced_without_loss(
    client: ClientPage, proxy: FaultProxy, server: PageServer
) -> None:
    client.follow(options=f"{{ topics: ['sleep'], silenceMs: 0, {SOON} }}")
    client.wait_open()
    proxy.silence_connections()  # a router has forgotten the connection meanwhile
    server.publish("sleep", "missed")
    client.page.clock.fast_forward(HOUR_MS)  # timers fire at most once, as after a sleep
    client.pass_time(10, "stream.isConnected && recorded.data.length === 1")
    assert client.data == ["missed"]
    assert proxy.count("sse") == 2


@pytest.mark.parametrize("status", [200, 503])
def test_a_stream_by_post_is_requested_again_only_when_asked(client: ClientPage, status: int) -> None:
    requests: list[str | None] = []

    def answer(route: Route) -> None:
        requests.append(route.request.post_data)
        body = "data: generated\n\n" if status == 200 else ""
        route.fulfill(status=status, content_type="text/event-stream", body=body)

    client.page.route("**/generate", answer)
    client.follow("/generate", options=f"{{ method: 'POST', body: 'a prompt', {SOON} }}")
    client.wait("recorded.phases.at(-1) === 'closed'")
    client.page.clock.run_for(HOUR_MS)
    client.page.evaluate("dispatchEvent(new Event('online'))")
    assert requests == ["a prompt"]
    assert client.data == (["generated"] if status == 200 else [])
    assert client.state["status"] == status
    client.page.evaluate("stream.reconnect().catch(() => {})")
    client.wait("recorded.phases.filter((phase) => phase === 'closed').length === 2")
    assert requests == ["a prompt"] * 2


def test_an_abort_closes_the_connection_for_good(
    client: ClientPage, proxy: FaultProxy, server: PageServer
) -> None:
    client.page.evaluate("window.controller = new AbortController(); null")
    client.follow(options=f"{{ topics: ['abort'], signal: controller.signal, {SOON} }}")
    client.wait_open()
    client.page.evaluate("controller.abort()")
    assert client.phases == ["connecting", "open", "closed"]
    until_active(server, 0)
    client.page.clock.run_for(HOUR_MS)
    assert proxy.count("sse") == 1
    assert (
        client.page.evaluate("stream.connect().then(() => 'opened', (error) => error.name)")
        == "StreamFailure"
    )


def test_events_named_like_those_of_a_browser_are_events(client: ClientPage, server: PageServer) -> None:
    names = ["error", "open", "message", "close", "constructor", "__proto__", "a.b"]
    client.page.evaluate("window.heard = []; null")
    client.follow(options="{ topics: ['names'] }")
    client.page.evaluate("stream.on('error', (event) => heard.push(event.data)) && null")
    client.wait_open()
    for name in names:
        server.publish("names", f"of type {name}", name)
    client.wait_data("of type a.b")
    assert client.page.evaluate("recorded.events.map((event) => event.type)") == names
    assert client.page.evaluate("heard") == ["of type error"]
    assert client.phases == ["connecting", "open"]
    assert client.state["failure"] is None
