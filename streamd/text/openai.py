"""Generate text with an OpenAI-compatible API, streamed over HTTP."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import PurePath
from typing import Final, NoReturn, Self

import httpx
import msgspec
import structlog
import trio

from ..errors import StreamdError
from ..outbound import (
    Backoff,
    DeadlinePassed,
    FetchFailed,
    ResponseTimeout,
    RetriesExhausted,
    RetryNotice,
    RetryPolicy,
    StreamedResponse,
    fetch_stream,
    open_client,
    system_trust,
    with_body,
)
from .completion import BROKE_OFF, BrokenCompletion, Completion
from .failures import BeginFailed, is_worth_retrying, read_rejection
from .port import GenerationFailed, Prompt
from .settings import TextSettings

_EVENT_STREAM: Final = "text/event-stream"

log = structlog.get_logger(__name__)


class OpenAIGenerator:
    """Streams texts from ``{url}/chat/completions``.

    Each text has its own connection, closed at its end: the next text must not meet a connection that fell
    silent, and there is nothing to close at shutdown.

    Args:
        settings: the ``text`` section, with a URL and a model, as :func:`~.choose.make_generator` checks it.

    Attributes:
        name: the model's name, without the folders of a model that is named by its path.
    """

    def __init__(self, settings: TextSettings) -> None:
        self.name: Final = PurePath(settings.model).name if _is_path(settings.model) else settings.model
        self._settings = settings
        base = httpx.URL(settings.url)
        self._url = base.copy_with(path=base.path.rstrip("/") + "/chat/completions")
        system_trust()  # not with the first request
        backoff = Backoff(
            initial_seconds=settings.retry.backoff_seconds,
            max_seconds=settings.retry.max_wait_seconds,
        )
        self._policy = RetryPolicy(attempts=settings.retry.attempts, backoff=backoff)

    @asynccontextmanager
    async def generate(self, prompt: Prompt) -> AsyncIterator[AsyncIterator[str]]:
        text = _TextStream(self._settings, prompt.purpose)
        async with (
            open_client() as client,
            AsyncExitStack() as stack,
        ):
            opening = fetch_stream(
                client,
                self._request(client, prompt),
                text.begin,
                policy=self._policy,
                head_timeout_seconds=self._settings.idle_seconds,
                deadline=text.deadline,
                decode=False,
                on_retry=text.log_retry,
                retry_on=is_worth_retrying,
            )
            try:
                await stack.enter_async_context(opening)
            except RetriesExhausted as exhausted:
                text.fail_to_begin(exhausted.failure)
            except (BeginFailed, FetchFailed) as failure:
                text.fail_to_begin(failure)
            yield text

    def _request(self, client: httpx.AsyncClient, prompt: Prompt) -> httpx.Request:
        headers = {
            "Content-Type": "application/json",
            "Accept": _EVENT_STREAM,
            # A compressor may hold text back, and a small body may unpack to more than fits into memory.
            "Accept-Encoding": "identity",
            "User-Agent": "streamd",
        }
        if self._settings.api_key:
            headers["Authorization"] = f"Bearer {self._settings.api_key}"
        body = {
            "model": self._settings.model,
            "stream": True,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
        }
        return with_body(client.build_request("POST", self._url, headers=headers), msgspec.json.encode(body))


def _is_path(model: str) -> bool:
    """Return True for a path on the API's machine, as some servers name models; not for ``owner/model``."""
    return model.startswith(("/", "./", "../", "~"))


class _TextStream:
    """An iterator over the pieces of one text. The timeout of the whole text runs from its making.

    No async generator: a reader that stops early leaves nothing to the garbage collector.

    Attributes:
        deadline: of the whole text, in the time of trio's clock.
    """

    def __init__(self, settings: TextSettings, purpose: str) -> None:
        self.deadline = trio.current_time() + settings.timeout_seconds
        self._settings = settings
        self._log = log.bind(purpose=purpose, model=settings.model)
        self._response: StreamedResponse | None = None
        self._completion = Completion(max_text_bytes=settings.max_text_bytes)
        self._first: str | None = None  # read to make sure that the text has begun

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        """Return the next piece.

        Raises:
            GenerationFailed: the text does not go on.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            piece = await self._read_piece()
        except BrokenCompletion as broken:
            self._fail(broken.sentence, broken.detail)
        except ResponseTimeout:
            self._fail(self._silent())
        except FetchFailed as failure:
            self._fail(BROKE_OFF, repr(failure.__cause__))
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def begin(self, response: StreamedResponse) -> None:
        """Read a response up to its first piece of text. A text that has begun is not requested again.

        Raises:
            BeginFailed: the response is no text.
            FetchFailed: the response was cut off or fell silent.
        """
        self._response = response
        self._completion = Completion(max_text_bytes=self._settings.max_text_bytes)
        if response.status != 200:
            raise await read_rejection(response)
        if response.content_type != _EVENT_STREAM:
            raise BeginFailed(
                "the text service did not answer with a stream of text",
                f"content type {response.headers.get('content-type')!r}",
            )
        if response.is_encoded:
            raise BeginFailed("the text service sent what cannot be read", "compressed, though asked not to")
        try:
            self._first = await self._read_piece()
        except BrokenCompletion as broken:
            raise BeginFailed(broken.sentence, broken.detail, again=broken.again) from broken

    def fail_to_begin(self, failure: StreamdError) -> NoReturn:
        """Log the failure of the last attempt, and raise it as :class:`.port.GenerationFailed`."""
        match failure:
            case BeginFailed():
                self._fail(failure.detail, _log_detail(failure))
            case DeadlinePassed():
                self._fail(self._too_late(), "no text in time")
            case ResponseTimeout():
                self._fail(self._silent())
            case _:
                self._fail("the text service could not be reached", _log_detail(failure))

    async def log_retry(self, notice: RetryNotice) -> None:
        """Log a failed attempt that will be retried."""
        await trio.lowlevel.checkpoint()
        self._log.warning(
            "text_generation_retried",
            reason=notice.failure.detail,
            detail=self._mask(_log_detail(notice.failure)),
            attempts=notice.attempts,
            wait_seconds=round(notice.wait_seconds, 3),
        )

    async def _read_piece(self) -> str | None:
        """Return the text that has arrived, in one piece; None at the proper end of the text."""
        completion = self._completion
        while (text := completion.next_text()) is None and not completion.ended:
            if data := await self._receive():
                completion.receive_data(data)
            else:
                completion.receive_end()
        return text

    async def _receive(self) -> bytes:
        """Return the next bytes of the body, none at its end. A comment also resets the idle timeout."""
        assert self._response is not None
        with trio.move_on_at(self.deadline):
            return await self._response.receive_some(self._settings.idle_seconds)
        raise BrokenCompletion(self._too_late())

    def _silent(self) -> str:
        return f"the text service said nothing for {self._settings.idle_seconds:g} s"

    def _too_late(self) -> str:
        return f"the text was not complete after {self._settings.timeout_seconds:g} s"

    def _fail(self, sentence: str, detail: str = "") -> NoReturn:
        """Log a failure with its detail, and raise it with its sentence.

        The error keeps no cause: a cause may quote the request, and the request has the key.
        """
        self._log.warning("text_generation_failed", reason=sentence, detail=self._mask(detail))
        raise GenerationFailed(sentence) from None

    def _mask(self, detail: str) -> str:
        key = self._settings.api_key
        return detail.replace(key, "***") if key else detail


def _log_detail(failure: StreamdError) -> str:
    """Return the detail of a failed attempt, for the log alone."""
    if isinstance(failure, BeginFailed):
        return failure.log_detail
    return "" if failure.__cause__ is None else repr(failure.__cause__)
