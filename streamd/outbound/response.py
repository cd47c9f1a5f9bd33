"""One response, read in pieces: every wait and every body has a bound, and closing survives cancellation."""

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Self

import httpx
import trio

from .backoff import read_retry_after
from .failures import ResponseTimeout, ResponseTooLarge, failure_of
from .handshake import HandshakeGuard

# Closing a connection neither sends nor waits for anything; the bound is for a bug in a library below.
_CLOSE_TIMEOUT_SECONDS: Final = 1.0

_SLICE_SECONDS: Final = 0.001  # in which pieces are read that have arrived already; they may have a byte each

_HTTPX_ERRORS: Final = (httpx.TransportError, httpx.DecodingError, httpx.StreamError)


class StreamedResponse:
    """The head of a response, and its body as it arrives. Made by :func:`open_response`.

    Attributes:
        status: the HTTP status.
        url: the URL that was requested.
        headers: the header fields; names are case-insensitive.
    """

    def __init__(self, response: httpx.Response, *, decode: bool) -> None:
        self.status = response.status_code
        self.url = response.url
        self.headers = response.headers
        self._response = response
        self._decode = decode
        unpaced = response.aiter_raw()
        raw = PacedPieces(unpaced)
        # aiter_bytes reads through aiter_raw. When decoding fails it drops that generator unfinished; with a
        # reference to it, aclose can end it.
        response.aiter_raw = lambda *_: raw  # type: ignore[method-assign]
        self._pieces = response.aiter_bytes() if decode else raw
        self._generators = (self._pieces, unpaced)

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; empty if the response has none."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        """The length of the body as :meth:`read` returns it (bytes); None if the head does not say."""
        length = str(self.headers.get("content-length", ""))
        if not (length.isascii() and length.isdigit()) or (self._decode and self.is_encoded):
            return None
        return int(length) if len(length) <= 20 else None  # as h11; int() rejects thousands of digits

    @property
    def is_encoded(self) -> bool:
        """True if the body is compressed (``Content-Encoding``)."""
        return str(self.headers.get("content-encoding", "identity")).strip().lower() != "identity"

    @property
    def retry_after_seconds(self) -> float | None:
        """The server's ``Retry-After`` (s), see :func:`.backoff.read_retry_after`."""
        return read_retry_after(self.headers.get("retry-after"), self.headers.get("date"))

    def check_length(self, max_bytes: int) -> None:
        """Check the announced length of the body; nothing is read.

        Raises:
            ResponseTooLarge: it is larger than ``max_bytes``.
        """
        if (self.content_length or 0) > max_bytes:
            raise _too_large(max_bytes)

    async def receive_some(self, timeout_seconds: float = math.inf) -> bytes:
        """Return the next piece of the body; empty at its end.

        Args:
            timeout_seconds: the maximum wait for the piece (s).

        Raises:
            ResponseTimeout: no piece arrived in time.
            ConnectionFailed, ResponseBroken: the body was cut off.

        After an error or a cancellation the rest of the body is lost.
        """
        try:
            with trio.move_on_after(timeout_seconds):
                return await anext(self._pieces, b"")
        except _HTTPX_ERRORS as error:
            raise failure_of(error) from error
        raise ResponseTimeout(f"the server was silent for {timeout_seconds:g} s")

    def pieces(self, *, max_bytes: int, timeout_seconds: float = math.inf) -> "ResponsePieces":
        """Return an iterator over the rest of the body in pieces.

        Args:
            max_bytes: the maximum size of all pieces together.
            timeout_seconds: the maximum wait for each piece (s).

        Raises:
            ResponseTooLarge: from here, if the head announces a larger body; else from the iterator.
        """
        self.check_length(max_bytes)
        return ResponsePieces(self, max_bytes, timeout_seconds)

    async def read(self, *, max_bytes: int, timeout_seconds: float = math.inf) -> bytes:
        """Return the whole body.

        Args:
            max_bytes: the maximum size of the body. The rest of a larger one is not read.
            timeout_seconds: the maximum wait for each piece of it (s).

        Raises:
            ResponseTooLarge: the body is larger than ``max_bytes``.
            ResponseTimeout, ConnectionFailed, ResponseBroken: as from :meth:`receive_some`.
        """
        body = bytearray()
        async for piece in self.pieces(max_bytes=max_bytes, timeout_seconds=timeout_seconds):
            body += piece
        return bytes(body)

    async def aclose(self) -> None:
        """Give up the rest of the body, and its connection if there is any. Neither waits nor raises.

        httpx and httpcore read through nested async generators. They are ended here by a cancellation inside
        them. Left to the garbage collector they would hold the socket until it runs, and trio would warn
        about each of them.
        """
        for pieces in self._generators:
            with trio.CancelScope(shield=True) as scope:
                scope.cancel()
                await _exhaust(pieces)
        with trio.move_on_after(_CLOSE_TIMEOUT_SECONDS, shield=True):
            await self._response.aclose()


class PacedPieces(AsyncIterator[bytes]):
    """The pieces of a body as they arrive; other trio tasks have their turn where many have arrived already.

    A server may send a megabyte in chunks of one byte, of which each is a piece.

    Args:
        pieces: of the body.
        now: a monotonic clock (s).
    """

    def __init__(self, pieces: AsyncIterator[bytes], now: Callable[[], float] = time.perf_counter) -> None:
        self._pieces = pieces
        self._now = now
        self._slice_ends = -math.inf

    async def __anext__(self) -> bytes:
        if self._now() >= self._slice_ends:
            await trio.lowlevel.checkpoint()
            self._slice_ends = self._now() + _SLICE_SECONDS
        return await anext(self._pieces)


class ResponsePieces(AsyncIterator[bytes]):
    """The pieces of a body up to a maximum size. No generator, so it may be left at any piece."""

    def __init__(self, response: StreamedResponse, max_bytes: int, timeout_seconds: float) -> None:
        self._response = response
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._received_bytes = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._response.receive_some(self._timeout_seconds)
        if not piece:
            raise StopAsyncIteration
        self._received_bytes += len(piece)
        if self._received_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        return piece


@asynccontextmanager
async def open_response(
    client: httpx.AsyncClient,
    request: httpx.Request,
    *,
    head_timeout_seconds: float = math.inf,
    decode: bool = True,
) -> AsyncIterator[StreamedResponse]:
    """Send a request once and yield its response; the end of the block gives up the rest of the body.

    Args:
        client: sends the request. Redirects are followed only if it follows them.
        request: its body, if any, is set by :func:`.body.with_body`.
        head_timeout_seconds: the maximum wait for a connection and the head of the response (s).
        decode: decompress the body; False returns the bytes as they were sent.

    Raises:
        ResponseTimeout: no head arrived in time.
        ConnectionFailed, ResponseBroken, UnsendableRequest: there is no response.

    Cancelling closes the connection; the server may have handled the request.
    """
    HandshakeGuard().watch(request)
    response = None
    try:
        with trio.move_on_after(head_timeout_seconds):
            response = await client.send(request, stream=True)
    except _HTTPX_ERRORS as error:
        raise failure_of(error) from error
    if response is None:
        raise ResponseTimeout(f"no answer within {head_timeout_seconds:g} s")
    streamed = StreamedResponse(response, decode=decode)
    try:
        yield streamed
    finally:
        await streamed.aclose()


async def _exhaust(pieces: AsyncIterator[bytes]) -> None:
    try:
        while await anext(pieces, b""):
            pass
    except _HTTPX_ERRORS:
        pass  # the response is given up anyway


def _too_large(max_bytes: int) -> ResponseTooLarge:
    return ResponseTooLarge(f"the answer is larger than {max_bytes} bytes")
