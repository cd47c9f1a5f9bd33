"""Publish one event or many, each under an idempotency key, so that a retry is safe."""

import math
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec
import trio

from ..errors import InvalidBody
from ..events import Draft
from ..events.data import BASE64, JSON, encode_data
from ..events.event import DEFAULT_TYPE
from ..json import decode_message
from ..outbound import (
    Backoff,
    RetriesExhausted,
    RetryLoop,
    RetryNotice,
    RetryPolicy,
    StreamedResponse,
    with_body,
)
from .answer import open_answer, read_rejection
from .endpoint import ServerEndpoint, Timeouts, Token, Verify
from .errors import ProtocolError, RequestFailed, Unreachable, failed
from .items import Reconnecting
from .problem import problem_from_fields

T = TypeVar("T")

LINES_MAX: Final = 256  # in one request; as many as the server's fan-out takes in a turn
LINES_BYTES_MAX: Final = 262_144
NDJSON: Final = "application/x-ndjson"
ANSWER_BYTES_MAX: Final = 65_536  # the answer to one event; it is much smaller


class _Accepted(msgspec.Struct, frozen=True):
    id: str


class _LineAnswer(msgspec.Struct, frozen=True):
    line: int
    id: str | None = None
    error: dict[str, Any] | None = None


def draft(
    topics: str | Sequence[str],
    data: Any = "",
    *,
    type: str | None = None,
    retry_ms: int | None = None,
    idempotency_key: str | None = None,
    private: bool = False,
) -> Draft:
    """Build an event to publish. The server checks the limits.

    Args:
        topics: one topic or several, the canonical one first.
        data: text, bytes, or any JSON value; a ``msgspec.Raw`` holds encoded JSON.
        type: the SSE event type; ``message`` by default.
        retry_ms: the reconnection time for clients (ms).
        idempotency_key: the same key with the same content publishes once; a random one by default.
        private: callers without a token may not read it.

    Raises:
        InvalidField: ``data`` is neither text, bytes nor JSON.
    """
    text, encoding = encode_data(data)
    names = (topics,) if isinstance(topics, str) else tuple(topics)
    key = idempotency_key or str(uuid.uuid4())
    return Draft(names, text, encoding, type or DEFAULT_TYPE, retry_ms, key, private)


class Publisher:
    """Publishes to one server. An asynchronous context manager, for one trio task at a time.

    An attempt without an answer, or with 429, 502, 503 or 504, is retried under the same idempotency keys. So
    an event whose answer was lost is not published twice.

    Args:
        url: the server's address, such as ``http://127.0.0.1:8080``.
        verify: how to verify a TLS certificate: True, a file with authorities (PEM), an ``ssl.SSLContext``,
            or False.
        http2: use HTTP/2; without TLS by prior knowledge.
        backoff: the waits between attempts.
        timeouts: ``connect_seconds`` bounds connecting and the wait for each part of an answer.
        token: see :func:`.subscribe`.
        retry_for_seconds: no retry begins later than this after the first attempt (s); None for no limit.
        on_retry: called before each wait.

    Raises:
        InvalidField: ``url`` is invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        verify: Verify = True,
        http2: bool = False,
        backoff: Backoff | None = None,
        timeouts: Timeouts | None = None,
        token: Token | None = None,
        retry_for_seconds: float | None = 60.0,
        on_retry: Callable[[Reconnecting], None] | None = None,
    ) -> None:
        self._endpoint = ServerEndpoint.create(
            url, verify=verify, http2=http2, timeouts=timeouts, token=token
        )
        self._policy = RetryPolicy(
            backoff=backoff or Backoff(initial_seconds=0.25),
            retry_for_seconds=math.inf if retry_for_seconds is None else retry_for_seconds,
        )
        self._on_retry = on_retry
        self._stack = AsyncExitStack()
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        self._client = None

    async def publish(
        self,
        topics: str | Sequence[str],
        data: Any = "",
        *,
        type: str | None = None,
        retry_ms: int | None = None,
        idempotency_key: str | None = None,
        private: bool = False,
    ) -> str:
        """Publish one event and return its id. The arguments are those of :func:`draft`.

        After a cancellation the event may be published or not. A retry with the same key is safe.

        Raises:
            RequestFailed: the server rejected the event; ``problem`` has the code, the field and a sentence.
            ServerBusy, Unreachable: no attempt succeeded within ``retry_for_seconds``.
            InvalidField: ``data`` is neither text, bytes nor JSON.
        """
        return await self.publish_draft(
            draft(
                topics,
                data,
                type=type,
                retry_ms=retry_ms,
                idempotency_key=idempotency_key,
                private=private,
            )
        )

    async def publish_draft(self, event: Draft) -> str:
        """Publish an event made with :func:`draft`, see :meth:`publish`."""
        event = _with_key(event)
        return await self._retry(lambda: self._post_one(event))

    async def publish_lines(self, drafts: Iterable[Draft]) -> list[str | RequestFailed]:
        """Publish many events in order (NDJSON). A rejected event does not hold up the others.

        Args:
            drafts: made with :func:`draft`. One request has at most 256 events or 256 kB.

        Returns:
            For each event its id, or the error that rejects it.

        Raises:
            RequestFailed: the server rejected a whole request.
            ServerBusy, Unreachable: no attempt succeeded within ``retry_for_seconds``. Events of earlier
                requests are published; those of the failing one may be.
        """
        results: list[str | RequestFailed] = []
        for batch in _batches([_with_key(event) for event in drafts]):
            done: dict[int, str | RequestFailed] = {}
            await self._retry(lambda batch=batch, done=done: self._post_lines(batch, done))  # type: ignore[misc]
            results.extend(done[index] for index in range(len(batch)))
        return results

    async def _retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run an attempt until it succeeds, is rejected for good, or ``retry_for_seconds`` have passed."""
        try:
            return await RetryLoop(policy=self._policy, on_retry=self._before_wait).run(attempt)
        except RetriesExhausted as exhausted:
            raise exhausted.failure from exhausted.failure.__cause__

    async def _before_wait(self, notice: RetryNotice) -> None:
        if isinstance(notice.failure, Unreachable):
            await self._drop_client()
        if self._on_retry is not None:
            self._on_retry(Reconnecting(notice.wait_seconds, str(notice.failure)))

    async def _post_one(self, event: Draft) -> str:
        client = await self._open_client()
        request = self._request(client, "application/json", _body(event))
        async with open_answer(client, request, seconds=self._seconds) as answer:
            if answer.status != 201:
                raise await read_rejection(answer, self._seconds)
            body = await answer.read(max_bytes=ANSWER_BYTES_MAX, timeout_seconds=self._seconds)
        try:
            accepted: _Accepted = decode_message(body, _Accepted, noun="the answer")
        except InvalidBody as error:
            raise ProtocolError(f"not the answer to a publish request: {error.detail}") from error
        return accepted.id

    async def _post_lines(self, batch: Sequence[Draft], done: dict[int, str | RequestFailed]) -> None:
        """Send the events without an answer in one request, and add each answer to ``done`` as it arrives."""
        pending = [index for index in range(len(batch)) if index not in done]
        client = await self._open_client()
        body = b"".join(_body(batch[index]) + b"\n" for index in pending)
        request = self._request(client, NDJSON, body)
        busy: RequestFailed | None = None
        async with open_answer(client, request, seconds=self._seconds) as answer:
            if answer.status != 200:
                raise await read_rejection(answer, self._seconds)
            if answer.content_type != NDJSON:
                raise ProtocolError(
                    f"{answer.url} answered {answer.content_type or 'no content type'} instead of {NDJSON}"
                )
            lines = _AnswerLines(answer, self._seconds)
            while line := await lines.next():
                number, result = _read_line_answer(line)
                if not 1 <= number <= len(pending):
                    raise ProtocolError(f"the server answered line {number} of {len(pending)}")
                if isinstance(result, RequestFailed) and result.retryable:
                    busy = busy or result
                else:
                    done[pending[number - 1]] = result
        if busy is not None:
            raise busy
        if len(done) < len(batch):
            raise Unreachable("the server ended its answer early")

    @property
    def _seconds(self) -> float:
        return self._endpoint.timeouts.connect_seconds

    def _request(self, client: httpx.AsyncClient, content_type: str, body: bytes) -> httpx.Request:
        headers = {"Content-Type": content_type}
        return with_body(client.build_request("POST", self._endpoint.url("events"), headers=headers), body)

    async def _open_client(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = await self._stack.enter_async_context(self._endpoint.http_client())
        return self._client

    async def _drop_client(self) -> None:
        """Close the client, whose connection may be lost."""
        self._client = None
        await self._stack.aclose()


def _with_key(event: Draft) -> Draft:
    return event if event.idempotency_key else event.with_key(str(uuid.uuid4()))


def _batches(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    batch: list[Draft] = []
    size = 0
    for event in drafts:
        if batch and (len(batch) == LINES_MAX or size + event.size > LINES_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += event.size
    if batch:
        yield batch


def _body(event: Draft) -> bytes:
    """Return the JSON of one event, on one line."""
    fields: dict[str, Any] = {
        "topics": event.topics,
        "type": event.type,
        "data": msgspec.Raw(event.data.encode()) if event.encoding is JSON else event.data,
        "idempotency_key": event.idempotency_key,
    }
    if event.encoding is BASE64:
        fields["encoding"] = BASE64
    if event.retry_ms is not None:
        fields["retry"] = event.retry_ms
    if event.private:
        fields["private"] = True
    return msgspec.json.encode(fields)


def _read_line_answer(line: bytes) -> tuple[int, str | RequestFailed]:
    try:
        answer: _LineAnswer = decode_message(line, _LineAnswer, noun="the answer")
    except InvalidBody as error:
        raise ProtocolError(f"not the answer to a line: {error.detail}") from error
    if answer.id is not None:
        return answer.line, answer.id
    return answer.line, failed(problem_from_fields(answer.error or {}, status=400))


class _AnswerLines:
    """The lines of an answer as they arrive. A last line without its end is dropped."""

    def __init__(self, answer: StreamedResponse, seconds: float) -> None:
        self._answer = answer
        self._seconds = seconds
        self._ready: deque[bytes] = deque()
        self._rest = b""

    async def next(self) -> bytes:
        """Return the next line that is not empty; b"" at the end."""
        while not self._ready:
            chunk = await self._answer.receive_some(self._seconds)
            if not chunk:
                return b""
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self._ready.extend(line for line in lines if line.strip())
        return self._ready.popleft()
