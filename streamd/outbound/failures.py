"""The errors of a request to another server, and the meaning of httpx's exceptions.

The ``detail`` of every error is fit for clients: it names the reason, and neither a host, an address nor a
header of the request. The exception of httpx, which may, is the ``__cause__``.
"""

import httpx

from ..errors import StreamdError


class FetchFailed(StreamdError):
    """The request brought no usable response."""

    code = "fetch-failed"
    status = 502


class ConnectionFailed(FetchFailed):
    """There was no connection to the server, or it was lost."""

    retryable = True


class ResponseBroken(FetchFailed):
    """The response was cut off, is not HTTP, or does not decode as its ``Content-Encoding`` says."""

    retryable = True


class ResponseTimeout(FetchFailed):
    """The response, its head or its next piece did not arrive in time."""

    retryable = True


class DeadlinePassed(ResponseTimeout):
    """The deadline of all attempts passed before the first of them had succeeded or failed."""

    retryable = False


class ResponseTooLarge(FetchFailed):
    """The body is larger than its limit. The rest of it was not read."""


class UnsendableRequest(FetchFailed):
    """The request itself is no valid HTTP: an illegal header, an unknown scheme. A retry would fail too."""


class AttemptFailed(FetchFailed):
    """The response was read, and a retry may bring a better one. Raised by the caller's reader."""

    retryable = True


def failure_of(error: httpx.HTTPError | httpx.StreamError) -> FetchFailed:
    """Return the error to raise from an exception of httpx."""
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return UnsendableRequest("the request cannot be sent")
    if isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
        return ResponseBroken("the answer was cut off or cannot be read")
    if isinstance(error, httpx.ConnectError):
        return ConnectionFailed("no connection could be made")
    return ConnectionFailed("the connection was lost")
