"""HTTP requests to other servers: retries, deadlines, byte limits, and connections that are always closed.

Imports httpx, trio and :mod:`streamd.errors`; knows nothing else of streamd.

===============  =====================================================================
``fetch``        :func:`fetch` and :func:`fetch_stream`: one request, retried
``client``       :func:`open_client`: the client of such requests, and its trusted authorities
``retry``        :class:`RetryPolicy` and :class:`RetryLoop`: the bounds and the loop
``backoff``      :class:`Backoff` and :func:`read_retry_after`: the wait between attempts
``response``     :func:`open_response`: one response, read in pieces
``body``         :func:`with_body`: a request body that survives cancellation
``bounds``       bounds on interim responses, heads, and bytes read at once
``handshake``    the socket of a cancelled TLS handshake, which httpcore leaves open
``failures``     the errors, and the meaning of httpx's exceptions
``urls``         checks of configured URLs and keys
``addresses``    :func:`is_public_address`: the guard of URLs that clients send
===============  =====================================================================

A request is sent by a client that the caller owns, such as one of :func:`open_client`::

    async def read(response: StreamedResponse) -> bytes:
        if response.status >= 500:
            raise AttemptFailed("the server failed", retry_after_seconds=response.retry_after_seconds)
        return await response.read(max_bytes=65_536)

    body = await fetch(client, request, read, policy=RetryPolicy(attempts=4), attempt_timeout_seconds=30)
"""

from .addresses import is_public_address
from .backoff import MAX_RETRY_AFTER_SECONDS, Backoff, read_retry_after
from .body import with_body
from .client import open_client, system_trust
from .failures import (
    AttemptFailed,
    ConnectionFailed,
    DeadlinePassed,
    FetchFailed,
    ResponseBroken,
    ResponseTimeout,
    ResponseTooLarge,
    UnsendableRequest,
)
from .fetch import fetch, fetch_stream
from .response import StreamedResponse, open_response
from .retry import RetriesExhausted, RetryBound, RetryLoop, RetryNotice, RetryPolicy
from .urls import has_password, is_http_url, is_token

__all__ = [
    "MAX_RETRY_AFTER_SECONDS",
    "AttemptFailed",
    "Backoff",
    "ConnectionFailed",
    "DeadlinePassed",
    "FetchFailed",
    "ResponseBroken",
    "ResponseTimeout",
    "ResponseTooLarge",
    "RetriesExhausted",
    "RetryBound",
    "RetryLoop",
    "RetryNotice",
    "RetryPolicy",
    "StreamedResponse",
    "UnsendableRequest",
    "fetch",
    "fetch_stream",
    "has_password",
    "is_http_url",
    "is_public_address",
    "is_token",
    "open_client",
    "open_response",
    "read_retry_after",
    "system_trust",
    "with_body",
]
