"""Answers of handlers, which both doors send."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Final

import msgspec
from quart_trio.wrappers import TrioResponse

from ...transports.asgi import Field

Body = bytes | AsyncGenerator[bytes, None] | None

JSON: Final = "application/json"
NO_STORE: Final[Field] = (b"cache-control", b"no-store")
"""Keeps an answer out of every cache (RFC 9111 section 5.2.2.5)."""
JSON_HEADERS: Final[tuple[Field, ...]] = ((b"content-type", JSON.encode()), NO_STORE)
"""The headers of a JSON answer, which no cache keeps."""


class HTTPAnswer:
    """The answer to one request.

    Args:
        status: the HTTP status.
        headers: all header fields but ``content-length``.
        body: the whole body, which has a ``content-length``; or its parts, which are sent as they come; None
            for an answer without content, such as 204.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Iterable[Field] = (), body: Body = b"") -> None:
        self.status = status
        self.headers = tuple(headers)
        self.body = body

    def as_response(self) -> TrioResponse:
        """Build the same answer for Quart."""
        response = TrioResponse(self.body or b"", status=self.status)
        response.headers.clear()
        for name, value in self.headers:
            response.headers.add(name.decode().title(), value.decode())
        if isinstance(self.body, bytes):
            response.headers["Content-Length"] = str(len(self.body))
        if isinstance(self.body, AsyncGenerator):
            response.timeout = None  # it lasts as long as the client sends
        return response


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HTTPAnswer:
    """Encode a value as JSON, which no cache keeps.

    Args:
        value: a JSON value, a msgspec ``Struct``, or a ``msgspec.Raw`` that is encoded already.
        status: the HTTP status.
        headers: further headers; none of those that this function sets.
    """
    fields = JSON_HEADERS
    if headers:
        fields += tuple((name.lower().encode(), text.encode()) for name, text in headers.items())
    return HTTPAnswer(status, fields, msgspec.json.encode(value))
