"""The response with which a view streams: ``return EventStream("orders/7")``."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import attrs
import trio
from quart import request
from quart.utils import encode_headers
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers import TrioResponse

from ..connections import Group, Identity
from ..errors import StreamdError
from ..events import Selectors, parse_event_id
from ..hub import Overflow, SendQueue
from ..transports import StreamRequest, parse_selectors
from ..transports.asgi import Scope, Send, send_answer
from ..transports.generated import FINISHED_ID, GeneratedSource
from ..transports.sse import EVENT_STREAM, HEADERS, serve_sse, serve_subscription
from ..transports.stream import Opening, admit, no_opening
from .callers import known_caller
from .current import current_runtime
from .push_back import PushBackBody
from .rejections import send_rejection
from .requests import find_cursor, identity_of, parse_cursor, parse_on_limit, parse_resume_secret


def _identity(user: str) -> Identity:
    """Return the identity of the current request's caller, with the user that a program names instead."""
    identity = identity_of(known_caller(request.scope), request.remote_addr)
    return attrs.evolve(identity, user=user) if user else identity


def _do_nothing(_status: int) -> None:
    """Stand in for a callback that is not set."""


class EventStream(TrioResponse):
    """A Server-Sent Events response. Return it from a view; it serves itself on raw ASGI.

    Args:
        source: a topic, several topics, or :class:`~streamd.events.Selectors`; or an async generator that
            yields text, bytes, JSON values or :class:`~streamd.events.UnloggedEvent`, for this client only.
        patterns: patterns to subscribe to in addition to the topics.
        after: the cursor of a client that sends none: an event id, ``earliest``, or None to receive only
            new events. A client that sends ``Last-Event-ID`` resumes there.
        overflow: the policy for a slow consumer, see :class:`~streamd.hub.Overflow`.
        client_id: a name for the client, by which programs address its newest connection. A connection
            replaces the one with the same client id of the same user, or of the anonymous client that
            brings its resume secret.
        user: the user's name, for programs that address clients.
        heartbeat_seconds: interval of heartbeats on a quiet stream (s); None for
            ``connections.heartbeat_seconds``.
        heartbeat_always: True to send heartbeats on a busy stream too.
        group: connections that share limits, a lifetime and statistics with this one.
        opening: builds the frames to send right after ``connected`` and before the source, such as an
            :class:`~streamd.events.UnloggedEvent` with the current state. It is called when the
            subscription has its position in the log, so no event is lost in between. Frames without an
            id do not move the client's cursor.
        content_type: the ``Content-Type``; ``text/event-stream`` alone for a protocol whose clients compare
            the whole value.

    A client that gets no slot is answered 503 or 429 with ``Retry-After``, or as ``on_limit`` of its request
    says, see :mod:`.rejections`. The stream ends with its generator, also if that raised; a browser that then
    reconnects by itself gets 204, which stops it (WHATWG HTML section 9.2.3), and does not run the generator
    again.

    Attributes:
        on_rejected: called with the status of the answer if the client is rejected.

    Raises:
        InvalidField: a topic, pattern, cursor or ``on_limit`` is invalid; in a view this becomes a 400.
    """

    def __init__(
        self,
        source: str | Iterable[str] | Selectors | StreamRequest | AsyncIterator[Any] = (),
        *,
        patterns: Iterable[str] = (),
        after: str | None = None,
        overflow: Overflow | str = Overflow.CATCH_UP,
        client_id: str | None = None,
        user: str = "",
        heartbeat_seconds: float | None = None,
        heartbeat_always: bool = False,
        group: Group | None = None,
        opening: Opening = no_opening,
        content_type: str = EVENT_STREAM,
    ) -> None:
        super().__init__(b"", headers={**HEADERS, "Content-Type": content_type})
        del self.headers["Content-Length"]  # Quart set that of the empty placeholder body
        self.timeout = None
        self.on_rejected: Callable[[int], None] = _do_nothing
        self._broker = current_runtime().broker
        self._retries = parse_on_limit(request, self._broker)
        self._opening = opening
        self._generator: AsyncIterator[Any] | None = None
        if isinstance(source, StreamRequest):
            self._request = source
            return
        selectors, cursor = Selectors(), None
        if isinstance(source, AsyncIterator):
            self._generator = source
            self.status_code = 204 if find_cursor(request)[1] == FINISHED_ID else 200
        else:
            if not isinstance(source, Selectors):
                topics = [source] if isinstance(source, str) else list(source)
                source = parse_selectors(topics, patterns, self._broker.settings)
            selectors = source
            cursor = parse_cursor(request, "last_event_id")
            if cursor is None and after is not None:
                cursor = parse_event_id(after, field="after")
        self._request = StreamRequest(
            selectors=selectors,
            after=cursor,
            overflow=Overflow(overflow),
            client_id=client_id,
            resume_secret=parse_resume_secret(request),
            heartbeat_seconds=heartbeat_seconds,
            heartbeat_always=heartbeat_always,
            identity=_identity(user),
            group=group,
        )

    async def serve(self, scope: Scope, send: Send) -> None:
        """Send the response: the stream, or a rejection if there is no slot."""
        if self.status_code != 200:
            await send_answer(send, self.status_code, encode_headers(self.headers))
            return
        try:
            if self._generator is None:
                await self._serve_log(scope, send)
            else:
                await self._serve_generator(self._generator, scope, send)
        except StreamdError as rejection:  # raised before the head is sent; later errors end in the stream
            retries = self._retries and scope["method"] == "GET"
            fields = list(self.headers.items())
            self.on_rejected(
                await send_rejection(send, rejection, fields, self._broker.settings, retries=retries)
            )

    async def _serve_log(self, scope: Scope, send: Send) -> None:
        headers = encode_headers(self.headers)
        await serve_subscription(self._broker, self._request, scope, send, headers, self._opening)

    async def _serve_generator(self, generator: AsyncIterator[Any], scope: Scope, send: Send) -> None:
        hub = self._broker.settings.hub
        queue = SendQueue(hub.send_queue_events, hub.send_queue_bytes)
        source = GeneratedSource(generator, queue)
        with admit(self._broker, "sse", self._request, queue) as connection:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(source.run)
                headers = encode_headers(self.headers)
                await serve_sse(self._broker, connection, source, scope, send, headers, self._opening)
                nursery.cancel_scope.cancel()


class EventStreamHTTPConnection(TrioASGIHTTPConnection):
    """Quart-Trio's HTTP connection, extended to let an :class:`EventStream` send itself.

    A disconnect of the client cancels the nursery in which :meth:`handle_request` runs. It is not noticed
    while a :class:`~.push_back.PushBackBody` lets the client wait.
    """

    async def handle_messages(  # type: ignore[override] # as in Quart-Trio
        self, nursery: trio.Nursery, request: Any, receive: Any
    ) -> None:
        async def receive_next() -> Any:
            if isinstance(request.body, PushBackBody):
                await request.body.wait_for_room()
            return await receive()

        await super().handle_messages(nursery, request, receive_next)

    async def _send_response(self, send: Any, response: Any) -> None:
        if isinstance(response, EventStream):
            await response.serve(self.scope, send)
        else:
            await super()._send_response(send, response)
