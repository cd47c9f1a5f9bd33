"""The errors that streamd raises, and their meaning to a client.

The errors form one small tree. Each class has a stable ``code`` that programs match on, the HTTP
``status`` of its response (RFC 9457, problem details), the WebSocket close code (RFC 6455 section 7.4)
and whether a retry may succeed. Clients receive the code and the exception's sentence; everything else
belongs in the log.
"""

from http import HTTPStatus
from typing import Any, ClassVar


class StreamdError(Exception):
    """The base class of all errors that streamd raises on purpose.

    Args:
        detail: one sentence that clients may see.
        field: the name of the invalid input, if it is one input.
        retry_after_seconds: the time before a retry (s), for the ``Retry-After`` header.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    websocket_close: ClassVar[int] = 1011
    retryable: ClassVar[bool] = False

    def __init__(
        self, detail: str, *, field: str | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after_seconds = retry_after_seconds


class ConfigError(StreamdError):
    """The configuration is invalid. ``field`` is the path of the setting.

    The detail is for the operator, and may name files and addresses; clients never see it.
    """

    code = "config"


class Unreadable(StreamdError):
    """The stored resource is damaged: it cannot be decoded, now or later."""

    code = "unreadable"


# --- errors of the caller -------------------------------------------------------------------


class RequestError(StreamdError):
    """The request is invalid; the same request will not succeed later."""

    code = "bad-request"
    status = 400
    websocket_close = 1008


class InvalidField(RequestError):
    """A field, parameter or header has an invalid value."""

    code = "invalid-field"


class InvalidBody(RequestError):
    """The body does not match its content type: malformed JSON, or another shape."""

    code = "invalid-body"
    websocket_close = 1007


class UnsupportedMediaType(RequestError):
    """The endpoint does not read the content type of the body."""

    code = "unsupported-media-type"
    status = 415


class UnsupportedCoding(UnsupportedMediaType):
    """The body has a content coding that is not read; the header ``Accept-Encoding`` has those that are."""

    code = "unsupported-content-coding"


class TooLarge(RequestError):
    """An event, line or body exceeds its limit."""

    code = "too-large"
    status = 413
    websocket_close = 1009


class TooManyErrors(RequestError):
    """A body of lines ended at its maximum number of wrong lines."""

    code = "too-many-errors"


class Unauthorized(RequestError):
    """The request needs a token, and has none (RFC 6750)."""

    code = "unauthorized"
    status = 401


class InvalidToken(Unauthorized):
    """The token or ticket of the request is malformed, expired, revoked, spent, or of an unknown key."""

    code = "invalid-token"


class Forbidden(RequestError):
    """The caller may not access the resource."""

    code = "forbidden"
    status = 403


class ControlDisabled(Forbidden):
    """The operation needs a setting that is off."""

    code = "control-disabled"


class ReservedTopic(Forbidden):
    """The topic is published by streamd or a service alone."""

    code = "reserved-topic"


class CrossSite(Forbidden):
    """The request comes from a page of another site, which may not change anything here."""

    code = "cross-site"


class MisdirectedHost(RequestError):
    """The server does not answer under the ``Host`` of the request (RFC 9110 section 15.5.20)."""

    code = "misdirected-host"
    status = 421


class NotFound(RequestError):
    """No resource has that name."""

    code = "not-found"
    status = 404


class Gone(RequestError):
    """The resource existed, and was deleted."""

    code = "gone"
    status = 410


class PreconditionFailed(RequestError):
    """The resource is not in the state that the request asks for (RFC 9110 section 13)."""

    code = "precondition-failed"
    status = 412


class TaskExists(RequestError):
    """Another task has the same id."""

    code = "task-exists"
    status = 409


class InvalidTransition(RequestError):
    """The task's status does not allow the operation."""

    code = "invalid-transition"
    status = 409


class LeaseLost(RequestError):
    """The caller does not hold the task's lease: it expired, or another worker has it."""

    code = "lease-lost"
    status = 409


class ConnectionClosing(RequestError):
    """The connection is being closed, and takes no more messages."""

    code = "connection-closing"
    status = 409


class NotReady(RequestError):
    """The task has no result yet; a later request will succeed."""

    code = "not-ready"
    status = 409
    retryable = True


class NoResult(RequestError):
    """The task has no result and will have none: it failed or was cancelled."""

    code = "no-result"
    status = 409


class IdempotencyConflict(RequestError):
    """The idempotency key was used before with other content."""

    code = "idempotency-conflict"
    status = 409


# --- temporary errors of the server -----------------------------------------------------------


class Unavailable(StreamdError):
    """The server cannot serve the request now; the same request may succeed later."""

    code = "unavailable"
    status = 503
    websocket_close = 1013
    retryable = True


class InsufficientStorage(Unavailable):
    """The storage has no room for more; there will be some when data expires. Nothing was stored."""

    code = "insufficient-storage"


class OutcomeUnknown(StreamdError):
    """The connection to the storage was lost while it worked: the change may have been made, or not.

    With an idempotency key, the same request can be sent again without harm.
    """

    code = "outcome-unknown"
    status = 504
    websocket_close = 1011


class TooManyConnections(Unavailable):
    """Every slot for a connection is taken."""

    code = "too-many-connections"


class TooManyForCaller(Unavailable):
    """The address has its maximum number of connections."""

    code = "too-many-for-caller"
    status = 429


class TooManyRequests(Unavailable):
    """The caller has used its share of requests, events or bytes for now."""

    code = "too-many-requests"
    status = 429


class SendQueueFull(Unavailable):
    """The connection's send queue has no room for the message."""

    code = "send-queue-full"


class HubLagging(Unavailable):
    """The fan-out lags behind publishing by more than its limit; nothing was published."""

    code = "hub-lagging"


class ShuttingDown(Unavailable):
    """The server is draining, and accepts no new connections."""

    code = "shutting-down"
    websocket_close = 1012


def problem_members(status: int, code: str, detail: str) -> dict[str, Any]:
    """Build the members of ``application/problem+json`` (RFC 9457) that every problem has."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }


def root_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain of causes, for the log; an error without a cause is its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
