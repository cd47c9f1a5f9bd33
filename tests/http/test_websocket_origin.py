"""Whose pages may open a WebSocket (RFC 6455 section 10.2): browsers ask no one but the server."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from trio_websocket import ConnectionRejected, wrap_client_stream

from streamd.config import ServerSettings, Settings
from streamd.testing import RunningServer, run_server

ALLOWED = "https://app.example"
SECONDS = 30


def allowing(*origins: str, **server: Any) -> Settings:
    return Settings(server=ServerSettings(cors_origins=list(origins), **server))


async def upgrade(
    server: RunningServer,
    *,
    host: str = "",
    query: str = "topic=a",
    context: ssl.SSLContext | None = None,
    **headers: str,
) -> dict[str, Any]:
    """Ask for a WebSocket, and return its first message.

    Raises:
        ConnectionRejected: the server refused.
    """
    with trio.fail_after(SECONDS):
        tcp = await trio.open_tcp_stream(server.host, server.port)
        stream = tcp if context is None else trio.SSLStream(tcp, context, server_hostname=server.host)
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        async with stream, trio.open_nursery() as nursery:
            host = host or f"{server.host}:{server.port}"
            connection = await wrap_client_stream(
                nursery, stream, host, f"/events?{query}", extra_headers=sent
            )
            message: dict[str, Any] = json.loads(await connection.get_message())
            await connection.aclose()
            return message


async def check_let_in(server: RunningServer, **asked: Any) -> None:
    assert (await upgrade(server, **asked))["control"] == "connected"


async def check_refused(server: RunningServer, **asked: Any) -> None:
    with pytest.raises(ExceptionGroup) as group:
        await upgrade(server, **asked)
    [refused] = group.value.exceptions
    assert isinstance(refused, ConnectionRejected)
    assert refused.status_code == 403
    assert dict(refused.headers or ())[b"content-type"] == b"application/problem+json"
    problem = json.loads(refused.body or b"")
    assert (problem["status"], problem["code"], problem["field"]) == (403, "forbidden", "Origin")
    assert server.streamd.connections.statistics()["total"] == 0  # it took no place


@pytest.mark.parametrize("origins", [[], [ALLOWED], ["*"]])
async def test_programs_which_send_no_origin_are_let_in(origins: list[str]) -> None:
    async with run_server(allowing(*origins)) as server:
        await check_let_in(server)


@pytest.mark.parametrize(
    ("origins", "origin"),
    [
        ([ALLOWED], ALLOWED),
        (["http://localhost:3000", ALLOWED], ALLOWED),
        (["*"], ALLOWED),
        (["*"], "null"),
    ],
)
async def test_an_allowed_origin_is_let_in(origins: list[str], origin: str) -> None:
    async with run_server(allowing(*origins)) as server:
        await check_let_in(server, Origin=origin)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("app.example:8080", "http://app.example:8080"),
        ("app.example", "http://app.example"),
        ("app.example", "https://app.example"),  # TLS ends at a proxy
        ("app.example:8443", "https://app.example:8443"),
        ("app.example:80", "http://app.example"),
        ("app.example:443", "https://app.example"),
        ("App.Example", "https://app.example"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
async def test_the_servers_own_pages_are_let_in(host: str, origin: str) -> None:
    async with run_server() as server:
        await check_let_in(server, host=host, Origin=origin)


@pytest.mark.parametrize("origins", [[], [ALLOWED]])
@pytest.mark.parametrize(
    "origin",
    [
        "https://other.example",
        "http://own.example:8081",
        "https://own.example.other.example",
        "https://sub.own.example",
        "https://own.example@other.example",
        "https://own.example/",
        "ftp://own.example",
        "own.example",
        "https://own.example, https://app.example",
        "http://app.example",  # only https is allowed
        "https://app.example:8443",
        "null",
        "*",
        "",
    ],
)
async def test_all_others_are_refused_before_the_handshake(origins: list[str], origin: str) -> None:
    async with run_server(allowing(*origins)) as server:
        await check_refused(server, host="own.example", Origin=origin)


async def test_where_the_server_ends_tls_itself_only_secure_pages_are_its_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with run_server(allowing(certfile=str(pem), keyfile=str(pem))) as server:
        await check_refused(server, context=context, host="app.example", Origin="http://app.example")
        await check_let_in(server, context=context, host="app.example", Origin="https://app.example")


async def test_the_refusal_comes_before_anything_else_is_read() -> None:
    """A page that may not ask learns nothing of what it asked wrongly."""
    async with run_server() as server:
        await check_refused(server, query="last_event_id=7", Origin=ALLOWED)
