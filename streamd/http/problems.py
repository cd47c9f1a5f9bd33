"""Errors as ``application/problem+json`` (RFC 9457), with streamd's stable ``code``."""

import math
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
import structlog
from quart import Quart, has_websocket_context, request, websocket
from quart_schema import document_response
from quart_trio.wrappers import TrioResponse
from werkzeug.exceptions import HTTPException

from ..characters import cut
from ..errors import (
    ConfigError,
    InvalidToken,
    StreamdError,
    Unauthorized,
    UnsupportedCoding,
    problem_members,
)
from ..transports.asgi import Send, send_answer
from . import schema
from .hot.answer import NO_STORE, HTTPAnswer
from .schema import PROBLEM_JSON

UNEXPECTED: Final = StreamdError("something went wrong in the server")
"""The error of a bug, without details for the client."""
_PROBLEM_TYPE: Final = (b"content-type", PROBLEM_JSON.encode())
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
    fields = problem_members(error.status, error.code, error.detail)
    if error.field is not None:
        fields["field"] = cut(error.field)  # of JSON, it may have names that the client chose
    return fields


def problem_answer(error: StreamdError) -> HTTPAnswer:
    """Build the answer to an error, with ``Retry-After`` in whole seconds if the error has a delay."""
    headers = [_PROBLEM_TYPE, NO_STORE]
    if isinstance(error, Unauthorized):  # RFC 6750 section 3
        is_invalid = isinstance(error, InvalidToken)
        headers.append((b"www-authenticate", b'Bearer error="invalid_token"' if is_invalid else b"Bearer"))
    if isinstance(error, UnsupportedCoding):  # and in no other 415 (RFC 9110 section 12.5.3)
        headers.append((b"accept-encoding", b"gzip"))
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after_seconds)))
    return HTTPAnswer(error.status, headers, msgspec.json.encode(problem_fields(error)))


def answer_error(error: StreamdError, path: str) -> HTTPAnswer:
    """Build the answer to an error of a request; one of the configuration is logged for the operator instead.

    Args:
        error: the error.
        path: of the request, for the log.
    """
    if isinstance(error, ConfigError):
        _log.error("request_failed", path=cut(path), exc_info=error)
        return problem_answer(UNEXPECTED)
    return problem_answer(error)


async def send_problem(send: Send, error: StreamdError, headers: Iterable[tuple[str, str]] = ()) -> int:
    """Answer an error on plain ASGI, and return the status.

    Args:
        send: sends ASGI messages.
        error: the error.
        headers: further ones, such as those of CORS; the problem's own replace those with their names.
    """
    answer = problem_answer(error)
    own = {name for name, _ in answer.headers}
    further = [(name.lower().encode(), value.encode()) for name, value in headers]
    further = [field for field in further if field[0] not in own]
    assert isinstance(answer.body, bytes)
    await send_answer(send, answer.status, answer.headers, answer.body, own_fields=further)
    return answer.status


async def handle_streamd_error(error: StreamdError) -> TrioResponse:
    """Answer an error that streamd raised, for Quart."""
    asked = websocket if has_websocket_context() else request
    return answer_error(error, asked.path).as_response()


async def handle_http_exception(error: HTTPException) -> TrioResponse:
    """Answer an error of Quart itself: an unknown path, a wrong method, a body that is too large."""
    # The request refers to the error, whose frames refer to the request: some hundred of these cycles make a
    # collection of 10 to 30 ms.
    error.__traceback__ = error.__context__ = None
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
    return problem_answer(UNEXPECTED).as_response()


def use_problems(app: Quart) -> None:
    """Register the error handlers that answer every error of ``app`` as a problem."""
    app.register_error_handler(StreamdError, handle_streamd_error)
    app.register_error_handler(HTTPException, handle_http_exception)
    app.register_error_handler(500, handle_unexpected)
