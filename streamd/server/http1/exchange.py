"""One request and its response, as an application sees them (ASGI 3.0, HTTP).

The request's body is pulled: :meth:`HTTPExchange.receive` reads the socket in the trio task that calls it. ::

    HEAD --receive()--> BODY --last part--> DONE --receive()--> waits for the client's end

The response is that of :class:`~.sending.ResponseSender`. Coupling rules:

- 100 is sent when the application begins to read the body, so that a status that the head decides is the only
  one (RFC 9110 section 10.1.1).
- A connection whose request was not read to its end is reused only if the rest is small; a response of known
  length says so in its head, which leaves first.
- The end of the response ends a wait for the client's end: what follows is the next request.
- An application may leave a function that serves repetitions (:meth:`HTTPExchange.on_repeat`). A request with
  the head of the last one is then served by that, on the same exchange.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from operator import attrgetter
from typing import Any, Final

import trio

from ...hub import Wire
from ...transports.asgi import Defer
from ..client_socket import ClientSocket
from ..refusals import RequestRefused
from ..wires import Lease, SocketWire
from .body import CountedBody
from .head import RequestHead
from .reading import decode_ahead, discard_rest
from .response import Framing
from .sending import ResponseSender, ResponseState

ServeAgain = Callable[[bytes | None], Awaitable[None] | None]
"""Begins to serve a repetition, given its whole body, or None if it must be received.

Returns None if the repetition must be served as any other request.
"""

_CHUNK: Final = attrgetter("chunk")
_EVENT_STREAM: Final = attrgetter("sse")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_OK: Final = 200

# Looked up once, because an access to a member of an enum takes 0.2 µs on Python 3.11.
_NONE, _HELD, _SENT, _ENDED = ResponseState
_, _, _CHUNKS, _CLOSE = Framing


class HTTPExchange(ResponseSender):
    """One request and its response; the transport of the request, too. Repetitions share an exchange.

    Args:
        client: the connection.
        head: of the request.
        is_repeated: it repeats the one before, as those that follow may.

    Attributes:
        is_repeated: as given.
    """

    __slots__ = ("_is_get", "_serve_again", "_told_end", "is_repeated")

    def __init__(self, client: ClientSocket, head: RequestHead, *, is_repeated: bool = False) -> None:
        super().__init__(client, head)
        self.is_repeated = is_repeated
        self._serve_again: ServeAgain | None = None
        self._told_end = False  # of the body, to the application
        self._is_get = head.method == "GET"

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
