"""Reading an answer that says no: RFC 9457 problem details, and Retry-After (RFC 9110 10.2.3)."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import attrs
import msgspec

MAX_RETRY_AFTER_SECONDS: Final = 3600.0  # somebody's wrong clock must not park a client for days


@attrs.frozen
class Problem:
    """Why a request was refused, as the server says it."""

    status: int  # of the HTTP answer
    code: str  # stable, for programs; "http-<status>" when the answer has none
    detail: str  # one plain sentence
    field: str | None = None  # the input that is wrong, if one is
    retry_after_seconds: float | None = None


def read_problem(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """Read an error answer, also one that a proxy wrote and that is no problem document.

    Args:
        status: the HTTP status.
        headers: with lower-case names, or case-insensitive.
        body: what was read of the body.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        fields = {}
    return problem_from_fields(
        fields, status=status, retry_after_seconds=read_retry_after(headers.get("retry-after"))
    )


def problem_from_fields(
    fields: Mapping[str, Any], *, status: int, retry_after_seconds: float | None = None
) -> Problem:
    """A problem out of its JSON; `status` holds where the JSON does not say."""
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


def read_retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a number of seconds or an HTTP date; at most an hour.

    None when there is no such header or it cannot be read.
    """
    if value is None:
        return None
    try:
        if value[:1].isdigit():
            seconds = float(value)
        else:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _phrase(status: int) -> str:
    try:
        return f"the server answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"the server answered {status}"
