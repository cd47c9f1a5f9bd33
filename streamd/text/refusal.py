"""Why a text could not begin, and whether asking again may help."""

from collections.abc import AsyncIterator
from typing import Final

import httpx
import trio

from ..outbound.fetch import read_retry_after

_BODY_BYTES_MAX: Final = 2000  # of an error answer, for the log
_BODY_SECONDS: Final = 2.0  # how long it is read; the status has said enough

_SENTENCES: Final = {
    401: "the text service did not accept the configured key",
    403: "the text service did not accept the configured key",
    404: "the text service does not know the configured model or address",
    413: "the text service was asked for more than it takes",
    429: "the text service has too many requests just now",
}


class BeginFailed(Exception):
    """One try to begin a text failed.

    Attributes:
        sentence: for clients.
        detail: for the log; may quote the server.
        again: another try may succeed.
        retry_after_seconds: how long the server wants to be left alone, if it said so.
    """

    def __init__(
        self,
        sentence: str,
        detail: str = "",
        *,
        again: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(sentence)  # the sentence alone: stamina logs this between tries
        self.sentence = sentence
        self.detail = detail
        self.again = again
        self.retry_after_seconds = retry_after_seconds


def judge_transport(error: httpx.HTTPError) -> BeginFailed:
    """What a failure of httpx means; one that our own request is to blame for would come again."""
    ours = isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol)
    return BeginFailed("the text service could not be reached", repr(error), again=not ours)


async def read_refusal(response: httpx.Response, body: AsyncIterator[bytes]) -> BeginFailed:
    """What an answer that is not 200 means. Reads the beginning of its body, for the log.

    Args:
        response: its head.
        body: the caller ends it.
    """
    status = response.status_code
    if status >= 500:
        sentence = f"the text service failed (HTTP {status})"
    else:
        sentence = _SENTENCES.get(status, f"the text service refused the request (HTTP {status})")
    return BeginFailed(
        sentence,
        f"HTTP {status}: {await _read_beginning(body)}",
        again=status == 429 or status >= 500,
        retry_after_seconds=read_retry_after(response.headers.get("retry-after")),
    )


async def _read_beginning(body: AsyncIterator[bytes]) -> str:
    beginning = bytearray()
    try:
        with trio.move_on_after(_BODY_SECONDS):
            while len(beginning) < _BODY_BYTES_MAX and (part := await anext(body, b"")):
                beginning += part
    except httpx.HTTPError:
        pass  # the status says enough
    return beginning[:_BODY_BYTES_MAX].decode("utf-8", "replace")
