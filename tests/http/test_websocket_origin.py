"""Origins that may open a WebSocket (RFC 6455 section 10.2): only the server checks them."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionRejected, wrap_client_stream

from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.testing import RunningServer, run_server
from tests.support.certificates import trusting, write_certificate

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
    """Open a WebSocket and return its first message.

    Raises:
        ConnectionRejected: the server rejected the upgrade.
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


async def check_admitted(server: RunningServer, **options: Any) -> None:
    assert (await upgrade(server, **options))["control"] == "connected"


async def check_rejected(server: RunningServer, **options: Any) -> None:
    with pytest.raises(ExceptionGroup) as group:
        await upgrade(server, **options)
    [rejected] = group.value.exceptions
    assert isinstance(rejected, ConnectionRejected)
    assert rejected.status_code == 403
    assert dict(rejected.headers or ())[b"content-type"] == b"application/problem+json"
    problem = json.loads(rejected.body or b"")
    assert (problem["status"], problem["code"], problem["field"]) == (403, "cross-site", "Origin")
    assert server.streamd.connections.statistics()["total"] == 0  # it took no slot


@pytest.mark.parametrize("origins", [[], [ALLOWED], ["*"]])
async def test_upgrades_without_origin_are_admitted(origins: list[str]) -> None:
    async with run_server(allowing(*origins)) as server:
        await check_admitted(server)


@pytest.mark.parametrize(
    ("origins", "origin"),
    [
        ([ALLOWED], ALLOWED),
        (["http://localhost:3000", ALLOWED], ALLOWED),
        (["*"], ALLOWED),
        (["*"], "null"),
    ],
)
async def test_allowed_origins_are_admitted(origins: list[str], origin: str) -> None:
    async with run_server(allowing(*origins)) as server:
        await check_admitted(server, Origin=origin)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("app.example:8080", "http://app.example:8080"),
        ("app.example", "http://app.example"),
        ("app.example", "https://app.example"),  # a proxy terminates TLS
        ("app.example:8443", "https://app.example:8443"),
        ("app.example:80", "http://app.example"),
        ("app.example:443", "https://app.example"),
        ("App.Example", "https://app.example"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
async def test_the_servers_own_origin_is_admitted(host: str, origin: str) -> None:
    async with run_server() as server:
        await check_admitted(server, host=host, Origin=origin)


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
async def test_other_origins_are_rejected_before_the_handshake(origins: list[str], origin: str) -> None:
    async with run_server(allowing(*origins)) as server:
        await check_rejected(server, host="own.example", Origin=origin)


async def test_with_tls_only_https_origins_are_the_servers_own(tmp_path: Path) -> None:
    pem, context = write_certificate(tmp_path), trusting()
    async with run_server(allowing(certfile=pem, keyfile=pem)) as server:
        await check_rejected(server, context=context, host="app.example", Origin="http://app.example")
        await check_admitted(server, context=context, host="app.example", Origin="https://app.example")


async def test_the_origin_is_checked_before_the_parameters() -> None:
    async with run_server() as server:
        await check_rejected(server, query="last_event_id=7", Origin=ALLOWED)
