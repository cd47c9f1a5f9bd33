"""Protocol switches through the reverse proxies: WebSocket only, so that no tunnel passes by a rule.

A proxy that forwards ``Upgrade: h2c`` copies bytes once a node has answered 101: all that the client then
sends over HTTP/2 on that connection reaches the node unseen.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import httpx
import pytest
import trio

from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.fronts import (
    APACHE,
    CADDY,
    FRONTS,
    HAPROXY,
    NGINX,
    VARNISH,
    Front,
    FrontKind,
    front_of,
    front_of_readme,
)
from tests.support.http2_client import ManualHTTP2Client
from tests.support.plain import NO_SERVICES
from tests.support.sockets import connect

SECONDS = 60
HARMLESS = "/health/live"
DENY_PUBLISHING = {
    NGINX: "if ($request_method = POST) { return 403; }",
    HAPROXY: "    http-request deny if METH_POST",
    CADDY: "\t@denied method POST\n\thandle @denied {\n\t\trespond 403\n\t}",
    APACHE: "<LocationMatch ^>\n<LimitExcept GET HEAD>\nRequire all denied\n</LimitExcept>\n</LocationMatch>",
    VARNISH: '    if (req.method == "POST") { return (synth(403)); }',
}
UPGRADES = {
    "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "h2c without settings": "Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "h2c in capitals": "connection: UPGRADE\r\nUPGRADE: H2C\r\n",
    "h2c behind websocket": "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
    "h2c in two headers": "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
    "another protocol": "Connection: Upgrade\r\nUpgrade: tunnel\r\n",
}
WEBSOCKETS = {
    "websocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "websocket without a key": "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "websocket in keep-alive": "Connection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n",
}
OTHER_PROTOCOL = re.compile(rb"^upgrade: (?!websocket\r?$)", re.MULTILINE)
CLOSES = re.compile(rb"^connection:.*\bclose\b", re.MULTILINE)
README = "README"
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@attrs.define
class CredulousNode:
    """A node that accepts every upgrade but to WebSocket, as Hypercorn does one to h2c.

    Attributes:
        heads: the heads of the requests that it has received, in lower case.
        tunnelled: bytes that it has received behind an accepted upgrade.
    """

    heads: list[bytes] = attrs.field(factory=list)
    tunnelled: bytes = b""

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection, until the front closes it."""
        async with stream:
            with suppress(trio.BrokenResourceError):
                await self._answer(stream)

    async def _answer(self, stream: trio.SocketStream) -> None:
        received = b""
        async for part in stream:
            received += part
            while b"\r\n\r\n" in received:
                head, _, received = received.partition(b"\r\n\r\n")
                if not head.startswith(b"GET /health/ready"):
                    self.heads.append(head.lower())
                if OTHER_PROTOCOL.search(head.lower()):
                    await stream.send_all(ACCEPTED)
                    self.tunnelled += received + b"".join([bytes(more) async for more in stream])
                    return
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                if CLOSES.search(head.lower()):
                    return


@asynccontextmanager
async def fronted_by(kind: FrontKind | str, port: int, folder: Path) -> AsyncIterator[Front]:
    """Run a proxy, with a rule that denies publishing if it is one of ``conf/examples``."""
    if isinstance(kind, FrontKind):
        async with front_of(kind, port, folder=folder, rule=DENY_PUBLISHING[kind]) as front:
            yield front
    else:
        async with front_of_readme(port, folder=folder) as front:
            yield front


@asynccontextmanager
async def credulous_node(kind: FrontKind | str, folder: Path) -> AsyncIterator[tuple[CredulousNode, Front]]:
    """Run a node that accepts every upgrade, and a proxy in front of it."""
    node = CredulousNode()
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, node.serve, [listener])
            async with fronted_by(kind, listener.socket.getsockname()[1], folder) as front:
                yield node, front
            nursery.cancel_scope.cancel()


async def read_head(stream: trio.abc.Stream) -> bytes:
    """Read the head of an answer, and what has come with it."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = await stream.receive_some()
        assert part, received
        received += part
    return received


@pytest.mark.parametrize("kind", [*FRONTS, README], ids=lambda kind: getattr(kind, "program", kind))
async def test_a_node_never_sees_an_upgrade_to_another_protocol_than_websocket(
    kind: FrontKind | str, tmp_path: Path
) -> None:
    async with credulous_node(kind, tmp_path) as (node, front):
        for name, upgrade in UPGRADES.items():
            node.heads.clear()
            stream = await connect(front.url)
            await stream.send_all(f"GET {HARMLESS} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n".encode())
            assert (await read_head(stream)).split()[1] in (b"200", b"400"), name
            async with httpx.AsyncClient() as http:  # the front still works
                assert (await http.get(f"{front.url}{HARMLESS}")).status_code == 200, name
            await trio.aclose_forcefully(stream)
            assert node.heads, name
            assert not [head for head in node.heads if OTHER_PROTOCOL.search(head)], name
    assert node.tunnelled == b""


async def tunnel(server: RunningServer, front: Front, upgrade: str) -> None:
    """Ask for an upgrade on a harmless path, then publish over HTTP/2 on the same connection."""
    stream = await connect(front.url)
    await stream.send_all(f"GET {HARMLESS} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n".encode())
    assert (await read_head(stream)).split()[1] in (b"200", b"400")
    client = ManualHTTP2Client(stream)
    body = json.dumps({"topic": "a", "data": "smuggled"}).encode()
    headers = [
        (":method", "POST"),
        (":path", "/events"),
        (":scheme", "http"),
        (":authority", "x"),
        ("content-type", "application/json"),
    ]
    client.http.send_headers(1, headers)
    client.http.send_data(1, body, end_stream=True)
    try:
        await stream.send_all(client.http.data_to_send())
        while await stream.receive_some():  # until the front or the node ends the connection
            pass
    except trio.BrokenResourceError:
        pass
    await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("kind", FRONTS, ids=lambda kind: kind.program)
async def test_no_tunnel_leads_past_a_rule_that_denies_publishing(kind: FrontKind, tmp_path: Path) -> None:
    with trio.fail_after(SECONDS):
        async with (
            run_server(Settings(**NO_SERVICES)) as server,
            fronted_by(kind, server.port, tmp_path) as front,
            httpx.AsyncClient() as http,
        ):
            denied = await http.post(f"{front.url}/events", json={"topic": "a", "data": "denied"})
            assert denied.status_code == 403
            direct = await http.post(f"{server.url}/events", json={"topic": "b", "data": "x"})
            assert direct.status_code == 201
            before = server.streamd.head
            for name, upgrade in UPGRADES.items():
                await tunnel(server, front, upgrade)
                assert server.streamd.head == before, name


@pytest.mark.parametrize("kind", FRONTS, ids=lambda kind: kind.program)
async def test_no_request_follows_a_websocket_that_was_not_accepted_past_a_rule(
    kind: FrontKind, tmp_path: Path
) -> None:
    """A proxy that copies bytes from the request on would pass on what comes behind it."""
    body = json.dumps({"topic": "a", "data": "smuggled"})
    head = f"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    smuggled = f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n{body}"
    async with credulous_node(kind, tmp_path) as (node, front):
        for name, upgrade in WEBSOCKETS.items():
            async with await connect(front.url) as stream:
                await stream.send_all(
                    f"GET {HARMLESS} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n{smuggled}".encode()
                )
                assert (await read_head(stream)).split()[1] in (b"200", b"400"), name
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(smuggled.encode())
                    while await stream.receive_some():
                        pass
            assert not [head for head in node.heads if head.startswith(b"post")], name
    assert not [head for head in node.heads if head.startswith(b"post")]
