"""Errors as ``application/problem+json`` (RFC 9457), with streamd's stable ``code``."""

import math
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
import structlog
from quart import Quart, request
from quart.utils import encode_headers
from quart_schema import document_response
from quart_trio.wrappers import TrioResponse
from werkzeug.exceptions import HTTPException

from ..characters import cut
from ..errors import ConfigError, InvalidToken, StreamdError, Unauthorized, UnsupportedCoding
from ..transports.asgi import Send, send_answer
from . import schema
from .schema import PROBLEM_JSON

_UNEXPECTED: Final = StreamdError("something went wrong in the server")
_log = structlog.get_logger(__name__)
_RETRYABLE: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

View = TypeVar("View", bound=Callable[..., Any])


def document_problems(*statuses: int) -> Callable[[View], View]:
    """Add the statuses of the problems that a view answers to ``/openapi.json``."""

    def document(view: View) -> View:
        for status in statuses:
            headers = schema.RetryHeaders if status in _RETRYABLE else None
            view = document_response(schema.ProblemSchema, status, headers)(view)
        return view

    return document


def problem_fields(error: StreamdError) -> dict[str, Any]:
    """Build the members of a problem; ``field`` only if the error names an input."""
    fields: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
    }
    if error.field is not None:
        fields["field"] = cut(error.field)  # of JSON, it may have names that the client chose
    return fields


def problem_response(error: StreamdError) -> TrioResponse:
    """Build the response to an error, with ``Retry-After`` in whole seconds if the error has a delay."""
    response = TrioResponse(
        msgspec.json.encode(problem_fields(error)), status=error.status, content_type=PROBLEM_JSON
    )
    response.headers["Cache-Control"] = "no-store"
    if isinstance(error, Unauthorized):  # RFC 6750 section 3
        challenge = 'Bearer error="invalid_token"' if isinstance(error, InvalidToken) else "Bearer"
        response.headers["WWW-Authenticate"] = challenge
    if isinstance(error, UnsupportedCoding):  # and in no other 415 (RFC 9110 section 12.5.3)
        response.headers["Accept-Encoding"] = "gzip"
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
    return response


async def send_problem(send: Send, error: StreamdError, headers: Iterable[tuple[str, str]] = ()) -> int:
    """Answer an error on plain ASGI, and return the status.

    Args:
        send: sends ASGI messages.
        error: the error.
        headers: further ones, such as those of CORS; the problem's own replace those with their names.
    """
    response = problem_response(error)
    own = set(response.headers.keys(lower=True))
    for name, value in headers:
        if name.lower() not in own:
            response.headers.add(name, value)
    body = await response.get_data(as_text=False)
    await send_answer(send, response.status_code, encode_headers(response.headers), body)
    return response.status_code


async def handle_streamd_error(error: StreamdError) -> TrioResponse:
    """Answer an error that streamd raised; one of the configuration is logged for the operator instead."""
    if isinstance(error, ConfigError):
        _log.error("request_failed", path=cut(request.path), exc_info=error)
        return problem_response(_UNEXPECTED)
    return problem_response(error)


async def handle_http_exception(error: HTTPException) -> TrioResponse:
    """Answer an error of Quart itself: an unknown path, a wrong method, a body that is too large."""
    status = HTTPStatus(error.code or 500)
    fields = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "code": status.phrase.lower().replace(" ", "-"),
        "detail": error.description or status.description or status.phrase,
    }
    response = TrioResponse(msgspec.json.encode(fields), status=status.value, content_type=PROBLEM_JSON)
    for name, value in error.get_headers(None):
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


async def handle_unexpected(_error: Exception) -> TrioResponse:
    """Answer 500 to a bug, without details for the client; Quart has logged them."""
    return problem_response(_UNEXPECTED)


def use_problems(app: Quart) -> None:
    """Register the error handlers that answer every error of ``app`` as a problem."""
    app.register_error_handler(StreamdError, handle_streamd_error)
    app.register_error_handler(HTTPException, handle_http_exception)
    app.register_error_handler(500, handle_unexpected)
