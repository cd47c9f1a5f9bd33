"""What goes wrong on the client's side of the wire. Part of the tree of :mod:`streamd.errors`."""

import ssl
from collections.abc import Iterator
from typing import Final

from ..errors import StreamdError
from .problem import Problem

BUSY_STATUSES: Final = frozenset({429, 502, 503, 504})
"""Answers of a server, or of the proxy before it, that is expected back."""


class RequestFailed(StreamdError):
    """The server refused the request; sending it again will not help. ``problem`` says why."""

    code = "request-failed"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail, field=problem.field, retry_after_seconds=problem.retry_after_seconds)
        self.problem = problem

    def __str__(self) -> str:
        where = f", field {self.problem.field!r}" if self.problem.field else ""
        return f"{self.problem.detail} ({self.problem.status} {self.problem.code}{where})"


class ServerBusy(RequestFailed):
    """The server cannot serve the request now (429, 502, 503 or 504); it may later."""

    code = "server-busy"
    retryable = True


class Unreachable(StreamdError):
    """No connection, or it was lost, or it fell silent."""

    code = "unreachable"
    retryable = True


class ProtocolError(StreamdError):
    """What answers does not speak streamd's protocol: is the URL right?"""

    code = "protocol-error"


class Untrusted(StreamdError):
    """The server's certificate is not to be trusted. Waiting does not mend that, so nobody waits."""

    code = "untrusted-certificate"


def connection_error(error: BaseException) -> Unreachable | Untrusted:
    """The error of a failed connection. Libraries wrap what happened; the innermost words say it best."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Untrusted(str(cause))
    said = [str(cause) for cause in _causes(error) if str(cause)]
    return Unreachable(said[0] if said else type(error).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def failed(problem: Problem) -> RequestFailed:
    """The error of a problem, :class:`ServerBusy` where another try may help."""
    return (ServerBusy if problem.status in BUSY_STATUSES else RequestFailed)(problem)
