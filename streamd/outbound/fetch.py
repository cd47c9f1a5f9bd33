"""What requests to other servers have in common: a body for httpx, and when to come back."""

import math
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

MAX_RETRY_AFTER_SECONDS: Final = 3600.0  # somebody's wrong clock must not park a client for days


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


def read_retry_after(value: str | None) -> float | None:
    """Seconds from ``Retry-After``, a number or a date (RFC 9110 section 10.2.3); at most an hour.

    None when there is no such header or it cannot be read.
    """
    if value is None:
        return None
    value = value.strip()
    try:
        seconds = (
            float(value) if value[:1].isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
        )
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS) if math.isfinite(seconds) else None
