"""HTTP requests of the client: outbound's responses, with the client's errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from ..outbound import FetchFailed, ResponseTimeout, ResponseTooLarge, StreamedResponse, open_response
from .errors import ProtocolError, RequestFailed, Unreachable, Untrusted, connection_error, failed
from .problem import read_problem

PROBLEM_BYTES_MAX: Final = 65_536  # the body of an error response; a problem document is much smaller


@asynccontextmanager
async def open_answer(
    client: httpx.AsyncClient, request: httpx.Request, *, seconds: float
) -> AsyncIterator[StreamedResponse]:
    """Send a request and yield its response; the end of the block gives up the rest of it.

    Args:
        client: sends the request.
        request: its body, if any, is set by :func:`streamd.outbound.with_body`.
        seconds: the maximum wait for the head of the response (s).

    Raises:
        Unreachable: no connection, no response in time, or the connection was lost; also from the block.
        Untrusted: the certificate is not trusted.
        ProtocolError: the response is larger than the block reads.
    """
    try:
        async with open_response(client, request, head_timeout_seconds=seconds) as response:
            yield response
    except FetchFailed as failure:
        raise _client_error(failure, request.url) from failure


async def read_rejection(response: StreamedResponse, seconds: float) -> RequestFailed | ProtocolError:
    """Return the error of a response that is not the one the caller needs.

    Args:
        response: its body is read if the status says that there is a problem document.
        seconds: the maximum wait for each piece of the body (s).
    """
    if response.status < 400:
        return ProtocolError(f"{response.url} answered {response.status}: is the URL right?")
    try:
        body = await response.read(max_bytes=PROBLEM_BYTES_MAX, timeout_seconds=seconds)
    except FetchFailed:
        body = b""  # the status says enough
    return failed(read_problem(response.status, response.headers, body))


def _client_error(failure: FetchFailed, url: httpx.URL) -> Unreachable | Untrusted | ProtocolError:
    match failure:
        case ResponseTooLarge():
            return ProtocolError(f"{url}: {failure.detail}")
        case ResponseTimeout():
            return Unreachable(failure.detail)
        case _:
            return connection_error(failure.__cause__ or failure)
