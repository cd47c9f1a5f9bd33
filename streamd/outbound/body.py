"""A request body for httpx that leaves nothing behind when the request is cancelled."""

from collections.abc import AsyncIterator

import httpx


class RequestBody(httpx.AsyncByteStream):
    """The bytes of a request body. A retry sends them again from the start.

    httpx sends its own bodies through an async generator. A request that is cancelled while it is being sent
    leaves that generator to the garbage collector, and trio warns about it. This class is no generator.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _RequestPieces(self._content)


class _RequestPieces(AsyncIterator[bytes]):
    """The content of a request body as one piece."""

    def __init__(self, content: bytes) -> None:
        self._remaining = [content]

    async def __anext__(self) -> bytes:
        if not self._remaining:
            raise StopAsyncIteration
        return self._remaining.pop()


def with_body(request: httpx.Request, content: bytes) -> httpx.Request:
    """Set the body and the ``Content-Length`` of a request that was built without content.

    Args:
        request: changed in place, and returned.
        content: the whole body.
    """
    request.stream = RequestBody(content)
    request.headers["Content-Length"] = str(len(content))
    return request
