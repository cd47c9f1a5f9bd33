"""One HTTP answer, read in pieces, with every wait bounded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
import trio

from .errors import ProtocolError, RequestFailed, Unreachable, connection_error, failed
from .problem import read_problem

PROBLEM_BYTES_MAX: Final = 65_536  # of an error answer we read no more


class Answer:
    """The head of an answer, and its body as it comes. Made by :func:`open_answer`."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.url = response.url
        self.content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._headers = response.headers
        self._chunks = response.aiter_bytes()

    async def receive_some(self, seconds: float) -> bytes:
        """The next piece of the body, empty at its end.

        Args:
            seconds: how long it may take to come.

        Raises:
            Unreachable: it did not come in time, or the connection was lost.
        """
        chunk = b""
        with trio.move_on_after(seconds) as silence:
            chunk = await anext(self._chunks, b"")
        if silence.cancelled_caught:
            raise Unreachable(f"the server was silent for {seconds:g} s")
        return chunk

    async def read(self, seconds: float, max_bytes: int) -> bytes:
        """The whole body.

        Args:
            seconds: how long each piece may take to come.
            max_bytes: of a body that is longer, the rest is not read.

        Raises:
            Unreachable: it did not come in time, or the connection was lost.
            ProtocolError: it is longer.
        """
        body = bytearray()
        while chunk := await self.receive_some(seconds):
            body += chunk
            if len(body) > max_bytes:
                raise ProtocolError(f"{self.url} answered more than {max_bytes} bytes")
        return bytes(body)

    async def refusal(self, seconds: float) -> RequestFailed | ProtocolError:
        """The error that this answer stands for, when it is not the one that was hoped for."""
        if self.status < 400:
            return ProtocolError(f"{self.url} answered {self.status}: is the URL right?")
        try:
            body = await self.read(seconds, PROBLEM_BYTES_MAX)
        except (ProtocolError, Unreachable):
            body = b""  # the status says enough
        return failed(read_problem(self.status, self._headers, body))

    async def _unwind(self) -> None:
        """End httpx's generators while they are at work; those left behind would each be warned about."""
        with trio.CancelScope(shield=True) as scope:
            scope.cancel()
            try:
                while await anext(self._chunks, b""):
                    pass
            except httpx.HTTPError:
                pass  # we are leaving anyway


@asynccontextmanager
async def open_answer(
    client: httpx.AsyncClient, request: httpx.Request, *, seconds: float
) -> AsyncIterator[Answer]:
    """Send a request and give its answer; what is left of it is dropped at the end of the block.

    Args:
        client: the client to send it with.
        request: what to send.
        seconds: the longest wait for the head of the answer.

    Raises:
        Unreachable: no connection, none in time, or it was lost, in the body of the block too.
        Untrusted: the certificate is not trusted.
    """
    try:
        response = None
        with trio.move_on_after(seconds):
            response = await client.send(request, stream=True)
        if response is None:
            raise Unreachable(f"no answer within {seconds:g} s")
        answer = Answer(response)
        try:
            yield answer
        finally:
            await answer._unwind()
            await response.aclose()
    except (httpx.TransportError, httpx.DecodingError, httpx.StreamError) as error:
        raise connection_error(error) from error
