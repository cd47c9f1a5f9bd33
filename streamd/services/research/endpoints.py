"""Datasets behind HTTP endpoints: one GET, retried where that can help."""

import ssl
from functools import cached_property, partial
from http import HTTPStatus
from typing import Any, Final

import httpx
import trio

from ...errors import StreamdError
from ...outbound import (
    AttemptFailed,
    Backoff,
    FetchFailed,
    ResponseBroken,
    ResponseTimeout,
    ResponseTooLarge,
    RetriesExhausted,
    RetryNotice,
    RetryPolicy,
    StreamedResponse,
    fetch,
)
from .files import decode
from .sources import HttpSource, NothingKnown, Report, SourceFailed
from .templates import Query

# A session has a time limit, so an endpoint that asks for a longer wait is not retried.
_MAX_WAIT_SECONDS: Final = 30.0
# Progress of a long answer is reported after this many bytes, and after this time with any. A server that
# trickles must not make an event of every byte.
_REPORT_BYTES: Final = 65_536
_REPORT_SECONDS: Final = 1.0
_RETRIED_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_UNKNOWN_STATUSES: Final = frozenset({204, 404, 410})


class Endpoints:
    """Fetches JSON from HTTP endpoints. Redirects are not followed: the configuration names the endpoint."""

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()  # takes tens of milliseconds, and is the same for all

    async def fetch(self, source: HttpSource, query: Query, max_bytes: int, report: Report) -> Any:
        """Return the JSON of the endpoint's answer.

        Args:
            source: the endpoint.
            query: fills the URL's template.
            max_bytes: the maximum size of the answer (bytes).
            report: called with the progress of a long answer, and before each wait.

        Raises:
            NothingKnown: the endpoint does not know the company (204, 404, 410).
            SourceFailed: the endpoint rejected the request, no attempt succeeded, or the answer is too large
                or no JSON.

        Cancelling closes the connection.
        """

        async def on_retry(notice: RetryNotice) -> None:
            sentence = _sentence(notice.failure, source)
            await report(f"{source.shown} {sentence}; trying again in {notice.wait_seconds:.1f} s")

        # A compressed answer would turn the limit on its size into one on something else.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **source.headers}
        async with httpx.AsyncClient(verify=self._tls, timeout=None) as client:  # noqa: S113 - fetch has one
            try:
                content = await fetch(
                    client,
                    client.build_request("GET", source.url.fill(query), headers=headers),
                    partial(_read, source=source, query=query, max_bytes=max_bytes, report=report),
                    policy=_make_policy(source),
                    attempt_timeout_seconds=source.timeout_seconds,
                    decode=False,
                    on_retry=on_retry,
                )
            except RetriesExhausted as exhausted:
                number = exhausted.attempts
                attempts = "" if number == 1 else f" (try {number} of {source.attempts})"
                sentence = _sentence(exhausted.failure, source)
                raise SourceFailed(f"{source.shown} {sentence}{attempts}") from exhausted
            except ResponseTooLarge as error:
                raise SourceFailed(
                    f"the answer of {source.shown} is larger than {max_bytes} bytes"
                ) from error
            except FetchFailed as error:
                raise SourceFailed(f"{source.shown} {_sentence(error, source)}") from error
        return decode(content, f"the answer of {source.shown}")


def _make_policy(source: HttpSource) -> RetryPolicy:
    backoff = Backoff(initial_seconds=source.retry_seconds, max_seconds=_MAX_WAIT_SECONDS)
    return RetryPolicy(attempts=source.attempts, backoff=backoff, max_wait_seconds=_MAX_WAIT_SECONDS)


async def _read(
    response: StreamedResponse, *, source: HttpSource, query: Query, max_bytes: int, report: Report
) -> bytes:
    """Read the body of an answer, and report its progress."""
    _check_head(response, source, query)
    content = bytearray()
    length = response.content_length
    reported_bytes, reported_at = 0, trio.current_time()
    async for piece in response.pieces(max_bytes=max_bytes):
        content += piece
        now = trio.current_time()
        if len(content) - reported_bytes >= _REPORT_BYTES or now - reported_at >= _REPORT_SECONDS:
            reported_bytes, reported_at = len(content), now
            percent = 100 * len(content) / length if length else None
            await report(f"{len(content)} bytes from {source.shown}", percent)
    return bytes(content)


def _check_head(response: StreamedResponse, source: HttpSource, query: Query) -> None:
    status = response.status
    sentence = f"answered {status} {_phrase(status)}".rstrip()
    if status in _RETRIED_STATUSES:
        raise AttemptFailed(sentence, retry_after_seconds=response.retry_after_seconds)
    if status in _UNKNOWN_STATUSES:
        raise NothingKnown(query)
    if status != HTTPStatus.OK:
        raise SourceFailed(f"{source.shown} {sentence}")
    if response.is_encoded:
        raise SourceFailed(f"{source.shown} answered compressed, which was not asked for")


def _sentence(failure: StreamdError, source: HttpSource) -> str:
    """Return the predicate of a sentence about the source."""
    match failure:
        case AttemptFailed():
            return failure.detail
        case ResponseTimeout():
            return f"did not answer within {source.timeout_seconds:g} s"
        case ResponseBroken():
            return "cut its answer off"
        case _:
            return "cannot be reached"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
