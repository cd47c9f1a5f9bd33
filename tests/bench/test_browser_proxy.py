"""The fault proxy of the comparison of browser clients, over real sockets."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.browser.exchange import Answer, Request, encode_head
from bench.browser.proxy import FaultProxy
from bench.peers.base import free_port

STREAM_PATH = "/events?topic=a"
SECONDS = 20.0
LAST = b"data: last\n\n"


class Upstream(BaseHTTPRequestHandler):
    """A stream of one event, and of another one when the test sets ``finished``."""

    finished = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(f"data: {self.path}\n\n".encode())
        self.finished.wait(SECONDS)
        self.wfile.write(LAST)

    def log_message(self, format: str, *args: object) -> None:
        """Write no line for a request."""


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    Upstream.finished.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        proxy = FaultProxy({"/page": ("text/html", b"<p>")}, server.server_port)
        try:
            with proxy.running():
                yield proxy
        finally:
            Upstream.finished.set()
            server.shutdown()
            thread.join()


def request(proxy: FaultProxy, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=SECONDS)
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


def test_a_stream_is_passed_on_and_counted(proxy: FaultProxy) -> None:
    with closing(request(proxy, STREAM_PATH, Accept="text/event-stream")) as response:
        assert response.readline() == b"data: /events?topic=a\n"
        [open_now] = proxy.streams()
        assert (open_now.method, open_now.path, open_now.transport) == ("GET", "/events", "sse")
    assert len(proxy.requests) == 1


def test_files_are_answered_without_being_counted(proxy: FaultProxy) -> None:
    with closing(request(proxy, "/page")) as response:
        assert response.read() == b"<p>"
    assert proxy.requests == []


def test_a_rule_answers_in_place_of_the_server(proxy: FaultProxy) -> None:
    proxy.rule = lambda _: Answer(503, {"Retry-After": "2"})
    with closing(request(proxy, STREAM_PATH)) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "2")
    assert len(proxy.requests) == 1


def test_a_cut_stream_is_reset(proxy: FaultProxy) -> None:
    with closing(request(proxy, STREAM_PATH)) as response:
        response.readline()
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            response.read()
    assert proxy.streams() == []


def test_a_buffering_proxy_holds_a_stream_back_until_it_ends(proxy: FaultProxy) -> None:
    proxy.buffers = True
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS) as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        head = client.recv(65_536)
        assert head.endswith(b"\r\n\r\n")
        Upstream.finished.set()
        assert client.recv(65_536) == b"data: /events\n\n" + LAST


def test_a_frozen_stream_delivers_nothing_more(proxy: FaultProxy) -> None:
    with closing(request(proxy, STREAM_PATH)) as response:
        assert response.readline() == b"data: /events?topic=a\n"
        assert response.readline() == b"\n"
        proxy.freeze()
        Upstream.finished.set()
        assert response.read() == b""


def test_a_server_that_is_down_resets_the_connection() -> None:
    proxy = FaultProxy({}, free_port())
    with proxy.running(), pytest.raises(ConnectionResetError):
        request(proxy, STREAM_PATH)
    assert len(proxy.requests) == 1


def test_a_refused_websocket_gets_502(proxy: FaultProxy) -> None:
    proxy.refuses_websocket = True
    with closing(request(proxy, "/ws", Upgrade="websocket", Connection="Upgrade")) as response:
        assert response.status == 502


def test_the_cursor_of_the_query_gets_the_name_that_streamd_knows() -> None:
    parsed = Request.parse(b"GET /events?topic=a&lastEventId=17 HTTP/1.1\r\nHost: a\r\n\r\n", 0.0)
    assert parsed.cursor == "17"
    assert encode_head(parsed).startswith(b"GET /events?topic=a&last_event_id=17 HTTP/1.1\r\n")
