"""JSON responses."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from quart_trio.wrappers import TrioResponse

JSON: Final = "application/json"


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> TrioResponse:
    """Encode a value as a JSON response with ``Cache-Control: no-store`` (RFC 9111 section 5.2.2.5).

    Args:
        value: a JSON value, a msgspec ``Struct``, or a ``msgspec.Raw`` that is encoded already.
        status: the HTTP status.
        headers: further headers; they replace those that this function sets.
    """
    response = TrioResponse(msgspec.json.encode(value), status=status, content_type=JSON)
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers or {})
    return response
