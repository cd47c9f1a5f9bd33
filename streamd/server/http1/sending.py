"""The sending half of an exchange: the response, and how it shares a connection with what follows.

The response goes through the states of :class:`ResponseState`::

    NONE --start--> HELD or SENT --body--> SENT --last part--> ENDED

A head with Content-Length, or one that the application asked to hold, leaves with the first body bytes in one
system call. While it is held, an application that fails is still answered 500.
"""

from collections.abc import Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Final

import trio

from ..client_socket import ClientSocket
from ..refusals import RequestRefused
from .body import BodyDecoder, ChunkedBody, CountedBody
from .head import RequestHead
from .reading import DISCARDED_BYTES_MAX
from .response import (
    LAST_CHUNK,
    Field,
    Framing,
    ResponseHead,
    encode_chunked_head,
    encode_start,
    encode_whole,
)

_OK: Final = 200
_NOWAIT_BYTES_MAX: Final = 65_536  # of a last part, which is not waited for


class ResponseState(Enum):
    """The progress of the response."""

    NONE = auto()
    HELD = auto()  # its head waits for the first body bytes
    SENT = auto()  # its head, and a part of its body
    ENDED = auto()


# Looked up once, because an access to a member of an enum takes 0.2 µs on Python 3.11.
_NONE, _HELD, _SENT, _ENDED = ResponseState
_NO_BODY, _LENGTH, _CHUNKS, _CLOSE = Framing


class ResponseSender:
    """Sends the response to one request, and those to its repetitions.

    Args:
        client: the connection.
        head: of the request.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_client",
        "_expects_continue",
        "_framing",
        "_held",
        "_is_head",
        "_is_http_1_0",
        "_keeps_alive",
        "_left",
        "_shared_fields",
        "_shared_status",
        "_start",
        "_status",
        "_waiting",
        "_wants_hold",
    )

    def __init__(self, client: ClientSocket, head: RequestHead) -> None:
        self._client = client
        self._body: BodyDecoder | None = None  # of the request; None: nothing is left of it
        if head.content_length is None:
            self._body = ChunkedBody(client.server.settings.max_request_head_bytes)
        elif head.content_length:
            self._body = CountedBody(head.content_length)
        self._expects_continue = head.expects_continue
        self._is_head = head.method == "HEAD"
        self._is_http_1_0 = head.is_http_1_0
        self._keeps_alive = head.keeps_alive
        self._answer = _NONE
        self._wants_hold = False
        self._status = 0
        self._held = b""  # the encoded head, until it is sent
        self._framing = _NO_BODY
        self._left = 0  # of the response's body, with Content-Length (bytes)
        self._shared_fields: tuple[Field, ...] | None = None  # of the last whole response
        self._shared_status = 0
        self._start: bytes | None = None  # these, encoded
        self._waiting: trio.CancelScope | None = None  # of a wait for the client's end

    async def send(self, message: dict[str, Any]) -> None:
        """Send the next part of the response; to a client that has left, nothing is sent.

        Raises:
            RuntimeError: it is not the turn of this message, or the body has another size than announced.
            ValueError: a header is invalid.
        """
        if self._client.output.closed:
            await trio.lowlevel.checkpoint()
            return
        kind = message["type"]
        if kind == "http.response.body" and (self._answer is _HELD or self._answer is _SENT):
            await self._send_body(message.get("body", b""), is_last=not message.get("more_body", False))
        elif kind == "http.response.start" and self._answer is _NONE:
            self._begin(int(message["status"]), message.get("headers", ()))
            if not self._wants_hold and (self._framing is _CHUNKS or self._framing is _CLOSE):
                await self._send_held()
        elif self._answer is _ENDED and not self._keeps_alive:
            await trio.lowlevel.checkpoint()  # the request was refused, or the client has left
        else:
            raise RuntimeError(f"unexpected message {kind} while the response is {self._answer.name}")

    def respond(
        self, status: int, fields: tuple[Field, ...], own_fields: Sequence[Field], body: bytes
    ) -> bool:
        """Send a whole response in one step, without a checkpoint.

        Args:
            status: 200 to 599.
            fields: those that many responses share, names in lower case, without ``content-length``.
            own_fields: those of this response alone.
            body: the content.

        Returns:
            True if it was sent, or the client has left; False, and nothing was sent, if it must be sent by
            ASGI messages.

        Raises:
            ValueError: a header is invalid.
        """
        if self._answer is not _NONE or self._body is not None or self._is_http_1_0:
            return False
        client = self._client
        output = client.output
        if output.closed:
            return True
        if not client.server.keeps_alive:
            self._keeps_alive = False
        if fields is not self._shared_fields or status != self._shared_status:
            self._start = encode_start(status, fields)
            self._shared_fields, self._shared_status = fields, status
        if self._start is None:
            return False
        data = encode_whole(self._start, own_fields, body, self._is_head, self._keeps_alive)
        if len(data) > _NOWAIT_BYTES_MAX or not output.write_nowait(data):
            return False
        self._answer = _ENDED
        if self._waiting is not None:
            self.stop_waiting()
        return True

    def begin_stream(self, fields: tuple[Field, ...], own_fields: Sequence[Field]) -> bool:
        """Begin a response of status 200 and unknown length in one step; its head waits for the first bytes.

        Args:
            fields, own_fields: as for :meth:`respond`.

        Returns:
            False, and nothing was done, if it must begin by an ASGI message.

        Raises:
            ValueError: a header is invalid.
        """
        if self._answer is not _NONE or self._body is not None or self._is_http_1_0 or self._is_head:
            return False
        keeps_alive = self._keeps_alive and self._client.server.keeps_alive
        start = encode_start(_OK, fields)
        if start is None:
            return False
        self._held = encode_chunked_head(start, own_fields, keeps_alive=keeps_alive)
        self._keeps_alive = keeps_alive
        self._status = _OK
        self._framing = _CHUNKS
        self._answer = _HELD
        return True

    def _begin(self, status: int, headers: Any) -> None:
        """Encode the head of the response, and hold it."""
        if status < 200:
            raise RuntimeError("the status of a response must be final: 200 or above")
        head = ResponseHead(
            status,
            headers,
            is_head_request=self._is_head,
            is_http_1_0=self._is_http_1_0,
            keeps_alive=self._keeps_alive
            and self._client.server.keeps_alive
            and (self._body is None or self._will_read(self._body, headers)),
        )
        self._keeps_alive = head.keeps_alive
        self._status = status
        self._framing = head.framing
        self._left = head.length
        self._held = head.data
        self._answer = _HELD

    def _will_read(self, body: BodyDecoder, headers: Any) -> bool:
        """Return True if the rest of the request's body will be read, by the application or to be discarded.

        A response of unknown length may be written while the body is read, such as an answer a line.
        """
        if self._expects_continue:
            return False
        has_length = any(name.lower() == b"content-length" for name, _ in headers)
        return not has_length or body.fits(DISCARDED_BYTES_MAX)

    async def _send_held(self) -> None:
        data, self._held = self._held, b""
        self._answer = _SENT
        with suppress(trio.ClosedResourceError):
            await self._client.output.send(data)

    async def _send_body(self, data: bytes, *, is_last: bool) -> None:
        framing = self._framing
        if framing is _LENGTH:
            self._left -= len(data)
            if self._left < 0 or (is_last and self._left):
                raise RuntimeError("the body must have the size that Content-Length announced")
        elif framing is _CHUNKS:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if is_last:
                data += LAST_CHUNK
        elif framing is _NO_BODY:
            data = b""
        if self._held:
            data, self._held = self._held + data, b""
        self._answer = _SENT
        if is_last:
            self._answer = _ENDED
            if self._waiting is not None:
                self.stop_waiting()
            # Without waiting: a flush that is needed goes on beside the next request, which waits for it.
            if len(data) <= _NOWAIT_BYTES_MAX and self._client.output.write_nowait(data):
                return
        with suppress(trio.ClosedResourceError):
            await self._client.output.send(data)

    def stop_waiting(self) -> None:
        """End a wait for the client's end: what follows is the next request, or a frame."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def answer(self, refused: RequestRefused) -> None:
        """Send the answer to a request that is refused, in place of the application's."""
        self._answer = _NONE
        headers, content = refused.answer()
        self._begin(refused.status, headers)
        await self._send_body(content, is_last=True)
