"""JSON responses."""

from collections.abc import Mapping
from typing import Any

from quart_trio.wrappers import TrioResponse

from .hot.answer import JSON, json_answer

__all__ = ["JSON", "json_response"]


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> TrioResponse:
    """Encode a value as a JSON response with ``Cache-Control: no-store`` (RFC 9111 section 5.2.2.5).

    Args:
        value: a JSON value, a msgspec ``Struct``, or a ``msgspec.Raw`` that is encoded already.
        status: the HTTP status.
        headers: further headers; they replace those that this function sets.
    """
    response = json_answer(value, status).as_response()
    response.headers.update(headers or {})
    return response
