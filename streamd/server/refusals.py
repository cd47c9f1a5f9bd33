"""Refusals of requests below the application, as ``application/problem+json`` (RFC 9457)."""

from collections.abc import Iterable
from typing import Final

import msgspec

from ..errors import problem_members

MALFORMED: Final = "malformed-request"
"""The code of a request that does not follow the protocol."""


class RequestRefused(Exception):
    """A request that no application sees; it is answered, and then the connection or the stream ends.

    Args:
        status: of the answer.
        code: stable, for programs.
        detail: one sentence that the client may see.
        headers: further headers of the answer, names in lower case.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = tuple(headers)

    def answer(self) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Build the headers and the body of the answer."""
        body = msgspec.json.encode(problem_members(self.status, self.code, self.detail))
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            *self.headers,
        ]
        return headers, body


def malformed(detail: str) -> RequestRefused:
    """Build the refusal of a request that does not follow the protocol (400)."""
    return RequestRefused(400, MALFORMED, detail)
