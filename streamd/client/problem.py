"""Read error responses: problem details (RFC 9457) and ``Retry-After`` (RFC 9110 section 10.2.3)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import attrs

from ..errors import InvalidBody
from ..json import decode_message
from ..outbound import read_retry_after


@attrs.frozen
class Problem:
    """The reason of an error response."""

    status: int  # the HTTP status
    code: str  # stable, for programs; "http-<status>" if the response has none
    detail: str  # one plain sentence
    field: str | None = None  # the invalid input, if there is one
    retry_after_seconds: float | None = None


def read_problem(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """Read an error response; one of a proxy need not have a problem document.

    Args:
        status: the HTTP status.
        headers: names in lower case, or case-insensitive.
        body: the body, or a part of it.
    """
    try:
        fields: dict[str, Any] = decode_message(body, dict[str, Any])
    except InvalidBody:
        fields = {}
    retry_after = read_retry_after(headers.get("retry-after"), headers.get("date"))
    return problem_from_fields(fields, status=status, retry_after_seconds=retry_after)


def problem_from_fields(
    fields: Mapping[str, Any], *, status: int, retry_after_seconds: float | None = None
) -> Problem:
    """Build a problem from its JSON. ``status`` applies if the JSON has none."""
    own_status = fields.get("status")
    status = own_status if type(own_status) is int else status
    field = fields.get("field")
    return Problem(
        status,
        _text(fields.get("code")) or f"http-{status}",
        _text(fields.get("detail")) or _text(fields.get("title")) or _phrase(status),
        None if field is None else str(field),
        retry_after_seconds,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _phrase(status: int) -> str:
    try:
        return f"the server answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"the server answered {status}"
