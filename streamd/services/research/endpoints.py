"""Datasets behind HTTP endpoints: one GET, retried where that can help."""

import ssl
from collections.abc import AsyncIterator
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final

import httpx
import trio

from ...outbound.backoff import Backoff
from ...outbound.fetch import read_retry_after
from .files import decode
from .sources import HttpSource, NothingKnown, Report, SourceFailed
from .templates import Query

_MAX_WAIT_SECONDS: Final = 30.0  # one wait between tries; who asks for more has to be asked another day
_TOLD_BYTES: Final = 65_536  # after so many more bytes, and
_TOLD_SECONDS: Final = 1.0  # after so long with any, the progress of an answer is told
_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_UNKNOWN: Final = frozenset({204, 404, 410})


class _WorthAnotherTry(Exception):
    """It may be better the next time. The text is a plain sentence."""

    def __init__(self, text: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class Endpoints:
    """Fetches JSON. Redirects are not followed: where an endpoint leads is the configuration's to say."""

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()  # takes a while, and is the same for all

    async def fetch(self, source: HttpSource, query: Query, max_bytes: int, report: Report) -> Any:
        """The JSON of the answer, whole. Cancelled, the connection is closed and nothing is left behind.

        Raises:
            NothingKnown: the endpoint does not know the company (204, 404, 410).
            SourceFailed: it refused, every try failed, or the answer is too large or no JSON.
        """
        url = source.url.fill(query)
        waits = Backoff(initial_seconds=source.retry_seconds, max_seconds=_MAX_WAIT_SECONDS)
        async with httpx.AsyncClient(verify=self._tls, timeout=None) as client:  # noqa: S113 - _try bounds it
            for number in range(1, source.attempts + 1):
                try:
                    content = await self._try(client, url, source, query, max_bytes, report)
                except _WorthAnotherTry as error:
                    asked = error.retry_after_seconds or 0.0
                    if number == source.attempts or asked > _MAX_WAIT_SECONDS:
                        tries = "" if number == 1 else f" (try {number} of {source.attempts})"
                        raise SourceFailed(f"{source.shown} {error}{tries}") from error
                    wait = waits.delay(number - 1, at_least_seconds=asked)
                    await report(f"{source.shown} {error}; trying again in {wait:.1f} s")
                    await trio.sleep(wait)
                else:
                    return decode(content, f"the answer of {source.shown}")
        raise AssertionError("the last try returns or raises")

    async def _try(
        self,
        client: httpx.AsyncClient,
        url: str,
        source: HttpSource,
        query: Query,
        max_bytes: int,
        report: Report,
    ) -> bytes:
        # Compressed answers would make the bound on their size one on something else.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **source.headers}
        try:
            with trio.fail_after(source.timeout_seconds):
                async with client.stream("GET", url, headers=headers) as response:
                    _check_head(response, source, query, max_bytes)
                    return await _read(response, source, max_bytes, report)
        except trio.TooSlowError as error:
            raise _WorthAnotherTry(f"did not answer within {source.timeout_seconds:g} s") from error
        except httpx.RemoteProtocolError as error:
            raise _WorthAnotherTry("cut its answer off") from error
        except httpx.TransportError as error:
            raise _WorthAnotherTry("cannot be reached") from error


def _check_head(response: httpx.Response, source: HttpSource, query: Query, max_bytes: int) -> None:
    status = response.status_code
    said = f"answered {status} {_phrase(status)}".rstrip()
    if status in _RETRIED:
        raise _WorthAnotherTry(said, read_retry_after(response.headers.get("retry-after")))
    if status in _UNKNOWN:
        raise NothingKnown(query)
    if status != HTTPStatus.OK:
        raise SourceFailed(f"{source.shown} {said}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise SourceFailed(f"{source.shown} answered compressed, which was not asked for")
    if int(response.headers.get("content-length", 0)) > max_bytes:  # httpx's parser has checked the number
        raise _too_large(source, max_bytes)


async def _read(response: httpx.Response, source: HttpSource, max_bytes: int, report: Report) -> bytes:
    content = bytearray()
    length = int(response.headers.get("content-length", 0))
    told_bytes, told_at = 0, trio.current_time()
    parts = response.aiter_raw()
    try:
        async for part in parts:
            content += part
            if len(content) > max_bytes:
                raise _too_large(source, max_bytes)
            # Not for every part: a server that trickles must not make an event of every byte.
            if len(content) - told_bytes >= _TOLD_BYTES or trio.current_time() - told_at >= _TOLD_SECONDS:
                told_bytes, told_at = len(content), trio.current_time()
                percent = 100 * len(content) / length if length else None
                await report(f"{len(content)} bytes from {source.shown}", percent)
    finally:
        await _unwind(parts)
    return bytes(content)


async def _unwind(parts: AsyncIterator[bytes]) -> None:
    """End httpx's generators while they are at work; those left behind would each be warned about."""
    with trio.CancelScope(shield=True) as scope:
        scope.cancel()
        try:
            async for _ in parts:
                pass
        except httpx.HTTPError:
            pass  # we are leaving anyway


def _too_large(source: HttpSource, max_bytes: int) -> SourceFailed:
    return SourceFailed(f"the answer of {source.shown} is larger than {max_bytes} bytes")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
