"""An ASGI application of the test behind streamd's server, and a client that speaks HTTP/2 frame by frame."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from streamd.server import serve
from streamd.server.settings import ServerSettings
from tests.support.http2_frames import GET, FrameClient

Application = Callable[[Any, Any, Any], Awaitable[None]]
_SECONDS = 60


@asynccontextmanager
async def connected_to(
    app: Application, settings: ServerSettings | None = None
) -> AsyncIterator[FrameClient]:
    """Serve an application, without its lifespan, and connect to it."""
    with trio.fail_after(_SECONDS):
        async with trio.open_nursery() as nursery:
            settings = settings or ServerSettings(bind=["127.0.0.1:0"])
            [url] = await nursery.start(serve, with_lifespan(app), settings)
            async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as tcp:
                client = FrameClient(tcp)
                await client.begin()
                yield client
            nursery.cancel_scope.cancel()


def with_lifespan(app: Application) -> Application:
    """Add a lifespan that does nothing to an application."""

    async def both(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})

    return both


def head(path: bytes, method: bytes = b"GET") -> list[tuple[bytes, bytes]]:
    """Build the fields of a request."""
    wanted = {**dict(GET), b":path": path, b":method": method}
    return list(wanted.items())


def connect_head(path: bytes = b"/") -> list[tuple[bytes, bytes]]:
    """Build the fields of a WebSocket (RFC 8441)."""
    wanted = {**dict(head(path, b"CONNECT")), b":protocol": b"websocket"}
    return [*wanted.items(), (b"sec-websocket-version", b"13")]


async def answer(send: Any, body: bytes = b"", status: int = 200) -> None:
    """Send a whole response."""
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})
