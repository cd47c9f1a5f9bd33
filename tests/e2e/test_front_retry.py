"""Streams while no node answers: each reverse proxy makes its own error a 200 that ends, with ``retry:``.

A native EventSource comes back after such an answer, and never after a 502, 503 or 504 (WHATWG HTML section
9.2.3). Other requests keep the error, and answers of streamd itself pass as they are.
"""

import re
import signal
from contextlib import suppress
from pathlib import Path

import h11
import httpx
import pytest
import trio

from streamd.events.sse import Decoder
from streamd.testing import open_stream
from tests.support.fronts import CADDY, FRONTS, HAPROXY, NGINX, FrontKind, front_of
from tests.support.server_process import server_process

SECONDS = 60
STREAM = "/events?topic=a"
EVENT_SOURCE = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
ERRORS = (502, 503, 504)
on_each_front = pytest.mark.parametrize("kind", FRONTS, ids=lambda kind: kind.program)


def check_retry(answer: httpx.Response) -> None:
    """Check that an answer is a whole event stream with nothing but a reconnection time."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["access-control-allow-origin"] == "*"
    decoder = Decoder()
    decoder.receive_data(answer.content)
    assert decoder.next_event() is None
    assert decoder.retry_ms is not None
    assert 2000 <= decoder.retry_ms <= 5000
    assert re.fullmatch(r"retry: \d+\n: no node can be reached\n\n", answer.text)


@pytest.mark.parametrize(
    "kind",
    # It tries a node that is away for half a minute.
    [pytest.param(k, marks=pytest.mark.soak) if k is CADDY else k for k in FRONTS],
    ids=[kind.program for kind in FRONTS],
)
async def test_a_stream_ends_with_retry_while_no_node_answers_and_other_requests_fail(
    kind: FrontKind, tmp_path: Path
) -> None:
    async with (
        server_process(seconds=SECONDS) as node,
        front_of(kind, node.port, folder=tmp_path) as front,
        httpx.AsyncClient(base_url=front.url, timeout=SECONDS) as http,
    ):
        async with open_stream(front.url, topics=["a"]) as stream:
            await stream.next_control("connected")
            node.program.signal(signal.SIGKILL)
            await node.program.ended()
            with suppress(h11.RemoteProtocolError):  # some end the answer, others the connection
                while await stream.next_block() is not None:
                    pass
        for path in (STREAM, "/tasks/7/events?last_event_id=earliest"):
            for accept in ("text/event-stream", "text/html;q=0.5, text/event-stream;q=0.9"):
                check_retry(await http.get(path, headers={**EVENT_SOURCE, "Accept": accept}))
        others = [
            await http.get("/tasks", headers={"Accept": "application/json"}),
            await http.get("/events/poll?topic=a"),
            await http.post("/events", json={"topic": "a", "data": "x"}),
            await http.post("/events", json={"topic": "a", "data": "x"}, headers=EVENT_SOURCE),
        ]
        for answer in others:
            assert answer.status_code in ERRORS, answer.request
            assert "text/event-stream" not in answer.headers.get("content-type", "")


@on_each_front
async def test_answers_of_streamd_to_streams_pass_as_they_are(kind: FrontKind, tmp_path: Path) -> None:
    async with (
        server_process(seconds=SECONDS, connections__max_connections=1) as node,
        front_of(kind, node.port, folder=tmp_path) as front,
        httpx.AsyncClient(base_url=front.url, timeout=SECONDS) as http,
        open_stream(node.url, topics=["a"]) as stream,
    ):
        await stream.next_control("connected")
        full = await http.get(STREAM, headers=EVENT_SOURCE)
        assert (full.status_code, full.json()["code"]) == (503, "too-many-connections")
        assert full.headers["retry-after"]
        wrong = await http.get("/events", headers=EVENT_SOURCE)
        assert (wrong.status_code, wrong.json()["field"]) == (400, "topic")
        retried = await http.get(f"{STREAM}&on_limit=retry", headers=EVENT_SOURCE)
        assert retried.status_code == 200
        assert retried.text.startswith("event: closing\nretry: ")


@on_each_front
async def test_an_event_source_comes_back_to_a_node_that_was_away(kind: FrontKind, tmp_path: Path) -> None:
    """Follow the rules of EventSource by hand: an end, ``retry:``, the next request, no status but 200."""
    async with server_process(seconds=SECONDS) as node, front_of(kind, node.port, folder=tmp_path) as front:
        node.program.signal(signal.SIGKILL)
        await node.program.ended()
        async with open_stream(front.url, topics=["a"], headers=EVENT_SOURCE) as ended:
            assert await ended.next_block() is None
            assert ended.retry_ms is not None
        async with server_process("--bind", f"127.0.0.1:{node.port}", seconds=SECONDS):
            while True:
                async with open_stream(front.url, topics=["a"], headers=EVENT_SOURCE) as stream:
                    if await stream.next_block() is not None:
                        break
                await trio.lowlevel.checkpoint()


def sections_of(text: str) -> dict[str, tuple[str, list[str]]]:
    """Return the directives of HAProxy's sections, and the section whose defaults each has, by name."""
    sections: dict[str, tuple[str, list[str]]] = {}
    directives: list[str] = []
    for line in text.splitlines():
        if heading := re.fullmatch(r"(?:defaults|frontend|backend) (\w+)(?: from (\w+))?", line):
            directives = []
            sections[heading[1]] = (heading[2] or "", directives)
        elif line.strip() and not line.lstrip().startswith("#"):
            directives.append(line.strip())
    return sections


def test_haproxy_sends_the_events_of_each_backend_without_delay() -> None:
    """Without the option, the kernel holds each event back for 200 ms, as haproxy.cfg says."""
    sections = sections_of(HAPROXY.path.read_text())
    for backend in ("streamd", "streams"):
        directives: list[str] = []
        name = backend
        while name:
            name, own = sections[name]
            directives += own
        assert "option http-no-delay" in directives, backend


def test_nginx_passes_on_uploads_and_answers_without_buffers() -> None:
    text = NGINX.path.read_text()
    [location] = re.findall(r"^        location / \{\n(.*?)^        \}", text, re.MULTILINE | re.DOTALL)
    directives = [line.strip() for line in location.splitlines()]
    assert "proxy_buffering off;" in directives
    assert "proxy_request_buffering off;" in directives
