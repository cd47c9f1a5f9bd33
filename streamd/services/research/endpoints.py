"""Datasets behind HTTP endpoints: one GET, retried if a retry can help."""

from collections.abc import Mapping
from functools import partial
from http.client import responses
from typing import Any, Final

import attrs
import structlog
import trio

from ...errors import StreamdError, root_cause
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
    open_client,
)
from .files import select
from .query import ResearchQuery
from .sources import NothingKnown, SourceFailed, SourceReport, decode_json
from .templates import Template, UrlTemplate

# Progress of a long answer is reported after this many bytes, and after this time with any. A server that
# trickles must not make an event of every byte.
_REPORT_BYTES: Final = 65_536
_REPORT_SECONDS: Final = 1.0
_RETRIED_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_UNKNOWN_STATUSES: Final = frozenset({204, 404, 410})

_log = structlog.get_logger(__name__)


@attrs.frozen
class HttpSource:
    """An HTTP endpoint that answers GET with JSON. Redirects are not followed."""

    title: str  # of the dataset
    url: UrlTemplate
    entry: tuple[Template, ...] = ()  # names of members that lead to the data, each inside the one before
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)  # may hold keys
    timeout_seconds: float = 10.0  # of one attempt, its body included
    attempts: int = 3
    retry_seconds: float = 0.5  # before the second attempt; doubled for each further one
    max_wait_seconds: float = 30.0  # between two attempts; an endpoint that asks for more is not retried

    kind: Final = "http"

    @property
    def label(self) -> str:
        return f"the source of {self.title!r}"

    @property
    def origin(self) -> str:
        return self.url.host

    async def fetch(self, query: ResearchQuery, max_bytes: int, report: SourceReport) -> Any:
        """See :meth:`.sources.DataSource.fetch`. Cancelling closes the connection."""
        await report(f"requesting {self.title}")
        content = await self._get(query, max_bytes, report)
        return select(decode_json(content, f"the answer of {self.label}"), self.entry, query)

    async def _get(self, query: ResearchQuery, max_bytes: int, report: SourceReport) -> bytes:
        async def on_retry(notice: RetryNotice) -> None:
            sentence = self._describe(notice.failure)
            cause = root_cause(notice.failure)
            _log.warning(
                "dataset_retried",
                title=self.title,
                origin=self.origin,
                reason=sentence,
                cause=None if cause is notice.failure else repr(cause),
                attempts=notice.attempts,
                wait_seconds=round(notice.wait_seconds, 3),
            )
            await report(f"{self.label} {sentence}; trying again in {notice.wait_seconds:.1f} s")

        # A compressed answer would turn the limit on its size into one on something else.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **self.headers}
        backoff = Backoff(initial_seconds=self.retry_seconds, max_seconds=self.max_wait_seconds)
        async with open_client() as client:
            try:
                return await fetch(
                    client,
                    client.build_request("GET", self.url.fill(query), headers=headers),
                    partial(self._read, query=query, max_bytes=max_bytes, report=report),
                    policy=RetryPolicy(
                        attempts=self.attempts, backoff=backoff, max_wait_seconds=self.max_wait_seconds
                    ),
                    attempt_timeout_seconds=self.timeout_seconds,
                    decode=False,
                    on_retry=on_retry,
                )
            except RetriesExhausted as exhausted:
                number = exhausted.attempts
                attempts = "" if number == 1 else f" (try {number} of {self.attempts})"
                sentence = self._describe(exhausted.failure)
                raise SourceFailed(f"{self.label} {sentence}{attempts}") from exhausted
            except ResponseTooLarge as error:
                raise SourceFailed(f"the answer of {self.label} is larger than {max_bytes} bytes") from error
            except FetchFailed as error:
                raise SourceFailed(f"{self.label} {self._describe(error)}") from error

    async def _read(
        self, response: StreamedResponse, *, query: ResearchQuery, max_bytes: int, report: SourceReport
    ) -> bytes:
        """Read the body of an answer, and report its progress."""
        self._check_head(response, query)
        content = bytearray()
        length = response.content_length
        reported_bytes, reported_at = 0, trio.current_time()
        async for piece in response.pieces(max_bytes=max_bytes):
            content += piece
            now = trio.current_time()
            if len(content) - reported_bytes >= _REPORT_BYTES or now - reported_at >= _REPORT_SECONDS:
                reported_bytes, reported_at = len(content), now
                percent = 100 * len(content) / length if length else None
                await report(f"{len(content)} bytes of {self.title}", percent)
        return bytes(content)

    def _check_head(self, response: StreamedResponse, query: ResearchQuery) -> None:
        status = response.status
        sentence = f"answered {status} {responses.get(status, '')}".rstrip()
        if status in _RETRIED_STATUSES:
            raise AttemptFailed(sentence, retry_after_seconds=response.retry_after_seconds)
        if status in _UNKNOWN_STATUSES:
            raise NothingKnown(query)
        if status != 200:
            raise SourceFailed(f"{self.label} {sentence}")
        if response.is_encoded:
            raise SourceFailed(f"{self.label} answered compressed, which was not asked for")

    def _describe(self, failure: StreamdError) -> str:
        """Return the predicate of a sentence about the source."""
        match failure:
            case AttemptFailed():
                return failure.detail
            case ResponseTimeout():
                return f"did not answer within {self.timeout_seconds:g} s"
            case ResponseBroken():
                return "cut its answer off"
            case _:
                return "cannot be reached"
