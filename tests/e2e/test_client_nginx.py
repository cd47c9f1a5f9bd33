"""The client in Chromium behind an nginx that buffers streams, over HTTP/1.1 and over HTTP/2 with TLS."""

from functools import partial
from pathlib import Path

import pytest
import trio

from tests.support.browser import chromium
from tests.support.client_page import client_context, open_page
from tests.support.fronts import NGINX, front_of
from tests.support.page_server import PageServer, page_server

# With buffering alone nginx still passes on each read of the node at once; its compressor holds it back.
BUFFERING = {
    "proxy_buffering off;": "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;",
    "gzip off;": "gzip on; gzip_proxied any; gzip_min_length 0; gzip_types text/event-stream;",
}
WITHOUT_WEBSOCKET = {"websocket websocket;": 'websocket "";'}
FIRST_BLOCK_MS = 1500
LADDER = (
    f"transports: ladder.ladder({{ firstBlockMs: {FIRST_BLOCK_MS} }}), backoff: {{ baseMs: 20, maxMs: 50 }}"
)
PROTOCOLS = "performance.getEntriesByType('resource').map(({ nextHopProtocol }) => nextHopProtocol)"


@pytest.mark.parametrize(
    ("transport", "tls"),
    [
        pytest.param("websocket", True, id="websocket, h2"),
        pytest.param("poll", False, id="poll, http/1.1"),
        pytest.param("websocket", False, id="websocket, http/1.1", marks=pytest.mark.soak),
        pytest.param("poll", True, id="poll, h2", marks=pytest.mark.soak),
    ],
)
async def test_a_stream_passes_an_nginx_that_buffers(tmp_path: Path, transport: str, tls: bool) -> None:
    changes = BUFFERING | (WITHOUT_WEBSOCKET if transport == "poll" else {})
    with page_server() as server:
        port = int(server.url.rpartition(":")[2])
        async with front_of(NGINX, port, folder=tmp_path, tls=tls, changes=changes) as front:
            url = front.tls_url if tls else front.url
            await trio.to_thread.run_sync(partial(follow, server, url, transport))


def follow(server: PageServer, url: str, transport: str) -> None:
    """Follow events in a browser through a proxy. In a thread, because Playwright blocks."""
    with chromium() as browser, client_context(browser) as context:
        client = open_page(context, url)
        server.publish("a", "before")
        client.follow(options=f"{{ topics: ['a'], after: 'earliest', {LADDER} }}")
        client.wait(f"stream.isConnected && stream.state.transport === '{transport}'")
        assert client.transports[0] == "sse"
        server.publish_all("a", range(3))
        client.wait_data(2)
        assert client.data == ["before", "0", "1", "2"]
        client.page.reload()
        client.follow(options=f"{{ topics: ['a'], after: 'earliest', {LADDER} }}")
        client.wait_data(2)
        assert client.transports == [transport]
        protocols = set(client.page.evaluate(PROTOCOLS)) - {""}
        assert protocols == {"h2" if url.startswith("https:") else "http/1.1"}
