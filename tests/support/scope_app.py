"""An ASGI application that answers with parts of its scope, on streamd's server."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from streamd.proxies import FORWARDING
from streamd.server import ServerSettings, serve
from tests.support.certificates import trusting, write_certificate
from tests.support.sockets import connect

SECONDS = 30
KEYS = ("type", "scheme", "path", "root_path", "client", "http_version")


async def tell_scope(scope: Any, receive: Any, send: Any) -> None:
    """Answer each request, and each WebSocket with its first message until the client leaves."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
    told = {key: scope.get(key) for key in KEYS}
    forwarding = scope.get(FORWARDING)
    if forwarding is not None:
        told["proxies"] = forwarding.proxies
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps(told)})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    body = json.dumps(told).encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def telling_scope(folder: Path | None = None, **settings: Any) -> AsyncIterator[str]:
    """Serve the application, and yield its URL.

    Args:
        folder: for a certificate; None for plain TCP.
        settings: of the server.
    """
    if folder is not None:
        settings["certfile"] = settings["keyfile"] = write_certificate(folder)
    server = ServerSettings(bind=["127.0.0.1:0"], **settings)
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            [url] = await nursery.start(partial(serve, tell_scope, server))
            yield url
            nursery.cancel_scope.cancel()


async def tls_behind(header: bytes, url: str, *protocols: str) -> trio.SSLStream[trio.abc.Stream]:
    """Connect, send bytes in the clear, and then begin TLS."""
    stream = await connect(url)
    await stream.send_all(header)
    context: ssl.SSLContext = trusting(*protocols)
    secure = trio.SSLStream(stream, context, server_hostname="127.0.0.1", https_compatible=True)
    await secure.do_handshake()
    return secure
