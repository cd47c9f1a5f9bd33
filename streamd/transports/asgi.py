"""The ASGI types of the transports (ASGI 3.0, HTTP and WebSocket), and the extension of streamd's server."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from ..connections import Connection
from ..events import Batch
from ..hub import Wire

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]
Scope = Mapping[str, Any]
Defer = Callable[[Callable[[], None]], None]

Field = tuple[bytes, bytes]
"""One header field, the name in lower case (ASGI HTTP, Response Start)."""

CONNECTION_EXTENSION: Final = "streamd.connection"
"""The key of the :class:`Transport` that streamd's own server puts into a scope's extensions."""

ENTRY: Final = "streamd.entry"
"""The key of the application that streamd's own server calls with a scope."""


class Transport(Protocol):
    """The socket behind one request, as far as a server lets it be used beyond ASGI."""

    @property
    def call_in_turn(self) -> Callable[[Callable[[], None]], None]:
        """Calls a function that ends a stream, in its turn if many clients leave; shared by requests."""

    def abort(self) -> None:
        """Close the socket (on HTTP/2: reset the stream) at once, dropping unsent bytes."""

    def watch(self, on_disconnect: Callable[[], None]) -> None:
        """Report a client that leaves while it waits for a response, such as a long poll.

        For requests whose body was read, or that have none. A stream does not need it, see :meth:`lease`.

        Args:
            on_disconnect: called once if the client leaves, or is aborted, before the response ends.
        """

    def hold(self) -> None:
        """Hold back the response's head, so that it leaves in one write with the first body bytes."""

    def lease(self, defer: Defer, on_disconnect: Callable[[], None]) -> Wire | None:
        """Lease a wire past ASGI on the response that has begun, until it is released.

        Args:
            defer: calls an action at the end of the fan-out's turn; at once between turns.
            on_disconnect: called when the client is gone, or was aborted, while the lease lasts.

        Returns:
            None if this response has no such wire, or the client is gone already.
        """


def find_transport(scope: Scope) -> Transport | None:
    """Return the transport of this request; None under another server than streamd's."""
    return (scope.get("extensions") or {}).get(CONNECTION_EXTENSION)


def lease_wire(transport: Transport | None, connection: Connection, defer: Defer) -> Wire | None:
    """Lease a wire past ASGI, from after the head of a response until its release; None if there is none."""
    return None if transport is None else transport.lease(defer, connection.mark_disconnected)


def bind_abort(connection: Connection, transport: Transport | None) -> None:
    """Let a connection close its socket on abort, if the server can do that."""
    if transport is not None:
        connection.abort_transport = transport.abort
        connection.call_in_turn = transport.call_in_turn


async def send_answer(
    send: Send,
    status: int,
    fields: Sequence[Field],
    body: bytes | None = None,
    *,
    own_fields: Sequence[Field] = (),
    is_head_request: bool = False,
) -> None:
    """Send a whole response. Cancelled, it may be left unfinished.

    Args:
        send: sends ASGI messages. Where streamd's own server serves the request, it may have a function
            ``respond``, which sends a whole response in one step or returns False.
        status: 200 to 599.
        fields: those that many responses share, without ``content-length``.
        body: the content; None for a response that has none, nor a size.
        own_fields: those of this response alone.
        is_head_request: the method is HEAD: of the content, only its size is sent.
    """
    if body is not None:
        if respond_nowait(send, status, tuple(fields), body, own_fields):
            return
        own_fields = (*own_fields, (b"content-length", b"%d" % len(body)))
    headers = [*fields, *own_fields]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    content = b"" if body is None or is_head_request else body
    await send({"type": "http.response.body", "body": content, "more_body": False})


def respond_nowait(
    send: Send, status: int, fields: tuple[Field, ...], body: bytes, own_fields: Sequence[Field] = ()
) -> bool:
    """Send a whole response in one step; False, and nothing is sent, if that needs :func:`send_answer`."""
    respond: Callable[..., bool] | None = getattr(send, "respond", None)
    return respond is not None and respond(status, fields, own_fields, body)


async def begin_stream(
    send: Send,
    transport: Transport | None,
    fields: tuple[Field, ...],
    own_fields: Sequence[Field] = (),
    *,
    is_head_request: bool,
) -> None:
    """Begin the response of a stream; where the server can, its head leaves with the first bytes of the body.

    Args:
        send: sends ASGI messages. Where streamd's own server serves the request, it may have a function
            ``begin_stream``, which begins a stream in one step or returns False.
        transport: of the request.
        fields, own_fields: as for :func:`send_answer`.
        is_head_request: the method is HEAD: there is no body.
    """
    if not is_head_request:
        begin: Callable[..., bool] | None = getattr(send, "begin_stream", None)
        if begin is not None and begin(fields, own_fields):
            return
        if transport is not None:
            transport.hold()
    await send({"type": "http.response.start", "status": 200, "headers": [*fields, *own_fields]})


class TopicsWire:
    """A wire of an event stream whose client asked for the topics of each event.

    Args:
        wire: the wire to write to.
    """

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def write_nowait(self, batch: Batch) -> int:
        return self._wire.write_nowait(batch.with_topics)

    async def write(self, batch: Batch) -> int:
        return await self._wire.write(batch.with_topics)

    def release(self) -> None:
        self._wire.release()


class ASGIEventStreamWire:
    """A wire that sends event stream blocks as parts of an ASGI response body; never writes directly."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def write_nowait(self, batch: Batch) -> int:
        return 0

    async def write(self, batch: Batch) -> int:
        await self._send({"type": "http.response.body", "body": batch.sse, "more_body": True})
        return len(batch.sse)

    def release(self) -> None:
        pass


class ASGIWebSocketWire:
    """A wire that sends JSON text frames over an ASGI WebSocket; never writes directly.

    Args:
        send_text: sends one text message on an accepted socket.
    """

    def __init__(self, send_text: Callable[[str], Awaitable[None]]) -> None:
        self._send_text = send_text

    def write_nowait(self, batch: Batch) -> int:
        return 0

    async def write(self, batch: Batch) -> int:
        written = 0
        for frame in batch.frames:
            await self._send_text(frame.text)
            written += len(frame.json)
        return written

    def release(self) -> None:
        pass
