# mypy: disable-error-code="import-not-found"
"""A broadcast with sse-starlette as in its documentation: a queue for each client.

Runs in its own environment, where streamd is not installed.
"""

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_queues: set[asyncio.Queue[str]] = set()


async def subscribe(_: Request) -> Response:
    """Stream the events that are published from now on."""
    # Registered before the head is sent, so that a client with its head misses no event.
    queue: asyncio.Queue[str] = asyncio.Queue()
    _queues.add(queue)

    async def stream() -> AsyncIterator[dict[str, str]]:
        try:
            while True:
                yield {"data": await queue.get()}
        finally:
            _queues.discard(queue)

    return EventSourceResponse(stream())


async def publish(request: Request) -> Response:
    """Broadcast the body."""
    data = (await request.body()).decode()
    for queue in _queues:
        queue.put_nowait(data)
    return Response(status_code=204)


app = Starlette(
    routes=[Route("/events", subscribe, methods=["GET"]), Route("/events", publish, methods=["POST"])]
)
