"""The body of a request to another server, for httpx."""

from collections.abc import AsyncIterator

import httpx


class RequestBody(httpx.AsyncByteStream):
    """Some bytes, sent as they are.

    httpx iterates over its own by an async generator, which nobody closes when the request is cancelled
    while it is being sent; trio's finalizer then warns of it. This is no generator.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._content)


class _Once(AsyncIterator[bytes]):
    def __init__(self, content: bytes) -> None:
        self._left = [content]

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


def with_body(request: httpx.Request, content: bytes) -> httpx.Request:
    """The request, made without content, with some."""
    request.stream = RequestBody(content)
    request.headers["Content-Length"] = str(len(content))
    return request
