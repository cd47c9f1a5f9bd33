"""The errors streamd raises, and what each of them means to a client.

One small tree. A class states four things once: a stable ``code`` that programs match on, the HTTP
``status`` of its answer (RFC 9457 problem details), the WebSocket close code (RFC 6455 section 7.4)
and whether trying again later helps. Clients get the code and the plain sentence of the exception;
anything else belongs in the log.
"""

from typing import ClassVar


class StreamdError(Exception):
    """Base of everything streamd raises on purpose.

    Args:
        detail: one plain sentence, fit to be shown to a client.
        field: the name of the input that is wrong, if one is.
        retry_after_seconds: when a retry makes sense, for the ``Retry-After`` header.
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
    """The configuration cannot be used. ``field`` is the path of the setting."""

    code = "config"


# --- the caller is at fault -----------------------------------------------------------------


class RequestError(StreamdError):
    """The request cannot be served as it stands; sending it again will not help."""

    code = "bad-request"
    status = 400
    websocket_close = 1008


class InvalidField(RequestError):
    """A field, parameter or header has a value that cannot be accepted."""

    code = "invalid-field"


class InvalidBody(RequestError):
    """The body is not what its content type says (malformed JSON, wrong shape)."""

    code = "invalid-body"
    websocket_close = 1007


class UnsupportedMediaType(RequestError):
    """The body has a content type this endpoint does not read."""

    code = "unsupported-media-type"
    status = 415


class TooLarge(RequestError):
    """An event, line or body is larger than its limit."""

    code = "too-large"
    status = 413
    websocket_close = 1009


class Forbidden(RequestError):
    """Whoever asks may not have this."""

    code = "forbidden"
    status = 403


class NotFound(RequestError):
    """Nothing is known under that name."""

    code = "not-found"
    status = 404


class Gone(RequestError):
    """It was here, and is not kept any more."""

    code = "gone"
    status = 410


class TaskExists(RequestError):
    """Another task has that id."""

    code = "task-exists"
    status = 409


class InvalidTransition(RequestError):
    """The task's status does not allow that."""

    code = "invalid-transition"
    status = 409


class LeaseLost(RequestError):
    """Whoever asks does not hold the task: another worker does, or nobody any more."""

    code = "lease-lost"
    status = 409


class NotReady(RequestError):
    """There is no result yet; asking again later will help."""

    code = "not-ready"
    status = 409
    retryable = True


class NoResult(RequestError):
    """There is no result, and there will be none: the task failed or was cancelled."""

    code = "no-result"
    status = 409


class IdempotencyConflict(RequestError):
    """The idempotency key was used before, by the same publisher, with other content."""

    code = "idempotency-conflict"
    status = 409


# --- the server cannot, just now ------------------------------------------------------------


class Unavailable(StreamdError):
    """The server cannot do this at the moment; the same request may succeed later."""

    code = "unavailable"
    status = 503
    websocket_close = 1013
    retryable = True


class TooManyConnections(Unavailable):
    """Every place for a connection is taken."""

    code = "too-many-connections"


class TooManyForCaller(Unavailable):
    """This user or address holds as many connections as it may."""

    code = "too-many-for-caller"
    status = 429


class HubLagging(Unavailable):
    """Publishing is ahead of delivery by more than the bound; nothing was published."""

    code = "hub-lagging"


class ShuttingDown(Unavailable):
    """The server is draining and takes nothing new."""

    code = "shutting-down"
    websocket_close = 1012
