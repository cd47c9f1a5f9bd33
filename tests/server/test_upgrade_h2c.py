"""``Upgrade: h2c`` is ignored (RFC 9113 section 3.1): a connection speaks the protocol that it began with."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.certificates import trusting, write_certificate
from tests.support.plain import NO_SERVICES
from tests.support.sockets import connect

SECONDS = 30
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_FRAME = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
HTTP2 = PREFACE + SETTINGS_FRAME
LAST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
UPGRADES = {
    "with settings": (
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    ),
    "without settings": "Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "without connection": "Upgrade: h2c\r\n",
    "in capitals": "Connection: UPGRADE\r\nUPGRADE: H2C\r\n",
    "in a list": "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
    "in two headers": "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
    "h2 of TLS": "Connection: Upgrade\r\nUpgrade: h2\r\n",
    "another protocol": "Connection: Upgrade\r\nUpgrade: TLS/1.3\r\n",
    "none": "",
}
on_each_upgrade = pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)


class RawClient:
    """A connection whose answers are compared as bytes."""

    def __init__(self, server: RunningServer, stream: trio.abc.Stream) -> None:
        self.server = server
        self.stream = stream

    async def exchange(self, sent: bytes) -> list[tuple[int, bytes]]:
        """Send bytes, read until the server closes, and return the statuses and bodies of its answers."""
        await self.stream.send_all(sent)
        received = b"".join([bytes(part) async for part in self.stream])
        answers = []
        while received:
            head, _, received = received.partition(b"\r\n\r\n")
            first, *lines = head.decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            length = int(headers["content-length"])
            assert "upgrade" not in headers
            answers.append((int(first.split()[1]), received[:length]))
            received = received[length:]
        return answers


@pytest.fixture(params=["plain", "tls"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RawClient]:
    server_settings, context = ServerSettings(), None
    if request.param == "tls":
        pem, context = write_certificate(tmp_path), trusting("http/1.1")
        server_settings = ServerSettings(certfile=pem, keyfile=pem)
    with trio.fail_after(SECONDS):
        async with run_server(Settings(server=server_settings, **NO_SERVICES)) as server:
            stream = await connect(server.url, tls=context)
            yield RawClient(server, stream)
            await trio.aclose_forcefully(stream)


def post(upgrade: str, body: bytes, *, chunked: bool = False) -> bytes:
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    head = f"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n{upgrade}\r\n"
    return head.encode() + content


def get(upgrade: str, method: str = "GET") -> bytes:
    return f"{method} /health/live HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode()


@on_each_upgrade
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_a_request_without_a_body_is_answered_over_http1(
    client: RawClient, upgrade: str, method: str
) -> None:
    answers = await client.exchange(get(upgrade, method) + LAST)
    assert [status for status, _ in answers] == [200, 200]


@on_each_upgrade
async def test_http2_behind_an_ignored_upgrade_is_malformed(client: RawClient, upgrade: str) -> None:
    """Send what a client of a tunnel would: it must not be answered as HTTP/2."""
    [(status, _), *refused] = await client.exchange(get(upgrade) + HTTP2)
    assert status == 200
    assert all(400 <= status < 500 for status, _ in refused)


@on_each_upgrade
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_body_is_read_as_a_body_and_the_next_request_after_it(
    client: RawClient, upgrade: str, chunked: bool
) -> None:
    [(first, body), (last, _)] = await client.exchange(
        post(upgrade, b'{"topic": "a", "data": "first"}', chunked=chunked) + LAST
    )
    assert (first, last) == (201, 200)
    assert json.loads(body)["id"] == client.server.streamd.head


@on_each_upgrade
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("hidden", ["a request", "HTTP/2"])
async def test_a_body_is_never_read_as_the_next_request(
    client: RawClient, upgrade: str, chunked: bool, hidden: str
) -> None:
    before = client.server.streamd.head
    body = HTTP2 if hidden == "HTTP/2" else post("", b'{"topic": "a", "data": "hidden"}')
    [(first, _), (last, _)] = await client.exchange(post(upgrade, body, chunked=chunked) + LAST)
    assert (first, last) == (400, 200)
    assert client.server.streamd.head == before


async def test_a_preface_is_accepted_at_the_beginning_of_a_connection_only(client: RawClient) -> None:
    [(first, _), *refused] = await client.exchange(get("") + HTTP2)
    assert first == 200
    assert all(400 <= status < 500 for status, _ in refused)


@pytest.mark.parametrize(
    "head",
    [
        b"PRI / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n",
        b"PRI * HTTP/2.0\r\nUpgrade: h2c\r\nConnection: close\r\n\r\n",
    ],
    ids=["of HTTP/1.1", "with headers"],
)
async def test_a_request_that_resembles_the_preface_is_no_preface(client: RawClient, head: bytes) -> None:
    [(status, _)] = await client.exchange(head)
    assert 400 <= status < 500
