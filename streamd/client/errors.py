"""The errors of the client. They belong to the tree of :mod:`streamd.errors`."""

import ssl
from collections.abc import Iterator
from typing import Final

from ..errors import StreamdError
from .problem import Problem

BUSY_STATUSES: Final = frozenset({429, 502, 503, 504})
"""The statuses of a server, or a proxy in front of it, that will serve the request later."""


class RequestFailed(StreamdError):
    """The server rejected the request, and would reject it again. ``problem`` has the reason."""

    code = "request-failed"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail, field=problem.field, retry_after_seconds=problem.retry_after_seconds)
        self.problem = problem

    def __str__(self) -> str:
        where = f", field {self.problem.field!r}" if self.problem.field else ""
        return f"{self.problem.detail} ({self.problem.status} {self.problem.code}{where})"


class ServerBusy(RequestFailed):
    """The server cannot serve the request now (429, 502, 503 or 504). A retry may succeed."""

    code = "server-busy"
    retryable = True


class Unreachable(StreamdError):
    """There is no connection, or it was lost or silent for too long."""

    code = "unreachable"
    retryable = True


class ProtocolError(StreamdError):
    """The server does not speak streamd's protocol. The URL may be wrong."""

    code = "protocol-error"


class Untrusted(StreamdError):
    """The server's certificate is not trusted. A retry would fail too."""

    code = "untrusted-certificate"


def connection_error(error: BaseException) -> Unreachable | Untrusted:
    """Return the error of a failed connection, with the first message in its chain of causes."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Untrusted(str(cause))
    messages = [str(cause) for cause in _causes(error) if str(cause)]
    return Unreachable(messages[0] if messages else type(error).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def failed(problem: Problem) -> RequestFailed:
    """Return the error of a problem: :class:`ServerBusy` if a retry may help."""
    return (ServerBusy if problem.status in BUSY_STATUSES else RequestFailed)(problem)
