"""The reverse proxies before streamd, as in ``conf/examples``: each transport, uploads and origins.

Nodes that die or drain behind a front: see test_front_failover.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import httpx
import pytest
import trio
from trio_websocket import connect_websocket_url

from streamd.testing import open_stream
from tests.support.certificates import trusting
from tests.support.fronts import (
    APACHE,
    FRONTS,
    HAPROXY,
    NGINX,
    TLS_FRONTS,
    VARNISH,
    Front,
    FrontKind,
    front_of,
    front_of_readme,
)
from tests.support.http2_client import ManualHTTP2Client
from tests.support.program import started
from tests.support.server_process import ServerProcess, server_process
from tests.support.sockets import connect

SECONDS = 60
LINES = 500  # more than `streamd publish` sends in a request
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
on_each_front = pytest.mark.parametrize("kind", FRONTS, ids=lambda kind: kind.program)


@attrs.frozen
class FrontedNode:
    """A front of one node, and a client of each."""

    front: Front
    node: ServerProcess
    direct: httpx.AsyncClient
    through: httpx.AsyncClient

    async def publish(self, data: str) -> str:
        """Publish at the node itself, and return the event's id."""
        answer = await self.direct.post("/events", json={"topic": "a", "data": data})
        assert answer.status_code == 201
        return str(answer.json()["id"])

    async def until_active(self, count: int) -> None:
        """Wait until the node has this number of connections."""
        while (await self.direct.get("/connections")).json()["active"] != count:
            pass


@asynccontextmanager
async def fronted(
    kind: FrontKind, folder: Path, *, tls: bool = False, **settings: object
) -> AsyncIterator[FrontedNode]:
    async with (
        server_process(seconds=SECONDS, **settings) as node,
        front_of(kind, node.port, folder=folder, tls=tls) as front,
        httpx.AsyncClient(base_url=node.url) as direct,
        httpx.AsyncClient(base_url=front.url, timeout=SECONDS) as through,
    ):
        yield FrontedNode(front, node, direct, through)


async def check_stream(system: FrontedNode) -> None:
    """Publish each event after the one before has arrived, and resume behind them."""
    accepting = {"Accept-Encoding": "gzip, br, zstd"}
    async with open_stream(system.front.url, topics=["a"], headers=accepting) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in stream.headers
        await stream.next_control("connected")
        for number in range(3):
            published = await system.publish(f"event {number}")
            event = await stream.next_event()
            assert event is not None
            assert (event.last_event_id, event.data) == (published, f"event {number}")
        cursor = stream.last_event_id
    missed = [await system.publish(f"missed {number}") for number in range(2)]
    async with open_stream(system.front.url, topics=["a"], last_event_id=cursor) as stream:
        assert [event.last_event_id for event in await stream.take(2)] == missed


async def check_websocket(system: FrontedNode) -> None:
    """Exchange messages from a page of the front's own origin; one of another origin is refused."""
    async with trio.open_nursery() as nursery:
        url = system.front.url.replace("http:", "ws:") + "/events?topic=a"
        own = [(b"Origin", system.front.url.encode())]
        socket = await connect_websocket_url(nursery, url, extra_headers=own)
        async with socket:
            assert json.loads(await socket.get_message())["control"] == "connected"
            for number in range(3):
                published = await system.publish(f"event {number}")
                assert json.loads(await socket.get_message())["id"] == published
            await socket.send_message(json.dumps({"control": "ping"}))
            assert json.loads(await socket.get_message())["control"] == "pong"
        await system.until_active(0)
        refused = await system.through.get(
            "/events?topic=a", headers={**UPGRADE, "Origin": "http://b.example"}
        )
        assert refused.status_code == 403


async def send_body(stream: trio.abc.Stream, length: int) -> None:
    """Send a request to publish, as much of its body as the server takes."""
    lines = (
        "POST /events HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    )
    with suppress(trio.BrokenResourceError):
        await stream.send_all("\r\n".join([*lines, "", ""]).encode() + b" " * length)


@on_each_front
async def test_events_pass_one_by_one_and_a_stream_resumes(kind: FrontKind, tmp_path: Path) -> None:
    async with fronted(kind, tmp_path) as system:
        await check_stream(system)


@on_each_front
async def test_a_client_that_leaves_frees_its_connection(kind: FrontKind, tmp_path: Path) -> None:
    """Some notice it only when they cannot pass on a heartbeat."""
    async with fronted(kind, tmp_path, connections__heartbeat_seconds=1) as system:
        async with open_stream(system.front.url, topics=["a"]) as stream:
            await stream.next_control("connected")
            await system.until_active(1)
        await system.until_active(0)


@on_each_front
async def test_a_poll_waits_for_its_event(kind: FrontKind, tmp_path: Path) -> None:
    async with fronted(kind, tmp_path) as system, trio.open_nursery() as nursery:
        first = await system.publish("first")
        answers: list[httpx.Response] = []

        async def poll() -> None:
            query = {"topic": "a", "after": first, "wait": "50"}
            answers.append(await system.through.get("/events/poll", params=query))

        nursery.start_soon(poll)
        await system.until_active(1)
        second = await system.publish("second")
        await system.until_active(0)
        while not answers:
            await trio.lowlevel.checkpoint()
        assert [event["id"] for event in answers[0].json()["events"]] == [second]


@on_each_front
async def test_a_websocket_carries_events_both_ways_for_the_fronts_own_origin(
    kind: FrontKind, tmp_path: Path
) -> None:
    async with fronted(kind, tmp_path) as system:
        await check_websocket(system)


@on_each_front
async def test_bodies_pass_up_to_the_limits_of_streamd(kind: FrontKind, tmp_path: Path) -> None:
    async with fronted(kind, tmp_path, events__max_body_bytes=4_000_000) as system:
        event = {"topic": "a", "data": "x" * 900_000}
        answer = await system.through.post("/events", json=[event] * 4)
        assert (answer.status_code, len(answer.json()["ids"])) == (201, 4)
        async with await connect(system.front.url) as larger, trio.open_nursery() as nursery:
            nursery.start_soon(send_body, larger, 4_000_001)  # it is refused before all of it is sent
            answered = b""
            while b'"code":"too-large"' not in answered:
                part = await larger.receive_some()
                assert part, answered
                answered += part
            assert answered.startswith(b"HTTP/1.1 413 ")
            nursery.cancel_scope.cancel()


@on_each_front
async def test_published_lines_pass_one_by_one(kind: FrontKind, tmp_path: Path) -> None:
    async with (
        fronted(kind, tmp_path) as system,
        open_stream(system.node.url, topics=["a"]) as stream,
        started("publish", "--url", system.front.url, "--topic", "a") as publisher,
    ):
        for number in range(3):
            await publisher.write(f"line {number}\n")
            event = await stream.next_event()
            assert event is not None
            assert event.data == f"line {number}"
        many = [f"{number} " + "x" * 500 for number in range(LINES)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publisher.write, "".join(f"{line}\n" for line in many))
            assert [event.data for event in await stream.take(len(many))] == many
        await publisher.end_of_input()
        assert await publisher.ended() == 0


@pytest.mark.parametrize("kind", [NGINX, HAPROXY, VARNISH], ids=lambda kind: kind.program)
async def test_lines_of_an_open_upload_are_answered_one_by_one(kind: FrontKind, tmp_path: Path) -> None:
    """Over HTTP/1.1, Caddy cuts off such an upload, and Apache answers at its end, as their files say."""
    head = (
        "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    async with fronted(kind, tmp_path) as system, await connect(system.front.url) as upload:
        await upload.send_all(head.encode())
        answer = b""
        for number in range(1, 4):
            line = b'{"topic": "a", "data": "x"}\n'
            await upload.send_all(b"%x\r\n%s\r\n" % (len(line), line))
            while b'{"line":%d,"id":' % number not in answer:
                part = await upload.receive_some()
                assert part, answer
                answer += part
        await upload.send_all(b"0\r\n\r\n")


@on_each_front
async def test_operations_on_connections_are_refused(kind: FrontKind, tmp_path: Path) -> None:
    async with fronted(kind, tmp_path, connections__control="true") as system:
        body = {"data": "for all"}
        for forged in ({}, {"X-Forwarded-For": "127.0.0.1"}):
            answer = await system.through.post("/connections/broadcast", json=body, headers=forged)
            assert answer.status_code == 403
        assert (await system.direct.post("/connections/broadcast", json=body)).status_code == 200


@pytest.mark.parametrize("kind", TLS_FRONTS, ids=lambda kind: kind.program)
async def test_streams_share_a_connection_with_http2(kind: FrontKind, tmp_path: Path) -> None:
    async with fronted(kind, tmp_path, tls=True) as system:
        tls = await connect(system.front.tls_url, tls=trusting("h2"))
        async with tls:
            assert isinstance(tls, trio.SSLStream)
            assert tls.selected_alpn_protocol() == "h2"
            client = ManualHTTP2Client(tls)
            count = 6 if kind is APACHE else 8  # see apache.conf
            streams = [await client.get("/events?topic=a") for _ in range(count)]
            await system.until_active(len(streams))
            for number in range(3):
                await system.publish(f"event {number}")
                line = f"data: event {number}\n".encode()
                while not all(line in client.received.get(stream, b"") for stream in streams):
                    await client.read()


async def test_the_lines_of_the_readme_suffice_for_nginx_and_one_server(tmp_path: Path) -> None:
    async with (
        server_process(seconds=SECONDS) as node,
        front_of_readme(node.port, folder=tmp_path) as front,
        httpx.AsyncClient(base_url=node.url) as direct,
        httpx.AsyncClient(base_url=front.url) as through,
    ):
        system = FrontedNode(front, node, direct, through)
        await check_stream(system)
        await check_websocket(system)
