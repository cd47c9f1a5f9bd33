"""Forwarding headers of trusted proxies on real sockets: HTTP/1.1, HTTP/2 and WebSocket alike."""

import json
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import open_websocket_url

from tests.support.http2_client import ManualHTTP2Client
from tests.support.scope_app import telling_scope
from tests.support.sockets import connect

HEADERS = {"x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https", "x-forwarded-prefix": "/p"}
TRUSTED = pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        (["127.0.0.1"], ("192.0.2.7", "https", "/p", "/p/a")),
        (["10.0.0.0/8"], ("127.0.0.1", "http", "", "/a")),
        ([], ("127.0.0.1", "http", "", "/a")),
    ],
    ids=["trusted", "not trusted", "no proxies"],
)


def summary(told: dict[str, Any]) -> tuple[str, str, str, str]:
    return told["client"][0], told["scheme"], told["root_path"], told["path"]


@TRUSTED
async def test_http1(trusted: list[str], expected: tuple[str, ...]) -> None:
    async with telling_scope(trusted_proxies=trusted) as url, httpx.AsyncClient() as http:
        told = (await http.get(f"{url}/a", headers=HEADERS)).json()
        assert told["http_version"] == "1.1"
        assert summary(told) == expected
        direct = (await http.get(f"{url}/a")).json()  # on the same connection, which keeps nothing
        assert summary(direct) == ("127.0.0.1", "http", "", "/a")


@TRUSTED
async def test_http2(trusted: list[str], expected: tuple[str, ...]) -> None:
    async with telling_scope(trusted_proxies=trusted) as url, await connect(url) as stream:
        client = ManualHTTP2Client(stream)
        request = await client.post("/a", HEADERS)
        while not client.received.get(request, b"").endswith(b"}"):
            await client.read()
        told = json.loads(client.received[request])
        assert told["http_version"] == "2"
        assert summary(told) == expected


@TRUSTED
async def test_websocket(trusted: list[str], expected: tuple[str, ...]) -> None:
    async with telling_scope(trusted_proxies=trusted) as url:
        headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        with trio.fail_after(30):
            async with open_websocket_url(f"ws{url[4:]}/a", extra_headers=headers) as socket:
                told = json.loads(await socket.get_message())
        assert told["type"] == "websocket"
        address, scheme, root_path, path = summary(told)
        assert (address, scheme.replace("ws", "http"), root_path, path) == expected
