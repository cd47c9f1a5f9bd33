"""One WebSocket (RFC 6455), as an application sees it (ASGI 3.0, WebSocket). Frames are wsproto's.

::

    HANDSHAKE --accept--> OPEN --Close of either side, protocol error, end of input--> ENDED
        |  close, or a response in place of the handshake (extension ``websocket.http.response``)
        v
      REFUSED

Coupling rules:

- Messages are pulled: pings are answered, and a Close is noticed, while the application waits in ``receive``.
  While it does not and its wire is leased, the watcher notices that the client has left.
- A message is refused as soon as its parts exceed the maximum, never kept beyond it.
- A ping costs the client six bytes and the server a write, an empty fragment costs the server as much as a
  message. So a connection has an allowance of them, and other trio tasks run while many are processed.
- A client that broke a rule is not listened to: its bytes are discarded until it closes, or for 2 s.
- wsproto's state changes before a Close frame is queued, so that frames written while it is OPEN precede it.
"""

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO, StringIO
from operator import attrgetter
from typing import Any, Final

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from ...hub import Wire
from ...transports.asgi import Defer
from ..client_socket import ClientSocket
from ..frame_guard import SPENT, FrameGuard
from ..refusals import RequestRefused
from ..wires import Lease, WebSocketWire
from .exchange import HTTPExchange
from .handshake import Handshake
from .head import RequestHead
from .response import ResponseHead

_FRAMES: Final = attrgetter("websocket")
_CLOSE_SECONDS: Final = 2.0  # for the client to answer a Close frame
_PARSED_BYTES_MAX: Final = 8192  # in a row
_RESPONSE: Final = "websocket.http.response"


class WebSocketExchange:
    """One WebSocket, from its handshake to its Close; the transport of the request, too.

    Args:
        client: the connection.
        head: of the handshake.
        handshake: checked.
    """

    __slots__ = (
        "_client",
        "_close_code",
        "_guard",
        "_handshake",
        "_has_failed",
        "_http",
        "_parts",
        "_size",
        "_told_connect",
        "_websocket",
    )

    def __init__(self, client: ClientSocket, head: RequestHead, handshake: Handshake) -> None:
        self._client = client
        head.keeps_alive = False  # frames may follow a handshake that is refused
        self._http: HTTPExchange | None = HTTPExchange(client, head)  # until it is accepted
        self._handshake: Handshake | None = handshake
        self._websocket: Connection | None = None
        self._told_connect = False
        self._close_code: int | None = None  # None: it is open
        self._has_failed = False
        self._parts: StringIO | BytesIO | None = None  # of the message that is being received
        self._size = 0  # of that message (bytes)
        self._guard = FrameGuard()

    # --- from the client ------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        """Return ``websocket.connect``, then each message, then ``websocket.disconnect``."""
        if not self._told_connect:
            self._told_connect = True
            return {"type": "websocket.connect"}
        if self._websocket is None and self._http is not None:
            await self._wait_for_end(self._http)
        self._client.begin_reading()
        try:
            while self._close_code is None:
                message = await self._next_message()
                if message is not None:
                    return message
        finally:
            self._client.end_reading()
        await trio.lowlevel.checkpoint()
        return {"type": "websocket.disconnect", "code": self._close_code}

    async def _wait_for_end(self, http: HTTPExchange) -> None:
        """Wait until the handshake is accepted, or the client has left; frames behind it are kept."""
        await http.wait_for_end()
        if self._websocket is None:
            self._end(CloseReason.ABNORMAL_CLOSURE)

    async def _next_message(self) -> dict[str, Any] | None:
        """Return the next message; None if there is none yet, or the socket was closed."""
        websocket = self._websocket
        assert websocket is not None
        for event in websocket.events():
            if not self._guard.admits(event):
                self._fail(CloseReason.POLICY_VIOLATION, SPENT)
                return None
            if isinstance(event, Message):
                message = self._collect(event)
                if message is not None:
                    return message
                if self._size > self._client.server.max_message_bytes:
                    self._fail(CloseReason.MESSAGE_TOO_BIG, "the message is too large")
                    return None
            elif isinstance(event, Ping):
                await self._send(event.response())
            elif isinstance(event, CloseConnection):
                if websocket.state is ConnectionState.OPEN:  # it is wsproto's verdict, not the client's word
                    self._fail(event.code, event.reason)
                else:
                    self._close(event.response())
                    self._end(event.code)
                return None
            await self._guard.pause()
        data = await self._read()
        if not data:
            self._end(CloseReason.ABNORMAL_CLOSURE)
        elif websocket.state is not ConnectionState.CLOSED:
            websocket.receive_data(data)
        return None

    async def _read(self) -> bytes:
        """Read some bytes of the client, few enough for frames of two bytes; others get their turn before."""
        client = self._client
        if client.read_ahead:
            await trio.lowlevel.checkpoint()
        data = client.read_ahead or await client.read()
        client.read_ahead = data[_PARSED_BYTES_MAX:]
        return data[:_PARSED_BYTES_MAX]

    def _collect(self, event: Message[Any]) -> dict[str, Any] | None:
        """Add a part to the message that is being received; return the message if it is complete."""
        data = event.data
        self._size += len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        if self._size > self._client.server.max_message_bytes:
            return None
        if self._parts is not None or not event.message_finished:
            if self._parts is None:
                self._parts = StringIO(newline="") if isinstance(data, str) else BytesIO()
            self._parts.write(data)
            if not event.message_finished:
                return None
            data = self._parts.getvalue()
            self._parts = None
        self._size = 0
        is_text = isinstance(data, str)
        return {
            "type": "websocket.receive",
            "bytes": None if is_text else data,
            "text": data if is_text else None,
        }

    def _fail(self, code: int, reason: str | None) -> None:
        """Close because the client broke a rule (RFC 6455 section 7.1.7)."""
        self._has_failed = True
        self._parts = None
        self._close(CloseConnection(code, reason))
        self._end(code)

    def _end(self, code: int) -> None:
        if self._close_code is None:
            self._close_code = int(code)
            self._client.revoke()

    # --- to the client --------------------------------------------------------------------------

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message, or answer the handshake; to a client that has left, nothing is sent.

        Raises:
            RuntimeError: it is not the turn of this message.
            ValueError: a header or the subprotocol is invalid.
        """
        kind: str = message["type"]
        if self._client.output.closed:
            await trio.lowlevel.checkpoint()
        elif self._websocket is not None:
            await self._send_open(kind, message)
        elif self._http is None:
            raise RuntimeError(f"unexpected message {kind} after the handshake was refused")
        elif kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            refused = RequestRefused(403, "forbidden", "the WebSocket handshake was refused")
            await self._http.answer(refused)
        elif kind.startswith(_RESPONSE):
            await self._http.send({**message, "type": kind.removeprefix("websocket.")})
        else:
            raise RuntimeError(f"unexpected message {kind} before the handshake is answered")

    async def _send_open(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "websocket.send":
            data = message.get("bytes")
            if data is not None:
                await self._send(BytesMessage(bytes(data)))
            else:
                await self._send(TextMessage(message["text"]))
        elif kind == "websocket.close":
            code = int(message.get("code") or CloseReason.NORMAL_CLOSURE)
            self._close(CloseConnection(code, message.get("reason")))
            self._end(code)
            await trio.lowlevel.checkpoint()
        else:
            raise RuntimeError(f"unexpected message {kind} on an open WebSocket")

    async def _accept(self, message: dict[str, Any]) -> None:
        assert self._handshake is not None
        head = ResponseHead(
            101,
            self._handshake.accept(message),
            is_head_request=False,
            is_http_1_0=False,
            keeps_alive=True,
        )
        self._websocket = Connection(ConnectionType.SERVER)
        if self._http is not None:
            self._http.stop_waiting()
        self._http = self._handshake = None
        with suppress(trio.ClosedResourceError):
            await self._client.output.send(head.data)

    async def _send(self, event: Event) -> None:
        """Send an event; nothing where the state does not allow it, because one side has begun to close."""
        assert self._websocket is not None
        with suppress(LocalProtocolError, trio.ClosedResourceError):
            await self._client.output.send(self._websocket.send(event))

    def _close(self, event: CloseConnection) -> None:
        """Queue a Close frame, if none was before: a trio task that waited to send it might be cancelled."""
        assert self._websocket is not None
        with suppress(LocalProtocolError):
            self._client.output.put(self._websocket.send(event))

    async def finish(self, *, failed: bool) -> bool:
        """End the WebSocket after the application, and return False: the connection is not reused.

        Args:
            failed: the application raised an exception.
        """
        client, websocket = self._client, self._websocket
        client.end_lease()
        if websocket is None:
            if self._http is not None:
                await self._http.finish(failed=failed)
            return False
        self._close(CloseConnection(CloseReason.INTERNAL_ERROR))
        if not self._has_failed:
            with trio.move_on_after(_CLOSE_SECONDS):
                await self._wait_for_close(websocket)
        return False

    async def _wait_for_close(self, websocket: Connection) -> None:
        """Process frames without using them, up to the client's Close frame or to too many of them."""
        data = b""  # the Close frame may have been received already
        while True:
            if data:
                websocket.receive_data(data)
            for event in websocket.events():
                if not self._guard.admits(event):
                    return
                await self._guard.pause()
            if websocket.state is not ConnectionState.LOCAL_CLOSING or not (data := await self._read()):
                return

    # --- the transport of the request -----------------------------------------------------------

    @property
    def call_in_turn(self) -> Callable[[Callable[[], None]], None]:
        """See :class:`streamd.transports.asgi.Transport`."""
        return self._client.server.limiter.call_in_turn

    def abort(self) -> None:
        """See :class:`streamd.transports.asgi.Transport`."""
        self._client.abort()

    def hold(self) -> None:
        """See :class:`streamd.transports.asgi.Transport`."""

    def watch(self, on_disconnect: Callable[[], None]) -> None:
        """See :class:`streamd.transports.asgi.Transport`."""
        client = self._client
        if client.output.closed or self._close_code is not None:
            on_disconnect()
            return
        client.lend(Lease(client.output, on_disconnect))

    def lease(self, defer: Defer, on_disconnect: Callable[[], None]) -> Wire | None:
        """See :class:`streamd.transports.asgi.Transport`."""
        client = self._client
        if client.output.closed or self._close_code is not None:
            on_disconnect()
            return None
        if self._websocket is None:
            return None
        wire = WebSocketWire(client.output, _FRAMES, on_disconnect, self._websocket)
        client.lend(wire)
        return wire
