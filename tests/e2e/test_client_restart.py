"""The client in Chromium while its server is killed or restarted: no event is lost, and none comes twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import chromium
from tests.support.certificates import write_certificate
from tests.support.client_page import client_context, open_page
from tests.support.number_publisher import publishing_numbers
from tests.support.page_server import PageServer, page_server

SOON = "backoff: { baseMs: 20, maxMs: 100 }"
REQUEST = "performance.getEntriesByType('resource').find(({ name }) => name.includes('/events?'))"
PROTOCOL = f"{REQUEST}.nextHopProtocol"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(params=["http/1.1", "h2"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(protocol: str, tmp_path: Path) -> Iterator[PageServer]:
    """Run a server that keeps its log in a file."""
    tls: list[str] = []
    if protocol == "h2":
        pem = write_certificate(tmp_path)
        tls = ["--certfile", pem, "--keyfile", pem]
    log = f"sqlite:{tmp_path / 'log.db'}"
    variables = {"STREAMD_SERVER__DRAIN_SECONDS": "1", "STREAMD_TUNING__CONNECTIONS__RETRY_MS": "20"}
    with page_server("--log", log, *tls, **variables) as server:
        yield server


@pytest.mark.parametrize(
    "transport",
    ["sse", pytest.param("websocket", marks=pytest.mark.soak), pytest.param("poll", marks=pytest.mark.soak)],
)
def test_a_stream_loses_no_event_by_a_kill_and_by_a_graceful_restart_of_its_server(
    browser: Browser, server: PageServer, protocol: str, transport: str
) -> None:
    alone = f"transports: ladder.ladder({{ transports: [ladder.{transport}], storage: null }})"
    with client_context(browser) as context, publishing_numbers(lambda: server.url, "numbers") as publisher:
        client = open_page(context, server.url)
        client.follow(options=f"{{ topics: ['numbers'], after: 'earliest', {alone}, {SOON} }}")
        client.wait_data(20)
        server.kill()
        client.wait("recorded.phases.at(-1) !== 'open'")
        server.start()
        client.wait_open(2)
        killed_at = publisher.count
        client.wait_data(killed_at + 20)
        assert client.controls.count("closing") == 0

        assert server.stop() == 0
        server.start()
        client.wait_open(3)
        client.wait_data(publisher.count + 20)
        publisher.stop()
        client.wait_data(publisher.count - 1)
        assert client.data == [str(number) for number in range(publisher.count)]
        assert client.controls.count("gap") == 0
        if transport == "sse":
            assert client.controls.count("closing") == 1
            client.page.evaluate("stream.disconnect()")
            client.wait(REQUEST)
            assert client.page.evaluate(PROTOCOL) == protocol
