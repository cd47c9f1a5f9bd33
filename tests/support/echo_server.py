"""An ASGI application that answers with what it received, on streamd's server."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from streamd.server import ServerSettings, serve
from streamd.transports.asgi import find_transport

SECONDS = 30
LARGE = b"x" * 300_000


MEDIUM = b"x" * 60_000  # is not waited for
_ANSWERS = {"/refuse": (413, b"too much"), "/large": (200, LARGE), "/medium": (200, MEDIUM)}


def _start(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": headers}


_FAILURES: dict[str, list[dict[str, Any]]] = {
    "/raise": [],
    "/held": [_start((b"content-length", b"3"))],
    "/long": [_start((b"content-length", b"3")), {"type": "http.response.body", "body": b"four"}],
    "/inject": [_start((b"x", b"a\r\nb: c"))],
}


class EchoServer:
    """Answers by the path of a request; see :meth:`__call__`.

    Attributes:
        paths: of the requests that reached the application, in order.
        messages: that WebSocket connections received, and how each ended.
        url: of the server.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.messages: list[Any] = []
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a scope; the paths are those of the methods below, ``/`` for the body."""
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
        self.paths.append(scope["path"])
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["path"] == "/watch":
            await self._watch(scope)
        elif scope["path"] in _FAILURES:
            for message in _FAILURES[scope["path"]]:
                await send(message)
            raise LookupError("on purpose")
        elif scope["path"] == "/chunks":
            await send(_start())
            for part in (b"one", b"", b"two"):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"!"})
        elif scope["path"] == "/status":
            await answer(send, int(scope["query_string"]), b"")
        else:
            status, body = _ANSWERS.get(scope["path"]) or (200, await body_of(receive))
            await answer(send, status, body)

    async def _watch(self, scope: Any) -> None:
        """Wait until the transport reports that the client has left."""
        left = trio.Event()
        transport = find_transport(scope)
        assert transport is not None
        transport.watch(left.set)
        await left.wait()
        self.messages.append("left")

    async def _websocket(self, scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/refuse":
            await send({"type": "websocket.close"})
            return
        if scope["path"] == "/raise":
            raise LookupError("on purpose")
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            self.messages.append(message["text"] if message["bytes"] is None else message["bytes"])
            if message["text"] == "close":
                await send({"type": "websocket.close", "code": 4000})
                break
            if message["text"] == "raise":
                raise LookupError("on purpose")
            await send({**message, "type": "websocket.send"})
        else:
            self.messages.append(message["code"])


async def body_of(receive: Any) -> bytes:
    """Receive the whole body, and return it as JSON with the sizes of its parts; None if the client left."""
    whole = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"null"
        whole += message["body"]
        if not message["more_body"]:
            return json.dumps(whole.decode("latin1")).encode()


async def answer(send: Any, status: int, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def echoing(max_message_bytes: int = 1_000_000, **settings: Any) -> AsyncIterator[EchoServer]:
    """Serve the application for the block.

    Args:
        max_message_bytes: maximum size of a message from a WebSocket client.
        settings: of the server.
    """
    app = EchoServer()
    server = ServerSettings(bind=["127.0.0.1:0"], **settings)
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            start = partial(serve, app, server, max_message_bytes=max_message_bytes)
            [app.url] = await nursery.start(start)
            yield app
            nursery.cancel_scope.cancel()
