"""One request and its response, as an application sees them (ASGI 3.0, HTTP).

The request's body is pulled: :meth:`HTTPExchange.receive` reads the socket in the trio task that calls it. ::

    request     HEAD --receive()--> BODY --last part--> DONE --receive()--> waits for the client's end
    response    NONE --start--> HELD or SENT --body--> SENT --last part--> ENDED

Coupling rules:

- A head with Content-Length, or one that the application asked to hold, leaves with the first body bytes in
  one system call. While it is held, an application that fails is still answered 500.
- 100 is sent when the application begins to read the body, so that a status that the head decides is the only
  one (RFC 9110 section 10.1.1).
- A connection whose request was not read to its end is reused only if the rest is small; a response of known
  length says so in its head, which leaves first.
- The end of the response ends a wait for the client's end: what follows is the next request.
- An application may leave a function that serves repetitions (:meth:`HTTPExchange.on_repeat`). A request with
  the head of the last one is then served by that, on the same exchange.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from enum import Enum, auto
from operator import attrgetter
from typing import Any, Final

import trio

from ...hub import Wire
from ...transports.asgi import Defer
from ..client_socket import ClientSocket
from ..refusals import RequestRefused
from ..wires import Lease, SocketWire
from .body import BodyDecoder, ChunkedBody, CountedBody
from .head import RequestHead
from .reading import DISCARDED_BYTES_MAX, decode_ahead, discard_rest
from .response import (
    LAST_CHUNK,
    Field,
    Framing,
    ResponseHead,
    encode_chunked_head,
    encode_start,
    encode_whole,
)

ServeAgain = Callable[[bytes | None], Awaitable[None] | None]
"""Begins to serve a repetition, given its whole body, or None if it must be received.

Returns None if the repetition must be served as any other request.
"""

_CHUNK: Final = attrgetter("chunk")
_EVENT_STREAM: Final = attrgetter("sse")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_OK: Final = 200
_NOWAIT_BYTES_MAX: Final = 65_536  # of a last part, which is not waited for


class _ResponseState(Enum):
    """The progress of the response."""

    NONE = auto()
    HELD = auto()  # its head waits for the first body bytes
    SENT = auto()  # its head, and a part of its body
    ENDED = auto()


# Looked up once, because an access to a member of an enum takes 0.2 µs on Python 3.11.
_NONE, _HELD, _SENT, _ENDED = _ResponseState
_NO_BODY, _LENGTH, _CHUNKS, _CLOSE = Framing


class HTTPExchange:
    """One request and its response; the transport of the request, too. Repetitions share an exchange.

    Args:
        client: the connection.
        head: of the request.
        is_repeated: it repeats the one before, as those that follow may.

    Attributes:
        is_repeated: as given.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_client",
        "_expects_continue",
        "_framing",
        "_held",
        "_is_get",
        "_is_head",
        "_is_http_1_0",
        "_keeps_alive",
        "_left",
        "_serve_again",
        "_shared_fields",
        "_shared_status",
        "_start",
        "_status",
        "_told_end",
        "_waiting",
        "_wants_hold",
        "is_repeated",
    )

    def __init__(self, client: ClientSocket, head: RequestHead, *, is_repeated: bool = False) -> None:
        self.is_repeated = is_repeated
        self._client = client
        self._body: BodyDecoder | None = None  # None: nothing is left of it
        if head.content_length is None:
            self._body = ChunkedBody(client.server.settings.max_request_head_bytes)
        elif head.content_length:
            self._body = CountedBody(head.content_length)
        self._serve_again: ServeAgain | None = None
        self._told_end = False  # of the body, to the application
        self._expects_continue = head.expects_continue
        self._is_get = head.method == "GET"
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

    # --- the request --------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        """Return the next part of the body; behind it, wait for the end of the client or of the response."""
        if self._told_end:
            await self.wait_for_end()
            return {"type": "http.disconnect"}
        if self._body is None:
            self._told_end = True
            return {"type": "http.request", "body": b"", "more_body": False}
        self._client.begin_reading()
        try:
            part = await self._read_part()
        except RequestRefused as refused:
            await self._refuse(refused)
            part = None
        finally:
            self._client.end_reading()
        if part is None:
            self._told_end = True
            self._keeps_alive = False
            self._client.revoke()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": not self._told_end}

    def take_body(self) -> bytes | None:
        """Return the whole body if it has been received already; None, and nothing is taken, otherwise.

        Does not wait, not even at a checkpoint. A chunked body is never taken.
        """
        body, client = self._body, self._client
        if self._told_end or self._expects_continue:
            return None
        part = b""
        if body is not None:
            if not body.fits(len(client.read_ahead)):
                return None
            part, client.read_ahead = body.decode(client.read_ahead)
        self._told_end = True
        self._body = None
        return part

    def begin_again(self, size: int) -> Awaitable[None] | None:
        """Begin with a request that repeats the head of the last one, if the application has left a way.

        Args:
            size: of the content (bytes).

        Returns:
            The application at work; None, and nothing was done, for a request that needs its own exchange.
        """
        serve = self._serve_again
        if serve is None:
            return None
        client = self._client
        data = client.read_ahead
        is_received = len(data) >= size
        running = serve(data[:size] if is_received else None)
        if running is None:
            return None
        if is_received:
            client.read_ahead = data[size:]
            self._body = None
        else:
            self._body = CountedBody(size)
        self._told_end = is_received
        self._answer = _NONE
        self._wants_hold = False
        return running

    async def _read_part(self) -> bytes | None:
        """Read a part of the body; None if the client leaves before its end."""
        client = self._client
        body = self._body
        assert body is not None
        if self._expects_continue:
            self._expects_continue = False
            if self._answer is _NONE and not client.read_ahead:
                with suppress(trio.ClosedResourceError):
                    await client.output.send(_CONTINUE)
        while True:
            if client.read_ahead:
                part, is_used_up = await decode_ahead(client, body)
                if body.is_complete:
                    self._told_end = True
                    self._body = None
                    return part
                if part:
                    return part
                if not is_used_up:
                    continue
            data = await client.read()
            if not data:
                return None
            client.read_ahead += data

    async def _refuse(self, refused: RequestRefused) -> None:
        """Answer a body that is malformed, unless the application has begun to answer."""
        if self._answer in (_NONE, _HELD):
            self._keeps_alive = False
            await self.answer(refused)
        else:
            self._client.close_output()

    async def answer(self, refused: RequestRefused) -> None:
        """Send the answer to a request that is refused, in place of the application's."""
        self._answer = _NONE
        headers, content = refused.answer()
        self._begin(refused.status, headers)
        await self._send_body(content, is_last=True)

    async def wait_for_end(self) -> None:
        """Wait until the client or the response ends; buffer requests behind this one, up to a limit."""
        client = self._client
        if self._answer is _ENDED or client.output.closed:
            await trio.lowlevel.checkpoint()
            return
        client.begin_reading()
        try:
            with trio.CancelScope() as self._waiting:
                while not client.is_full():
                    data = await client.read()
                    if not data:
                        client.revoke()
                        return
                    client.read_ahead += data
                client.end_reading()  # a lease is left to the watcher, now or when it begins
                await trio.sleep_forever()
        finally:
            self._waiting = None
            client.end_reading()

    # --- the response -------------------------------------------------------------------------

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

    def finish_nowait(self) -> bool:
        """End the exchange after the application, if nothing is left to be sent or received.

        Returns:
            True if the connection can be reused; False if :meth:`finish` has to be called.
        """
        client = self._client
        if self._answer is not _ENDED or self._body is not None or client.output.closed:
            return False
        client.end_lease()
        return self._keeps_alive

    async def finish(self, *, failed: bool) -> bool:
        """End the exchange after the application; return True if the connection can be reused.

        Args:
            failed: the application raised an exception.
        """
        client = self._client
        client.end_lease()
        if client.output.closed:
            return False
        answer = self._answer
        if answer is _NONE or answer is _HELD:
            if client.has_left:
                return False
            self._keeps_alive = False
            await self.answer(RequestRefused(500, "internal", "something went wrong in the server"))
        elif answer is _SENT:
            if failed and self._framing is _CLOSE:
                client.abort()  # otherwise the response would look complete
            return False
        return self._keeps_alive and (self._body is None or await discard_rest(client, self._body))

    # --- the transport of the request -----------------------------------------------------------

    def abort(self) -> None:
        """See :class:`streamd.transports.asgi.Transport`."""
        self._client.abort()

    @property
    def call_in_turn(self) -> Callable[[Callable[[], None]], None]:
        """See :class:`streamd.transports.asgi.Transport`."""
        return self._client.server.limiter.call_in_turn

    def hold(self) -> None:
        """See :class:`streamd.transports.asgi.Transport`."""
        self._wants_hold = True

    def watch(self, on_disconnect: Callable[[], None]) -> None:
        """See :class:`streamd.transports.asgi.Transport`."""
        client = self._client
        if client.output.closed:
            on_disconnect()
            return
        client.lend(Lease(client.output, on_disconnect))

    def on_repeat(self, serve: ServeAgain) -> None:
        """Serve repetitions of this request, whose head is the same but for the size of the content.

        Args:
            serve: begins to serve one. It may use what it has derived from the head and the connection.
        """
        self._serve_again = serve

    def lease(self, defer: Defer, on_disconnect: Callable[[], None]) -> Wire | None:
        """See :class:`streamd.transports.asgi.Transport`."""
        client = self._client
        if client.output.closed:
            on_disconnect()
            return None
        answer, framing = self._answer, self._framing
        is_streaming = (answer is _HELD or answer is _SENT) and (framing is _CHUNKS or framing is _CLOSE)
        if not (is_streaming and self._is_get and self._status == _OK):
            return None
        if self._held:
            client.output.put_held(self._held)
            self._held = b""
            self._answer = _SENT
        wire = SocketWire(client.output, _CHUNK if framing is _CHUNKS else _EVENT_STREAM, on_disconnect)
        client.lend(wire)
        return wire
