"""The failures that keep a text from beginning, and which of them a retry may help."""

from typing import Final

import trio

from ..errors import StreamdError
from ..outbound import FetchFailed, StreamedResponse

# The body of an error response is only quoted in the log; the status decides.
_BODY_BYTES_MAX: Final = 2000
_BODY_TIMEOUT_SECONDS: Final = 2.0

_SENTENCES: Final = {
    401: "the text service did not accept the configured key",
    403: "the text service did not accept the configured key",
    404: "the text service does not know the configured model or address",
    413: "the text service was asked for more than it takes",
    429: "the text service has too many requests just now",
}


class BeginFailed(StreamdError):
    """One attempt to begin a text failed.

    Attributes:
        detail: one sentence, fit for clients.
        log_detail: for the log only; may quote the server.
        again: a retry may succeed.
    """

    code = "generation-failed"
    status = 502

    def __init__(
        self,
        detail: str,
        log_detail: str = "",
        *,
        again: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds)
        self.log_detail = log_detail
        self.again = again


def is_worth_retrying(failure: StreamdError) -> bool:
    """Return whether a retry may bring the text."""
    return failure.again if isinstance(failure, BeginFailed) else failure.retryable


async def read_rejection(response: StreamedResponse) -> BeginFailed:
    """Return the failure that a response other than 200 stands for, with the beginning of its body."""
    status = response.status
    if status >= 500:
        sentence = f"the text service failed (HTTP {status})"
    else:
        sentence = _SENTENCES.get(status, f"the text service refused the request (HTTP {status})")
    return BeginFailed(
        sentence,
        f"HTTP {status}: {await _read_beginning(response)}",
        again=status == 429 or status >= 500,
        retry_after_seconds=response.retry_after_seconds,
    )


async def _read_beginning(response: StreamedResponse) -> str:
    beginning = bytearray()
    try:
        with trio.move_on_after(_BODY_TIMEOUT_SECONDS):
            while len(beginning) < _BODY_BYTES_MAX and (piece := await response.receive_some()):
                beginning += piece
    except FetchFailed:
        pass  # the status is enough
    return beginning[:_BODY_BYTES_MAX].decode("utf-8", "replace")
