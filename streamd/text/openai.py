"""Text from an OpenAI-compatible API, streamed over HTTP."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NoReturn, Self

import httpx
import msgspec
import stamina
import structlog
import trio

from ..outbound.fetch import with_body
from .completion import BROKE_OFF, Broken, Completion
from .port import GenerationFailed, Prompt
from .refusal import BeginFailed, judge_transport, read_refusal
from .settings import TextSettings

_EVENT_STREAM: Final = "text/event-stream"
# Waits between tries stop doubling here: with a person waiting, a longer pause is as good as a failure.
_RETRY_SECONDS_MAX: Final = 8.0

log = structlog.get_logger(__name__)


class OpenAIGenerator:
    """Streams texts from ``{url}/chat/completions``.

    Each text has a connection of its own, closed when the text ends: a connection that fell silent must not
    be met again by the next text, and nothing is left to be closed at shutdown.

    Args:
        settings: the ``text`` section, with a URL and a model; :func:`~.choose.make_generator` checks it.

    Attributes:
        name: the model.
    """

    def __init__(self, settings: TextSettings) -> None:
        self.name: Final = settings.model
        self._settings = settings
        base = httpx.URL(settings.url)
        self._url = base.copy_with(path=base.path.rstrip("/") + "/chat/completions")
        # Made once: loading the certificates takes longer than most requests.
        self._ssl_context = ssl.create_default_context() if base.scheme == "https" else None

    @asynccontextmanager
    async def generate(self, prompt: Prompt) -> AsyncIterator[AsyncIterator[str]]:
        async with httpx.AsyncClient(verify=self._ssl_context or False, timeout=None) as client:  # noqa: S113
            request = self._request(client, prompt)
            text = _StreamedText(client, request, self._settings, prompt.purpose)
            try:
                await text.begin()
                yield text
            finally:
                await text.aclose()

    def _request(self, client: httpx.AsyncClient, prompt: Prompt) -> httpx.Request:
        headers = {
            "Content-Type": "application/json",
            "Accept": _EVENT_STREAM,
            # A compressed stream may hold back what a flush would have sent, and a small body may unpack to
            # more than fits into the memory.
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


class _StreamedText:
    """One text as it comes. The whole-text timeout runs from when this is made.

    An iterator and not an async generator: nothing of it waits for the collector when its reader stops early.
    """

    def __init__(
        self, client: httpx.AsyncClient, request: httpx.Request, settings: TextSettings, purpose: str
    ) -> None:
        self._client = client
        self._request = request
        self._settings = settings
        self._log = log.bind(purpose=purpose, model=settings.model)
        self._deadline = trio.current_time() + settings.timeout_seconds
        self._response: httpx.Response | None = None
        self._body: AsyncIterator[bytes] | None = None
        self._completion = Completion(max_text_bytes=settings.max_text_bytes)
        self._first: str | None = None  # read to know that the text has begun
        self._problem: BeginFailed | None = None  # of the last try

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        """The next piece.

        Raises:
            GenerationFailed: the text does not go on.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            piece = await self._read_piece()
        except Broken as broken:
            self._fail(broken.sentence, broken.detail)
        except httpx.HTTPError as error:
            self._fail(BROKE_OFF, repr(error))
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def begin(self) -> None:
        """Connect, and read up to the first piece; only so far may a text be asked for again.

        Raises:
            GenerationFailed: no try succeeded.
        """
        settings = self._settings
        with trio.move_on_at(self._deadline) as in_time:
            try:
                async for attempt in stamina.retry_context(
                    on=self._worth_another_try,
                    attempts=settings.attempts,
                    timeout=None,
                    wait_initial=settings.retry_seconds,
                    wait_max=max(settings.retry_seconds, _RETRY_SECONDS_MAX),
                    wait_jitter=settings.retry_seconds,
                ):
                    with attempt:
                        await self._try_to_begin()
            except BeginFailed as problem:
                self._fail(problem.sentence, problem.detail)
        if in_time.cancelled_caught:
            # A reason that was met before says more than that time is up.
            sentence = self._problem.sentence if self._problem else self._too_late()
            self._fail(sentence, self._problem.detail if self._problem else "no text in time")

    async def aclose(self) -> None:
        """Give up what is left of the answer; does not wait, and may be called twice."""
        body, self._body = self._body, None
        response, self._response = self._response, None
        if body is not None:
            # httpx's generators are ended while they are at work: left to the collector, they would
            # hold the connection until it comes, and each be warned about.
            with trio.CancelScope(shield=True) as scope:
                scope.cancel()
                try:
                    while await anext(body, b""):
                        pass
                except (httpx.HTTPError, httpx.StreamError):
                    pass  # we are leaving anyway
        if response is not None:
            with trio.CancelScope(shield=True) as scope:
                scope.cancel()
                await response.aclose()

    def _worth_another_try(self, error: Exception) -> bool | float:
        """Stamina's question after each failed try: no, yes, or yes after so many seconds."""
        if not isinstance(error, BeginFailed) or not error.again:
            return False
        if error.retry_after_seconds is None:
            return True
        seconds = max(error.retry_after_seconds, self._settings.retry_seconds)
        return seconds if trio.current_time() + seconds < self._deadline else False

    async def _try_to_begin(self) -> None:
        self._completion = Completion(max_text_bytes=self._settings.max_text_bytes)
        try:
            response = self._response = await self._ask()
            self._body = response.aiter_raw()
            if response.status_code != 200:
                raise await read_refusal(response, self._body)
            if not response.headers.get("content-type", "").lower().startswith(_EVENT_STREAM):
                raise BeginFailed(
                    "the text service did not answer with a stream of text",
                    f"content type {response.headers.get('content-type')!r}",
                )
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise BeginFailed(
                    "the text service sent what cannot be read", "compressed, though asked not to"
                )
            self._first = await self._read_piece()
        except Broken as broken:
            self._problem = BeginFailed(broken.sentence, broken.detail, again=broken.again)
        except httpx.HTTPError as error:
            self._problem = judge_transport(error)
        except BeginFailed as problem:
            self._problem = problem
        else:
            return
        await self.aclose()
        raise self._problem

    async def _ask(self) -> httpx.Response:
        with trio.move_on_after(self._settings.idle_seconds):
            return await self._client.send(self._request, stream=True)
        raise self._silent()

    async def _read_piece(self) -> str | None:
        """The next text, all that has arrived by now in one piece; None at its proper end."""
        completion = self._completion
        while (text := completion.next_text()) is None and not completion.ended:
            if part := await self._receive():
                completion.receive_data(part)
            else:
                completion.receive_end()
        return text

    async def _receive(self) -> bytes:
        """The next bytes of the body, none at its end. Any bytes are a sign of life, comments too."""
        assert self._body is not None
        silent_at = trio.current_time() + self._settings.idle_seconds
        with trio.move_on_at(min(silent_at, self._deadline)):
            return await anext(self._body, b"")
        if silent_at < self._deadline:
            raise self._silent()
        raise Broken(self._too_late())

    def _silent(self) -> Broken:
        seconds = self._settings.idle_seconds
        return Broken(f"the text service said nothing for {seconds:g} s", again=True)

    def _too_late(self) -> str:
        return f"the text was not complete after {self._settings.timeout_seconds:g} s"

    def _fail(self, sentence: str, detail: str) -> NoReturn:
        """Log what happened, and tell clients no more than the sentence.

        The cause is not kept on the error: it may quote the request, and the request has the key.
        """
        key = self._settings.api_key
        self._log.warning(
            "text_generation_failed", reason=sentence, detail=detail.replace(key, "***") if key else detail
        )
        raise GenerationFailed(sentence) from None
