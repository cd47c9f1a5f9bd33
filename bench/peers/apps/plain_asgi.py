"""A plain ASGI application for stock Hypercorn on trio: a memory channel for each client, no framework."""

import math
from typing import Any

import trio

_channels: set[trio.MemorySendChannel[bytes]] = set()

_STREAM: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Subscribe on GET, publish the body on POST."""
    if scope["type"] == "lifespan":
        await _run_lifespan(receive, send)
    elif scope["method"] == "POST":
        await _publish(receive, send)
    else:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stream, send)
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()


async def _run_lifespan(receive: Any, send: Any) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def _publish(receive: Any, send: Any) -> None:
    data = b""
    more = True
    while more:
        message = await receive()
        data += message.get("body", b"")
        more = message.get("more_body", False)
    block = b"data: " + data + b"\n\n"
    for channel in _channels:
        channel.send_nowait(block)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _stream(send: Any) -> None:
    sending, receiving = trio.open_memory_channel[bytes](math.inf)
    _channels.add(sending)
    try:
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM})
        # Hypercorn sends the head with the first part of the body.
        await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
        async for block in receiving:
            await send({"type": "http.response.body", "body": block, "more_body": True})
    finally:
        _channels.discard(sending)
