"""Listening sockets: options of accepted sockets, and errors."""

import socket
from functools import partial
from typing import Any

import attrs
import pytest
import trio

from streamd.errors import ConfigError
from streamd.server import serve
from streamd.settings import Settings
from streamd.transports.asgi import CONNECTION_EXTENSION

OPTIONS = {
    "user_timeout": socket.TCP_USER_TIMEOUT,
    "notsent_lowat": socket.TCP_NOTSENT_LOWAT,
    "nodelay": socket.TCP_NODELAY,
}


def with_server(**values: Any) -> Settings:
    settings = Settings()
    return attrs.evolve(settings, server=attrs.evolve(settings.server, bind=["127.0.0.1:0"], **values))


async def answer_options(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request with the options of its socket."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    sock = scope["extensions"][CONNECTION_EXTENSION]._client._sock
    values = " ".join(str(sock.getsockopt(socket.IPPROTO_TCP, option)) for option in OPTIONS.values())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"<{values}>".encode()})


async def test_accepted_sockets_have_the_options() -> None:
    settings = with_server(tcp_user_timeout_ms=12_345, tcp_notsent_lowat_bytes=54_321)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            [address] = await nursery.start(partial(serve, answer_options, settings.server))
            stream = await trio.open_tcp_stream("127.0.0.1", int(address.rpartition(":")[2]))
            async with stream:
                await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = b"".join([bytes(part) async for part in stream])
            nursery.cancel_scope.cancel()
    assert b"<12345 54321 1>" in answer


@pytest.mark.parametrize("certfile", ["", "nowhere.pem"])
async def test_an_error_names_the_address_or_the_certificate(certfile: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = with_server(certfile=certfile, keyfile=certfile)
        bind = [f"127.0.0.1:{taken.getsockname()[1]}"]
        settings = attrs.evolve(settings, server=attrs.evolve(settings.server, bind=bind))
        with pytest.raises(ConfigError) as raised:
            await serve(answer_options, settings.server)
    assert raised.value.field == ("server.certfile" if certfile else "server.bind")
